/** What an operation of the API says of itself; `app.ts` makes the rest of it. */
import type http from 'node:http';
import type { z } from 'zod';
import type { Principal } from '../../core/identity/types.ts';
import type { PathParameters } from './addresses.ts';
import type { JsonBounds } from './json-body.ts';

export type Method = 'GET' | 'PUT' | 'POST' | 'DELETE' | 'PATCH';

/** One operation of the API: its address, its shapes, and what it does. */
export interface ApiRoute<Body = unknown, Query = unknown> {
  readonly method: Method;
  readonly url: string;
  readonly summary: string;
  readonly tag: string;
  /**
   * `device`: the identity of the path proves itself, or a policy with DeviceConnect for it, and no `api-version` is asked
   * for. Else any bearer of a token may call; the operation asks for the permission.
   */
  readonly caller?: 'device';
  /** What the bytes of a body are, for a route that reads JSON by itself: sent as JSON or refused. */
  readonly bodyShape?: z.ZodType;
  /** `bytes`: whatever comes, under any content type. `stream`: the same, as it comes and as long as it likes. */
  readonly body?: z.ZodType<Body> | 'bytes' | 'stream';
  /** The answer waits for a device, perhaps for minutes: such requests do not count among the others of their caller. */
  readonly waits?: true;
  /** The answer goes on for as long as the client likes; the operation itself bounds how many there are. */
  readonly isLive?: true;
  /** How much JSON the body may be; absent = `limits.httpJsonValuesMax`. */
  readonly bodyBounds?: JsonBounds;
  readonly query?: z.ZodType<Query>;
  /** What the answers hold, by status; null = nothing, `bytes` = any content. */
  readonly answers: Readonly<Record<number, z.ZodType | 'bytes' | null>>;
  /** HEAD is answered, too: as GET, without what `stream` would give (RFC 9110 section 9.3.2). */
  readonly hasHead?: true;
  handle(call: ApiCall<Body, Query>): Promise<ApiAnswer>;
}

export interface ApiCall<Body, Query> {
  readonly principal: Principal;
  readonly params: PathParameters & Readonly<Record<string, string | undefined>>;
  /** A `Buffer` of a route that takes bytes, empty when nothing was sent; an `http.IncomingMessage` of one that takes a stream. */
  readonly body: Body;
  readonly query: Query;
  /** Names and values as they were written, one after the other. */
  readonly rawHeaders: readonly string[];
  readonly headers: http.IncomingHttpHeaders;
  /** Unquoted, or `*`; absent = not sent. */
  readonly ifMatch: string | undefined;
  /** Only of a route that `hasHead`: the answer is to be one to HEAD. */
  readonly isHead: boolean;
  /** Aborted when the client has gone before it was answered. */
  readonly signal: AbortSignal;
}

export interface ApiAnswer {
  readonly status: number;
  /** JSON. */
  readonly body?: unknown;
  /** In place of `body`: JSON that is text already. */
  readonly jsonText?: string;
  /** In place of `body`. */
  readonly bytes?: Uint8Array;
  /** In place of `body`: read as fast as the client takes it. Its length and type stand in `headers`. */
  readonly stream?: AsyncIterable<Uint8Array>;
  /** Unquoted. */
  readonly etag?: string;
  readonly errorCode?: string;
  /** Sent with their names as they are written here: one SDK compares them by case. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
}

/** Keeps the types of a route's shapes while routes of different shapes stand in one table. */
export function route<Body, Query>(definition: ApiRoute<Body, Query>): ApiRoute {
  return definition as ApiRoute;
}

/** A route whose body is taken as it comes. */
export function bytesRoute<Query>(
  definition: Omit<ApiRoute<Buffer, Query>, 'body'> & { readonly body: 'bytes' },
): ApiRoute {
  return definition as ApiRoute;
}

/** A route whose body is taken while it comes: `limits.requestBytesMax` and the time of a request do not hold for it. */
export function streamRoute<Query>(
  definition: Omit<ApiRoute<http.IncomingMessage, Query>, 'body'> & { readonly body: 'stream' },
): ApiRoute {
  return definition as ApiRoute;
}

/** An address whose room does not exist: any method, anything below it where the URL ends in `*`. */
export interface AbsentRoute {
  readonly url: string;
  /** Where the same path means something else with other methods. */
  readonly method?: Method;
}
