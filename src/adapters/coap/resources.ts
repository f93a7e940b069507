/** What a device finds at the adapter: its paths, and what each method does there. */
import { isUtf8 } from 'node:buffer';
import type { DeviceSession, JsonObject, Refused, Settlement, Telemetry } from '../../gateway/index.ts';
import { codes, options, uintOption } from '../../wire/coap/messages.ts';
import { formatOf, JSON_FORMAT, LINK_FORMAT, MERGE_PATCH_FORMAT } from './content.ts';
import { type Answer, answer, busy, type Caller, refusal } from './exchange.ts';
import type { Link } from './links.ts';
import type { Observed } from './observers.ts';
import { queryOf, type Request } from './request.ts';
import { desiredAnswer, reportedAnswer, twinAnswer } from './twin-answers.ts';

/** A request whose device is known, with its body. */
export interface Call {
  readonly request: Request;
  readonly body: Buffer;
  readonly caller: Caller;
  readonly link: Link;
  readonly session: DeviceSession;
  readonly acknowledge: 'stored' | 'hub';
  /** Registers the caller as observer, if the request asks for that. @returns what the answer needs for it */
  observe(resource: Observed): Promise<Observation>;
}

export interface Observation {
  /** True = the answer is to carry the sequence option. */
  readonly isRegistered: boolean;
  /** Gives the observer what waits for it, once the answer is on its way. */
  begin(): void;
}

/** What the hub tells of itself (RFC 6690). */
export const CORE_LINKS = [
  '</telemetry>;rt="mooring.telemetry";ct="0 42 50 60 110 112"',
  '</commands>;rt="mooring.commands";obs',
  '</methods>;rt="mooring.methods";ct=50;obs',
  '</files>;rt="mooring.files"',
  '</twin>;rt="mooring.twin";ct=50',
  '</twin/desired>;rt="mooring.twin.desired";ct=50;obs',
  '</twin/reported>;rt="mooring.twin.reported";ct="50 52"',
].join(',');

export const isDiscovery = (request: Request): boolean =>
  request.path.length === 2 && request.path[0] === '.well-known' && request.path[1] === 'core';

export const discovery = (request: Request): Answer =>
  request.code === codes.get
    ? answer(codes.content, Buffer.from(CORE_LINKS), uintOption(options.contentFormat, LINK_FORMAT))
    : { code: codes.methodNotAllowed };

/** Names in a query that are the hub's, not properties of the message. */
const OWN_NAMES = new Set(['device', 'key', 'token']);

export const isTelemetry = ({ path }: Request): boolean => path[0] === 'telemetry';

export async function serveResource(call: Call): Promise<Answer> {
  const { path } = call.request;
  if (isTelemetry(call.request)) return telemetry(call);
  if (path[0] === 'commands' && path.length === 1) return commands(call);
  if (path[0] === 'commands' && path.length === 2) return settle(call, path[1]);
  if (path[0] === 'methods' && path.length === 1) return methods(call);
  if (path[0] === 'methods' && path.length === 2) return answerMethod(call, path[1]);
  if (path[0] === 'twin') return twin(call);
  return { code: codes.notFound };
}

async function telemetry({ request, body, session, acknowledge }: Call): Promise<Answer> {
  const message = readTelemetry(request);
  return isMessage(message) ? sendTelemetry(session, { ...message, body }, acknowledge) : message;
}

const CHANGED: Answer = { code: codes.changed };

/** Answers when the message is stored. @throws what `DeviceSession.send` throws */
export function sendTelemetry(session: DeviceSession, message: Telemetry, until: 'stored' | 'hub'): Promise<Answer> {
  return session.writable ? session.send(message, until).then(changed) : Promise.resolve(busy(2));
}

const changed = (): Answer => CHANGED;

export const isMessage = (read: Omit<Telemetry, 'body'> | Answer): read is Omit<Telemetry, 'body'> => !('code' in read);

/** What a request to `/telemetry` says of its message; or the answer that refuses it. */
export function readTelemetry(request: Request): Omit<Telemetry, 'body'> | Answer {
  if (request.code !== codes.post && request.code !== codes.put) return { code: codes.methodNotAllowed };
  const format = request.contentFormat === undefined ? undefined : formatOf(request.contentFormat);
  const properties: Record<string, string> = Object.create(null);
  if (request.path.length > 1) properties.path = request.path.slice(1).join('/');
  // A number that has no media type here is told by its number.
  if (request.contentFormat !== undefined && format === undefined)
    properties.contentFormat = String(request.contentFormat);
  let message: Omit<Telemetry, 'body'> = {};
  for (const [name, value] of request.query) {
    if (OWN_NAMES.has(name)) continue;
    if (name === '$mid') message = { ...message, messageId: value };
    else if (name === '$cid') message = { ...message, correlationId: value };
    else if (name === '$created') {
      const created = new Date(/^\d+$/.test(value) ? Number(value) : value);
      if (Number.isNaN(created.getTime()))
        return refusal(codes.badRequest, '$created is no time: ISO 8601, or ms since 1970');
      message = { ...message, created };
    } else properties[name] = value;
  }
  return {
    ...message,
    properties: { ...properties },
    address: `/${request.path.join('/')}`.slice(0, 200),
    ...(format && { contentType: format.contentType }),
    ...(format?.contentEncoding && { contentEncoding: format.contentEncoding }),
  };
}

