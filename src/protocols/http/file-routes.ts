/** A device asks for the signed URL of an upload, and says when it is done (files reference 1 and 3). */
import type { z } from 'zod';
import { uploadEndSchema, uploadRequestSchema, uploadTicketSchema } from '../../api/files.ts';
import { HubError } from '../../core/errors.ts';
import type { Downloads } from '../../core/files/room.ts';
import type { Hub } from '../../core/hub.ts';
import type { Guarded } from '../../core/identity/guard.ts';
import { identityKey } from './addresses.ts';
import { fileAnswer } from './files/file-mapping.ts';
import { type ApiCall, type ApiRoute, route } from './route.ts';

type UploadEnd = z.output<typeof uploadEndSchema>;

/** @param downloads absent = this hub keeps no files */
export function fileRoutes(hub: Pick<Hub, 'files'>, downloads: Guarded<Downloads> | undefined): readonly ApiRoute[] {
  const end = async ({ principal, params, body }: ApiCall<UploadEnd, unknown>) => {
    const correlationId = params.correlationId ?? body.correlationId;
    if (correlationId === undefined) throw new HubError('ArgumentNull', 'body.correlationId is missing.');
    await hub.files.endUpload(principal, identityKey(params), correlationId, body.isSuccess);
    return { status: 204 };
  };
  const routesOf = (identity: string, whose: string): readonly ApiRoute[] => [
    route({
      method: 'POST',
      url: `${identity}/files`,
      caller: 'device',
      summary: `A signed URL under which a ${whose} uploads one file`,
      tag: 'device files',
      body: uploadRequestSchema,
      answers: { 200: uploadTicketSchema },
      handle: async ({ principal, params, body }) => ({
        status: 200,
        body: await hub.files.beginUpload(principal, identityKey(params), body.blobName),
      }),
    }),
    ...(downloads === undefined ? [] : [fetchRoute(downloads, identity, whose)]),
    ...[`${identity}/files/notifications`, `${identity}/files/notifications/:correlationId`].map((url) =>
      route({
        method: 'POST',
        url,
        caller: 'device',
        summary: `A ${whose} says that its upload has ended`,
        tag: 'device files',
        body: uploadEndSchema,
        answers: { 204: null },
        handle: end,
      }),
    ),
  ];
  return [...routesOf('/devices/:deviceId', 'device'), ...routesOf('/devices/:deviceId/modules/:moduleId', 'module')];
}

function fetchRoute(downloads: Guarded<Downloads>, identity: string, whose: string): ApiRoute {
  return route({
    method: 'GET',
    url: `${identity}/files/*`,
    caller: 'device',
    summary: `A file that a ${whose} was granted, or one of its own, or a range of it`,
    tag: 'device files',
    answers: { 200: 'bytes', 206: 'bytes', 304: null },
    hasHead: true,
    handle: (call) =>
      fileAnswer(call, (choose) =>
        downloads.fetch(call.principal, identityKey(call.params), call.params['*'] ?? '', choose),
      ),
  });
}
