/** Twins and methods over REST (twins reference 2 and 5), for devices and modules alike. */
import { methodRequestSchema, methodResultSchema, twinChangeSchema, twinSchema } from '../../api/twins.ts';
import { limits } from '../../base/limits.ts';
import { Turns } from '../../base/turns.ts';
import type { Hub } from '../../core/hub.ts';
import { shareName } from '../../core/identity/share-name.ts';
import { readTwinChange } from '../../core/twins/rules.ts';
import type { TwinChange } from '../../core/twins/types.ts';
import { identityKey } from './addresses.ts';
import { type ApiRoute, bytesRoute, route } from './route.ts';
import { methodRequest, twinJson } from './twin-mapping.ts';

const identities = [
  ['/twins/:deviceId', 'device'],
  ['/twins/:deviceId/modules/:moduleId', 'module'],
] as const;

/** Of this thread. */
const answers = new Turns(() => limits.twinCharsPerTurn);
/** As what an answer counts: four in a turn. */
const CHANGED_CHARS = 16 * 1024;

type TwinHub = Pick<Hub, 'twins' | 'methods'>;

export function twinRoutes(hub: TwinHub): readonly ApiRoute[] {
  return identities.flatMap(([url, of]) => [
    route({
      method: 'GET',
      url,
      summary: `The twin of a ${of}`,
      tag: 'twins',
      answers: { 200: twinSchema },
      handle: async ({ principal, params }) => {
        const json = twinJson(await hub.twins.get(principal, identityKey(params)));
        return { status: 200, body: json, etag: json.etag };
      },
    }),
    changeRoute(hub, 'PATCH', url, 'merge', `Merges into tags and desired properties of a ${of}; null deletes`),
    changeRoute(
      hub,
      'PUT',
      url,
      'replace',
      `Replaces the sections that the body has, tags or desired properties of a ${of}`,
    ),
    bytesRoute({
      method: 'POST',
      url: `${url}/methods`,
      summary: `Invokes a method of a connected ${of} and answers what it has answered`,
      tag: 'methods',
      waits: true,
      body: 'bytes',
      bodyShape: methodRequestSchema,
      answers: { 200: methodResultSchema },
      handle: async ({ principal, params, body, signal }) => {
        const { status, payload } = await hub.methods.invoke(
          principal,
          identityKey(params),
          methodRequest(body),
          signal,
        );
        return { status: 200, jsonText: `{"status":${status},"payload":${payload}}` };
      },
    }),
  ]);
}

function changeRoute(
  { twins }: TwinHub,
  method: 'PATCH' | 'PUT',
  url: string,
  kind: TwinChange['kind'],
  summary: string,
): ApiRoute {
  return bytesRoute({
    method,
    url,
    summary,
    tag: 'twins',
    body: 'bytes',
    bodyShape: twinChangeSchema,
    answers: { 200: twinSchema },
    handle: async ({ principal, params, body, ifMatch }) => {
      const change = readTwinChange(body, kind);
      const view = await twins.change(principal, identityKey(params), change, ifMatch);
      // Many are answered together, each with a document that nobody knows the length of.
      const turn = answers.take(shareName(principal), CHANGED_CHARS);
      if (turn !== undefined) await turn;
      const json = twinJson(view);
      return { status: 200, body: json, etag: json.etag };
    },
  });
}
