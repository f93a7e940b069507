/** HubError -> HTTP: status, `iothub-errorcode`, error body of form A (service reference 3.1). */
import type { z } from 'zod';
import type { ErrorBody } from '../../api/hub.ts';
import { limits } from '../../base/limits.ts';
import { asSentence } from '../../base/text.ts';
import { type ErrorCode, errorTable, HubError } from '../../core/errors.ts';

export interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: ErrorBody;
}

export interface RefusalContext {
  /** UUID of the request; the log carries the same. */
  readonly requestId: string;
  /** UTC milliseconds. */
  readonly now: number;
}

/** `status` differs from the table's only for what HTTP itself refuses and the table has no entry for (408, 431). */
export function refusalOf(error: HubError, context: RefusalContext, status = error.status): Refusal {
  const headers: Record<string, string> = {
    'content-type': 'application/json; charset=utf-8',
    'iothub-errorcode': error.code,
    'x-ms-request-id': context.requestId,
  };
  if (status === 401) headers['www-authenticate'] = 'SharedAccessSignature';
  const retryAfter = retryAfterSeconds(error, context.now);
  if (retryAfter !== undefined) headers['retry-after'] = String(retryAfter);
  return { status, headers, body: errorBody(error, context) };
}

function errorBody(error: HubError, { requestId, now }: RefusalContext): ErrorBody {
  const [date, time] = new Date(now).toISOString().split('T');
  const [year, month, day] = date.split('-');
  return {
    // Node's client splits at `;` and takes the second part as the text, so the text must not hold one.
    Message: `ErrorCode:${error.code};${publicText(error).replaceAll(';', ',')}`,
    ExceptionMessage: `Tracking ID:${requestId.replaceAll('-', '')}-G:0-TimeStamp:${month}/${day}/${year} ${time.slice(0, 8)}`,
  };
}

/** Failed authentication has one text, whatever failed; a failure of ours says nothing about its cause. */
function publicText(error: HubError): string {
  if (error.code === 'IotHubUnauthorized') return 'Unauthorized';
  if (error.code === 'ServerError') return errorTable.ServerError.meaning;
  if (error.limit === undefined) return error.message;
  const { name, scope, current, max, freeAt } = error.limit;
  const frees = freeAt === undefined ? '' : `, free at ${new Date(freeAt).toISOString()}`;
  return `${asSentence(error.message)} Limit ${name} of ${scope}: ${current} of ${max}${frees}.`;
}

function retryAfterSeconds(error: HubError, now: number): number | undefined {
  if (error.status !== 429 && error.status !== 503) return undefined;
  if (error.limit?.freeAt !== undefined) return Math.max(1, Math.ceil((error.limit.freeAt - now) / 1000));
  return errorTable[error.code].retry ? 1 : undefined;
}

/** What zod found wrong, by place (from `where` on) and never by value: keys travel in these bodies. */
export function invalidArgument(error: z.ZodError, ...where: readonly PropertyKey[]): HubError {
  const found = error.issues.slice(0, 3).map((issue) => `${[...where, ...issue.path].join('.')}: ${issue.message}`);
  return new HubError('ArgumentInvalid', found.map((text) => text.slice(0, limits.httpFaultCharsMax)).join(', '));
}

/** Errors that the HTTP framework raises before a handler runs. */
const frameworkCodes: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'MessageTooLarge',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'UnsupportedMediaType',
  FST_ERR_BAD_URL: 'IotHubFormatError',
  FST_ERR_MAX_PARAM_LENGTH: 'ArgumentInvalid',
};

const frameworkTexts: Readonly<Record<string, string>> = {
  FST_ERR_BAD_URL: 'The path is not correctly percent-encoded.',
  FST_ERR_MAX_PARAM_LENGTH: 'An id in the path is too long.',
};

/** A refusal for whatever was thrown; what is not expected becomes a `ServerError` with its cause. */
export function hubErrorOf(error: unknown): HubError {
  if (error instanceof HubError) return error;
  const { code, statusCode } = (error ?? {}) as { readonly code?: unknown; readonly statusCode?: unknown };
  if (typeof code === 'string' && code in frameworkCodes) {
    return new HubError(frameworkCodes[code], frameworkTexts[code]);
  }
  // The request ended or broke off while its body was read: the peer's doing, not a failure of the hub.
  const isPeers = typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500;
  if (isPeers) return new HubError('IotHubFormatError', undefined, { cause: error });
  return new HubError('ServerError', undefined, { cause: error });
}
