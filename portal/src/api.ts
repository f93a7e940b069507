/** Calls of the hub: its own REST API below `/portal/api`, with the session's cookie in place of a token. */

/** The hub said no, or could not be reached. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  /** 0 = no answer came. */
  readonly status: number;
  readonly code: string;
  /** Finds the request in the hub's log. */
  readonly trackingId: string | undefined;

  constructor(message: string, facts: { status: number; code: string; trackingId?: string | undefined }) {
    super(message);
    this.status = facts.status;
    this.code = facts.code;
    this.trackingId = facts.trackingId;
  }
}

export interface Call {
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface Answer<T> {
  readonly data: T;
  readonly headers: Headers;
  readonly status: number;
}

export const API_VERSION = '2021-04-12';
let csrf = '';
let lost = (_node: string | undefined): void => {};
/** Which node answered last; undefined = the hub is one process. */
let answering: string | undefined;

/** The half of the session that the page shows by itself; the cookie is the other one. */
export function setCsrf(token: string): void {
  csrf = token;
}

export const csrfToken = (): string => csrf;

export const csrfHeader = (): Readonly<Record<string, string>> => (csrf === '' ? {} : { 'x-mooring-csrf': csrf });

/** Which node of the hub has answered last. */
export const answeringNode = (): string | undefined => answering;

/** Who is told when the hub knows this session no more, and which of its nodes has said so. */
export function onSessionLost(listener: (node: string | undefined) => void): void {
  lost = listener;
}

/** A request of the portal's own: `/portal/…`. @throws Refusal */
export async function ask<T>(method: string, path: string, call: Call = {}): Promise<Answer<T>> {
  const query = queryText(call.query ?? {});
  let response: Response;
  try {
    response = await fetch(query === '' ? path : `${path}?${query}`, {
      method,
      credentials: 'same-origin',
      headers: {
        accept: 'application/json',
        ...csrfHeader(),
        ...(call.body !== undefined && { 'content-type': 'application/json; charset=utf-8' }),
        ...call.headers,
      },
      ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
      ...(call.signal && { signal: call.signal }),
    });
  } catch (error) {
    if (call.signal?.aborted) throw error;
    throw new Refusal('The hub did not answer. Is it running? This page tries again when it is back.', {
      status: 0,
      code: 'NoAnswer',
    });
  }
  answering = response.headers.get('x-mooring-node') ?? answering;
  const text = await response.text();
  const data = parsed(text);
  if (response.ok) return { data: data as T, headers: response.headers, status: response.status };
  if (response.status === 401 && path !== '/portal/session') void checkSession();
  throw refusalOf(response, data);
}

/** A request of the REST API, by its own path, e.g. `/devices/d1` (ids encoded). @throws Refusal */
export function api<T>(method: string, path: string, call: Call = {}): Promise<Answer<T>> {
  const query = { ...call.query, 'api-version': API_VERSION };
  if (!/\/\.\.?(?:\/|$)/.test(path)) return ask<T>(method, `/portal/api${path}`, { ...call, query });
  // A browser takes `.` and `..` out of an address, also where they are encoded; a device may be called so.
  const whole = `${path.replace(/(?<=\/)\.\.?(?=\/|$)/g, (dots) => '%2E'.repeat(dots.length))}?${queryText(query)}`;
  return ask<T>(method, '/portal/api/-', { ...call, query: {}, headers: { ...call.headers, 'x-mooring-path': whole } });
}

const queryText = (query: Readonly<Record<string, string | undefined>>): string =>
  new URLSearchParams(
    Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined),
  ).toString();

/** A 401 is the hub's word about a permission, or the end of the session: asking for the session tells which. */
export async function checkSession(): Promise<void> {
  try {
    await ask('GET', '/portal/session');
  } catch (error) {
    if (error instanceof Refusal && error.status === 401) lost(answering);
  }
}

function refusalOf(response: Response, data: unknown): Refusal {
  const body = (typeof data === 'object' && data !== null ? data : {}) as Record<string, unknown>;
  const message = typeof body.Message === 'string' ? body.Message : '';
  const exception = typeof body.ExceptionMessage === 'string' ? body.ExceptionMessage : '';
  const [, code, text] = /^ErrorCode:([^;]*);([\s\S]*)$/.exec(message) ?? [];
  return new Refusal(text ?? (message || `The hub answered with status ${response.status}.`), {
    status: response.status,
    code: code ?? response.headers.get('iothub-errorcode') ?? `Status${response.status}`,
    trackingId:
      /Tracking ID:([0-9a-f]{32})/i.exec(exception)?.[1] ?? response.headers.get('x-ms-request-id') ?? undefined,
  });
}

function parsed(text: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