/** GET gives the command that waits longest; with Observe each one as it comes. It is settled at its own path. */
async function commands(call: Call): Promise<Answer> {
  if (call.request.code !== codes.get) return { code: codes.methodNotAllowed };
  if (call.request.observe === 0) {
    const observation = await call.observe('commands');
    // What waits follows as a notification, which is acknowledged; this answer only says that the device will be told.
    observation.begin();
    return registered(call, observation, { code: codes.content });
  }
  if (call.request.observe === 1) {
    call.link.observers.remove(call.caller, call.request.token);
    return { code: codes.content };
  }
  await call.link.want('commands');
  return (await call.link.inbox.next()) ?? { code: codes.content };
}

const settlements = new Map<string, Settlement>([
  ['complete', 'complete'],
  ['reject', 'reject'],
  ['abandon', 'abandon'],
]);

function settle({ request, link }: Call, tag: string): Answer {
  const outcome = settlements.get(queryOf(request, 'outcome') ?? 'complete');
  if (request.code !== codes.delete && request.code !== codes.post) return { code: codes.methodNotAllowed };
  if (outcome === undefined) return refusal(codes.badRequest, 'outcome is complete, reject or abandon');
  if (!link.inbox.settle(tag, outcome)) return refusal(codes.notFound, 'the device does not hold this command');
  return { code: request.code === codes.delete ? codes.deleted : codes.changed };
}

async function methods(call: Call): Promise<Answer> {
  if (call.request.code !== codes.get) return { code: codes.methodNotAllowed };
  if (call.request.observe === 1) call.link.observers.remove(call.caller, call.request.token);
  else if (call.request.observe === 0) {
    const observation = await call.observe('methods');
    observation.begin();
    return registered(call, observation, { code: codes.content });
  } else return refusal(codes.badRequest, 'methods are observed: send Observe 0');
  return { code: codes.content };
}

function answerMethod({ request, body, link }: Call, id: string): Answer {
  if (request.code !== codes.post && request.code !== codes.put) return { code: codes.methodNotAllowed };
  const status = Number(queryOf(request, 'status') ?? '200');
  if (!Number.isInteger(status)) return refusal(codes.badRequest, 'status is a whole number');
  let payload: unknown;
  if (body.length > 0) {
    payload = jsonOf(body);
    if (payload === undefined) return refusal(codes.badRequest, 'the answer of a method is JSON');
  }
  return link.inbox.answer(id, { status, payload })
    ? { code: codes.changed }
    : refusal(codes.notFound, 'no caller waits for this method');
}

async function twin(call: Call): Promise<Answer> {
  const { request, link, session } = call;
  const part = request.path[1] ?? '';
  if (request.path.length > 2) return { code: codes.notFound };
  if (part === 'reported' && request.code !== codes.get) return report(call);
  if (request.code !== codes.get) return { code: codes.methodNotAllowed };
  if (part === '') return twinAnswer(await session.twin());
  if (part === 'reported') return reportedAnswer(await session.twin());
  if (part !== 'desired') return { code: codes.notFound };
  if (request.observe === 1) link.observers.remove(call.caller, request.token);
  if (request.observe !== 0) return desiredAnswer(await session.twin());
  const observation = await call.observe('desired');
  return registered(call, observation, desiredAnswer(await (await link.want('desired')).twin()));
}

/** Without the option of a sequence an answer says that the client is no observer (RFC 7641 section 3.1). */
function registered(call: Call, { isRegistered }: Observation, given: Answer): Answer {
  if (!isRegistered) return given;
  return { ...given, options: [call.link.observers.sequenceOption(), ...(given.options ?? [])] };
}

async function report({ request, body, session }: Call): Promise<Answer> {
  if (request.code !== codes.patch && request.code !== codes.ipatch && request.code !== codes.post)
    return { code: codes.methodNotAllowed };
  const format = request.contentFormat ?? JSON_FORMAT;
  if (format !== JSON_FORMAT && format !== MERGE_PATCH_FORMAT) return { code: codes.unsupportedContentFormat };
  const patch = jsonOf(body);
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch))
    return refusal(codes.badRequest, 'a report is a JSON object');
  await session.report(patch as JsonObject);
  return { code: codes.changed };
}

/** @returns undefined for what is no JSON */
function jsonOf(body: Buffer): unknown {
  if (!isUtf8(body)) return undefined;
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** A refusal of the host's in the protocol's form. */
export function refusedAnswer(error: Refused): Answer {
  const seconds = Math.max(1, Math.ceil(error.retryAfterSeconds ?? 5));
  switch (error.code) {
    case 'unauthorized':
      return { code: codes.unauthorized };
    case 'disabled':
      return { code: codes.forbidden };
    case 'throttled':
      return answer(codes.tooManyRequests, undefined, uintOption(options.maxAge, seconds));
    case 'notFound':
      return { code: codes.notFound };
    case 'tooLarge':
      return { code: codes.requestEntityTooLarge };
    case 'invalid':
      return refusal(codes.badRequest, error.message.slice(0, 200));
    case 'queueFull':
    case 'unreachable':
    case 'closed':
      return busy(seconds);
  }
}
