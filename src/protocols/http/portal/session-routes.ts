/** Sessions over HTTP: opened by a one-time code or a policy's key, shown, ended; and the codes, for who may read the data folder. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type http from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { limits } from '../../../base/limits.ts';
import { HubError } from '../../../core/errors.ts';
import type { PolicyPrincipal } from '../../../core/identity/types.ts';
import { parseJson } from '../json-body.ts';
import type { PortalOptions } from '../options.ts';
import { invalidArgument } from '../refusals.ts';
import { cookieHeader, cookieName, isSecure } from './browser-rules.ts';
import type { Session } from './sessions.ts';

const loginSchema = z.union([
  z.strictObject({ code: z.string().min(1).max(128) }),
  z.strictObject({ policyName: z.string().min(1).max(128), key: z.string().min(1).max(256) }),
  z.strictObject({ connectionString: z.string().min(1).max(2048) }),
]);

/** The policy that a wrong code counts for, so that it waits as a wrong key does. No policy can have this name. */
const CODE_NAME = 'one-time link';

export interface SessionGate {
  /** The session of a request. @throws HubError IotHubUnauthorized, OperationNotAvailable */
  demand(request: http.IncomingMessage): Session;
}

/** @param port of this door, which is in the cookie's name */
export function addSessionRoutes(
  app: FastifyInstance,
  options: PortalOptions,
  port: () => number,
  gate: SessionGate,
): void {
  const { hub, sessions, publicOrigins } = options;

  app.post('/portal/session', { bodyLimit: limits.portalLoginBytesMax }, async (request, reply) => {
    if (request.headers.origin === undefined && request.headers['sec-fetch-site'] !== undefined) {
      throw new HubError('OperationNotAvailable', 'The browser does not say whose page asks.', {
        reason: 'wrong-host',
      });
    }
    const parsed = loginSchema.safeParse(request.body);
    if (!parsed.success) throw invalidArgument(parsed.error, 'body');
    const proved = await proof(parsed.data, options, request.socket.remoteAddress);
    const { session, cookie, csrf } = sessions.open(proved);
    const secure = isSecure(request.raw, publicOrigins);
    reply.header('set-cookie', cookieHeader(cookieName(port(), secure), cookie, secure));
    return send(reply, 201, { ...shown(session, options), csrf });
  });

  app.get('/portal/session', async (request, reply) => send(reply, 200, shown(gate.demand(request.raw), options)));

  app.delete('/portal/session', async (request, reply) => {
    sessions.end(gate.demand(request.raw), 'signed-out');
    const secure = isSecure(request.raw, publicOrigins);
    reply.header('set-cookie', cookieHeader(cookieName(port(), secure), '', secure));
    return reply.code(204).send();
  });

  // Asked by `mooring portal`, which has read the secret in the data folder.
  app.post('/portal/codes', { bodyLimit: limits.portalLoginBytesMax }, async (request, reply) => {
    if (!holdsSecret(request, options.secret)) {
      await refuseSlowly(options, 'no secret', request.socket.remoteAddress);
    }
    const code = sessions.code(limits.portalCodeMs);
    return send(reply, 201, { code, expiresAt: hub.clock.now() + limits.portalCodeMs });
  });
}

const send = (reply: FastifyReply, status: number, body: object): FastifyReply =>
  reply.code(status).type('application/json; charset=utf-8').send(JSON.stringify(body));

/** Who signs in. @throws HubError IotHubUnauthorized, later with each failure */
async function proof(
  login: z.output<typeof loginSchema>,
  options: PortalOptions,
  peer: string | undefined,
): Promise<PolicyPrincipal> {
  const { hub, sessions, owner } = options;
  if ('code' in login) {
    if (!sessions.useCode(login.code)) return refuseSlowly(options, login.code, peer);
    const permissions = new Set(owner.permissions);
    const common = { kind: 'policy', policyName: owner.name, permissions, scope: [] } as const;
    return { ...common, expiresAt: Number.POSITIVE_INFINITY, ...(peer !== undefined && { peer }) };
  }
  const { policyName, key } = 'key' in login ? login : keyIn(login.connectionString);
  return hub.authentication.policyKey(policyName, key, peer);
}

/** @throws HubError IotHubUnauthorized, always */
function refuseSlowly({ hub }: PortalOptions, shown: string, peer: string | undefined): Promise<PolicyPrincipal> {
  return hub.authentication.policyKey(CODE_NAME, shown, peer);
}

/** @throws HubError ArgumentInvalid that does not repeat what was given */
function keyIn(text: string): { policyName: string; key: string } {
  const parts = new Map(
    text.split(';').map((part) => {
      const at = part.indexOf('=');
      return [part.slice(0, at).trim().toLowerCase(), part.slice(at + 1).trim()] as const;
    }),
  );
  const policyName = parts.get('sharedaccesskeyname');
  const key = parts.get('sharedaccesskey');
  if (policyName === undefined || key === undefined) {
    throw new HubError(
      'ArgumentInvalid',
      'A connection string with SharedAccessKeyName and SharedAccessKey is needed.',
    );
  }
  return { policyName, key };
}

function holdsSecret({ headers }: FastifyRequest, secret: string): boolean {
  const given = /^Bearer (\S{1,128})$/.exec(headers.authorization ?? '')?.[1];
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return given !== undefined && timingSafeEqual(digest(given), digest(secret));
}

function shown({ id, principal, expiresAt }: Session, { hub, version, ports }: PortalOptions) {
  return {
    session: id,
    policyName: principal.policyName,
    permissions: [...principal.permissions],
    hubName: hub.name,
    hostName: hub.hostNames.all[0],
    version,
    expiresAt,
    idleMs: limits.portalSessionIdleMs,
    ports: ports(),
  };
}

/** JSON alone, as every body here is. */
export function addJsonParser(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: FastifyRequest, body: Buffer) =>
    body.length === 0 ? undefined : parseJson(body, { valuesMax: limits.httpJsonValuesMax }),
  );
}
