/** Files as back ends put, list, grant and follow them: this hub's own, under `/mooring/v1`. */
import { z } from 'zod';
import {
  type FileJson,
  fileNotificationSchema,
  filesSchema,
  type GrantJson,
  grantAnswersSchema,
  grantRequestSchema,
  grantsSchema,
} from '../../api/files.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import { folderOf, HUB_FOLDER } from '../../core/files/names.ts';
import type { ListedObject } from '../../core/files/object-store.ts';
import type { Downloads, FileOwner, Page } from '../../core/files/room.ts';
import type { FileGrant } from '../../core/files/types.ts';
import type { Hub } from '../../core/hub.ts';
import type { Guarded } from '../../core/identity/guard.ts';
import { fileNotificationRecord } from '../shared/file-notifications.ts';
import { identityKey, unquoteETag } from './addresses.ts';
import { conditionOf } from './files/blob-headers.ts';
import { contentOf, fileAnswer } from './files/file-mapping.ts';
import { type ApiRoute, route, streamRoute } from './route.ts';

const TAG = 'files';
const notifications = '/mooring/v1/file-notifications';

const pageQuery = z.object({ after: z.string().optional(), limit: z.coerce.number().int().positive().optional() });
const grantQuery = pageQuery.extend({
  name: z.string().optional(),
  deviceId: z.string().optional(),
  moduleId: z.string().optional(),
});

export function backEndFileRoutes(
  hub: Pick<Hub, 'files' | 'clock'>,
  downloads: Guarded<Downloads>,
): readonly ApiRoute[] {
  return [
    ...partRoutes(downloads, '/mooring/v1/files', 'the hub', () => 'hub'),
    ...partRoutes(downloads, '/mooring/v1/devices/:deviceId/files', 'a device', identityKey),
    ...partRoutes(downloads, '/mooring/v1/devices/:deviceId/modules/:moduleId/files', 'a module', identityKey),
    route({
      method: 'POST',
      url: '/mooring/v1/file-grants',
      summary: "Lets devices fetch a file of the hub's part, by its name and by a signed URL",
      tag: TAG,
      body: grantRequestSchema,
      bodyBounds: { valuesMax: limits.fileGrantsPerRequestMax * 3 + 10 },
      answers: { 200: grantAnswersSchema },
      handle: async ({ principal, body }) => {
        const expiresAt = hub.clock.now() + body.expiresInSeconds * 1000;
        const answers = await downloads.grant(principal, body.name, body.devices.map(identityKey), expiresAt);
        const grants = answers.map(({ key, grant, error }) => ({
          ...key,
          ...(grant && { id: grant.id, url: grant.url, expiresTimeUtc: iso(grant.expiresAt) }),
          ...(error && { error }),
        }));
        return { status: 200, body: { grants } };
      },
    }),
    route<unknown, z.output<typeof grantQuery>>({
      method: 'GET',
      url: '/mooring/v1/file-grants',
      summary: 'Grants of a file (name) or of a device (deviceId, moduleId) with their receipts, newest first',
      tag: TAG,
      body: undefined,
      query: grantQuery,
      answers: { 200: grantsSchema },
      handle: async ({ principal, query }) => {
        const { name, deviceId, moduleId } = query;
        if ((name === undefined) === (deviceId === undefined)) {
          throw new HubError('ArgumentInvalid', 'The query must hold either name or deviceId.');
        }
        const of =
          name !== undefined
            ? { name }
            : { key: identityKey({ deviceId, ...(moduleId !== undefined && { moduleId }) }) };
        const found = await downloads.grants(principal, of, pageOf(query));
        const grants = found.map(grantJson);
        return { status: 200, body: { grants, ...nextOf(grants, pageOf(query), ({ id }) => id) } };
      },
    }),
    route({
      method: 'DELETE',
      url: '/mooring/v1/file-grants/:grantId',
      summary: 'Ends a grant: its URL opens nothing any more',
      tag: TAG,
      answers: { 204: null },
      handle: async ({ principal, params }) => {
        await downloads.revoke(principal, params.grantId ?? '');
        return { status: 204 };
      },
    }),
    route({
      method: 'GET',
      url: notifications,
      summary:
        'The next upload that no back end has heard of, under a lock whose token is the ETag; 204 when none waits',
      tag: TAG,
      answers: { 200: fileNotificationSchema, 204: null },
      handle: async ({ principal }) => {
        const locked = await hub.files.takeNotification(principal);
        if (locked === undefined) return { status: 204 };
        return { status: 200, etag: locked.lockToken, body: fileNotificationRecord(locked.notification) };
      },
    }),
    ...(['complete', 'abandon'] as const).map((settlement) =>
      route({
        method: settlement === 'complete' ? 'DELETE' : 'POST',
        url: settlement === 'complete' ? `${notifications}/:lockToken` : `${notifications}/:lockToken/abandon`,
        summary: settlement === 'complete' ? 'It is not told again' : 'It is told to another back end',
        tag: TAG,
        answers: { 204: null },
        handle: async ({ principal, params }) => {
          const lockToken = unquoteETag(params.lockToken ?? '');
          if (!(await hub.files.settleNotification(principal, lockToken, settlement))) {
            throw new HubError('DeviceMessageLockLost');
          }
          return { status: 204 };
        },
      }),
    ),
  ];
}

