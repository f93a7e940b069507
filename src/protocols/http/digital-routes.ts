/** Digital twins over REST (twins reference 8): the device twin as its model sees it, and commands of components. */
import { z } from 'zod';
import { limits } from '../../base/limits.ts';
import type { Hub } from '../../core/hub.ts';
import { digitalTwin, readDigitalPatch } from '../../core/twins/digital.ts';
import { twinETag } from '../../core/twins/rules.ts';
import { identityKey } from './addresses.ts';
import { parseJson } from './json-body.ts';
import { type ApiRoute, bytesRoute, route } from './route.ts';

const url = '/digitaltwins/:deviceId';
const TAG = 'digital twins';
const seconds = z
  .string()
  .regex(/^\d{1,4}$/)
  .optional();
const timesQuery = z.object({ connectTimeoutInSeconds: seconds, responseTimeoutInSeconds: seconds });
const patchSchema = z.array(
  z.looseObject({ op: z.enum(['add', 'replace', 'remove']), path: z.string(), value: z.unknown().optional() }),
);

type DigitalHub = Pick<Hub, 'twins' | 'methods'>;

export function digitalRoutes({ twins, methods }: DigitalHub): readonly ApiRoute[] {
  const command = (path: string): ApiRoute =>
    bytesRoute({
      method: 'POST',
      url: `${url}${path}`,
      summary: 'Invokes a command of a model; the header x-ms-command-statuscode has the status of the device',
      tag: TAG,
      waits: true,
      body: 'bytes',
      bodyShape: z.unknown(),
      query: timesQuery,
      answers: { 200: z.unknown() },
      handle: async ({ principal, params, body, query, signal }) => {
        const { component, command: name = '' } = params;
        const { connectTimeoutInSeconds: connect, responseTimeoutInSeconds: response } = query;
        if (body.length > 0) parseJson(body, { valuesMax: limits.methodValuesMax });
        const request = {
          name: component === undefined ? name : `${component}*${name}`,
          ...(body.length > 0 && { payload: body.toString('utf8').trim() }),
          responseMs: response === undefined ? limits.methodResponseMsDefault : Number(response) * 1000,
          connectMs: Number(connect ?? 0) * 1000,
        };
        const { status, payload } = await methods.invoke(principal, identityKey(params), request, signal);
        return { status: 200, jsonText: payload, headers: [['x-ms-command-statuscode', String(status)]] };
      },
    });
  return [
    route({
      method: 'GET',
      url,
      summary: 'The digital twin of a device',
      tag: TAG,
      answers: { 200: z.looseObject({ $dtId: z.string(), $metadata: z.looseObject({ $model: z.string() }) }) },
      handle: async ({ principal, params }) => {
        const key = identityKey(params);
        const { twin, modelId } = await twins.get(principal, key);
        return { status: 200, body: digitalTwin(key.deviceId, modelId, twin), etag: twinETag(twin) };
      },
    }),
    bytesRoute({
      method: 'PATCH',
      url,
      summary: 'Changes writable properties by a JSON Patch',
      tag: TAG,
      body: 'bytes',
      bodyShape: patchSchema,
      answers: { 202: null },
      handle: async ({ principal, params, body, ifMatch }) => {
        const key = identityKey(params);
        const { twin } = await twins.change(principal, key, readDigitalPatch(body), ifMatch);
        const location = `/digitaltwins/${encodeURIComponent(key.deviceId)}`;
        return { status: 202, etag: twinETag(twin), headers: [['Location', location]] };
      },
    }),
    command('/commands/:command'),
    command('/components/:component/commands/:command'),
  ];
}
