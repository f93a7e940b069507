/** One request of the API and its answer, over any transport: version, conditions, refusals, the shape of what comes. */
import type { z } from 'zod';
import { errorBodySchema } from './hub.ts';
import { bulkResultSchema } from './identities.ts';

/** The newest version of the emulated service's API that SDKs ask for. */
export const API_VERSION = '2021-04-12';

export interface ApiRequest {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE' | 'PATCH';
  /** Path and query, encoded. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Until the answer is there, where that may take longer than the transport waits for others. */
  readonly timeoutMs?: number;
}

export interface ApiResponse {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

/** Sends a request with its credential. Rejects when no answer came. */
export type ApiTransport = (request: ApiRequest) => Promise<ApiResponse>;

/** The hub refused. `code` is its name for the reason (docs/errors.md), e.g. `DeviceNotFound`. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly code: string;
  /** Finds the request in the hub's log. */
  readonly requestId: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    message: string,
    facts: { status: number; code: string; requestId: string | undefined; retryAfterSeconds: number | undefined },
  ) {
    super(message);
    this.status = facts.status;
    this.code = facts.code;
    this.requestId = facts.requestId;
    this.retryAfterSeconds = facts.retryAfterSeconds;
  }
}

/** The answer is not one that a hub of this version gives: a proxy, another program, another version. */
export class UnexpectedAnswerError extends Error {
  override readonly name = 'UnexpectedAnswerError';
}

/** What a call sends beside its path. */
export interface Extra {
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly ifMatch?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** What came, with the headers of the answer, lower-case names. */
export interface Answer<T> {
  readonly data: T;
  readonly headers: ApiResponse['headers'];
}

/** Sends one request, and checks that the answer has the shape. @throws ApiError, UnexpectedAnswerError */
export async function exchange<T>(
  transport: ApiTransport,
  answer: z.ZodType<T>,
  method: ApiRequest['method'],
  path: string,
  { query, body, ifMatch, headers, timeoutMs }: Extra = {},
): Promise<Answer<T>> {
  const response = await transport({
    method,
    path: `${path}?${new URLSearchParams({ ...query, 'api-version': API_VERSION })}`,
    headers: {
      ...headers,
      accept: 'application/json',
      ...(body === undefined ? {} : { 'content-type': 'application/json; charset=utf-8' }),
      ...(ifMatch === undefined ? {} : { 'if-match': `"${ifMatch}"` }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(timeoutMs !== undefined && { timeoutMs }),
  });
  const content = parseJson(response.body);
  // A bulk request that failed in part is answered 400 with the result itself (service reference 2.1).
  const isResult = response.status === 400 && bulkResultSchema.safeParse(content).success;
  if (response.status >= 400 && !isResult) throw refusalOf(response, content);
  const parsed = answer.safeParse(content);
  if (response.status >= 200 && (response.status < 300 || isResult) && parsed.success)
    return { data: parsed.data, headers: response.headers };
  const what = parsed.success ? `status ${response.status}` : parsed.error.issues.map(issueText).slice(0, 3).join(', ');
  throw new UnexpectedAnswerError(`${method} ${path}: the answer is not one of a Mooring hub (${what}).`);
}

/** For an answer without a shape of its own. @throws ApiError, UnexpectedAnswerError unless it is a 2xx */
export function checkedAnswer(response: ApiResponse, method: ApiRequest['method'], path: string): void {
  if (response.status >= 400) throw refusalOf(response, parseJson(response.body));
  if (response.status >= 200 && response.status < 300) return;
  throw new UnexpectedAnswerError(
    `${method} ${path}: the answer is not one of a Mooring hub (status ${response.status}).`,
  );
}

function refusalOf(response: ApiResponse, content: unknown): Error {
  const body = errorBodySchema.safeParse(content);
  const match = body.success ? /^ErrorCode:([^;]*);([\s\S]*)$/.exec(body.data.Message) : null;
  const code = match?.[1] ?? response.headers['iothub-errorcode'] ?? `Status${response.status}`;
  const retryAfter = Number(response.headers['retry-after'] ?? Number.NaN);
  return new ApiError(match?.[2] ?? `The server answered with status ${response.status}.`, {
    status: response.status,
    code,
    requestId: response.headers['x-ms-request-id'],
    retryAfterSeconds: Number.isFinite(retryAfter) ? retryAfter : undefined,
  });
}

function parseJson(text: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const issueText = (issue: z.core.$ZodIssue): string => `${issue.path.join('.') || 'body'}: ${issue.message}`;