/** The files of one part of the container. */
function partRoutes(
  downloads: Guarded<Downloads>,
  url: string,
  whose: string,
  ownerOf: (params: { readonly deviceId?: string; readonly moduleId?: string }) => FileOwner,
): readonly ApiRoute[] {
  return [
    route<unknown, z.output<typeof pageQuery>>({
      method: 'GET',
      url,
      summary: `Files of ${whose}, by name`,
      tag: TAG,
      body: undefined,
      query: pageQuery,
      answers: { 200: filesSchema },
      handle: async ({ principal, params, query }) => {
        const owner = ownerOf(params);
        const page = pageOf(query);
        const after = page.after === undefined ? {} : { after: nameless(owner) + page.after };
        const found = await downloads.list(principal, owner, { limit: page.limit, ...after });
        const files = found.map((object) => fileJson(object, nameless(owner)));
        return { status: 200, body: { files, ...nextOf(files, page, ({ name }) => name) } };
      },
    }),
    streamRoute({
      method: 'PUT',
      url: `${url}/*`,
      summary: `Puts a file of ${whose}; If-None-Match: * only a new one, If-Match only over that one`,
      tag: TAG,
      body: 'stream',
      answers: { 201: null },
      handle: async ({ principal, params, body, headers }) => {
        const { content, facts } = contentOf(body, headers);
        const { etag } = await downloads.put(principal, ownerOf(params), params['*'] ?? '', content, facts);
        return { status: 201, etag };
      },
    }),
    route({
      method: 'GET',
      url: `${url}/*`,
      summary: `A file of ${whose}, or a range of it`,
      tag: TAG,
      answers: { 200: 'bytes', 206: 'bytes', 304: null },
      hasHead: true,
      handle: (call) =>
        fileAnswer(call, (choose) =>
          downloads.read(call.principal, ownerOf(call.params), call.params['*'] ?? '', choose),
        ),
    }),
    route({
      method: 'DELETE',
      url: `${url}/*`,
      summary: `Removes a file of ${whose}; with If-Match only that one`,
      tag: TAG,
      answers: { 204: null },
      handle: async ({ principal, params, headers }) => {
        await downloads.remove(principal, ownerOf(params), params['*'] ?? '', conditionOf(headers));
        return { status: 204 };
      },
    }),
  ];
}

function pageOf({ after, limit = limits.fileListPageMax }: z.output<typeof pageQuery>): Page {
  const bounded = Math.min(limit, limits.fileListPageMax);
  return after === undefined ? { limit: bounded } : { after, limit: bounded };
}

function nextOf<Item>(items: readonly Item[], { limit }: Page, nameOf: (item: Item) => string): { next?: string } {
  const last = items.at(-1);
  return last === undefined || items.length < limit ? {} : { next: nameOf(last) };
}

const iso = (time: number): string => new Date(time).toISOString();

function nameless(owner: FileOwner): string {
  return owner === 'hub' ? HUB_FOLDER : folderOf(owner);
}

function fileJson(object: ListedObject, folder: string): FileJson {
  const { path, bytes, etag, lastModified, contentType } = object;
  return { name: path.slice(folder.length), bytes, etag, lastModifiedTimeUtc: iso(lastModified), contentType };
}

function grantJson({ id, key, name, createdTime, expiresAt, grantedBy, fetched }: FileGrant): GrantJson {
  return {
    id,
    ...key,
    name,
    createdTimeUtc: iso(createdTime),
    expiresTimeUtc: iso(expiresAt),
    grantedBy,
    fetched:
      fetched === undefined
        ? null
        : {
            etag: fetched.etag,
            bytes: fetched.bytes,
            sentBytes: fetched.sentBytes,
            firstTimeUtc: iso(fetched.firstTime),
            lastTimeUtc: iso(fetched.lastTime),
            completedTimeUtc: fetched.completedTime === undefined ? null : iso(fetched.completedTime),
          },
  };
}
