/** Calls of a server's API: its address is the operator's, its answers are bounded, and nothing is redirected. */
import http from 'node:http';
import https from 'node:https';
import { limits } from '../../base/limits.ts';

/** The server has not taken the call. */
export class CallFailed extends Error {
  override readonly name = 'CallFailed';
  /** It may take it later. */
  readonly retry: boolean;

  constructor(text: string, retry: boolean) {
    super(text);
    this.retry = retry;
  }
}

/**
 * Posts JSON. @param ca PEM; undefined = what the system trusts @returns the answer as JSON, undefined where it is none
 * @throws CallFailed; what `signal` was aborted with
 */
export async function postJson(
  url: string,
  headers: Readonly<Record<string, string>>,
  value: unknown,
  ca: string | undefined,
  signal: AbortSignal,
): Promise<unknown> {
  const body = Buffer.from(JSON.stringify(value));
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  const timeout = AbortSignal.timeout(limits.lorawanCallMs);
  const options = {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json', 'content-length': body.length },
    signal: AbortSignal.any([signal, timeout]),
  };
  const request = url.startsWith('https:')
    ? https.request(url, { ...options, ...(ca !== undefined && { ca }) })
    : http.request(url, options);
  request.on('response', resolve).on('error', reject).end(body);
  try {
    const response = await promise;
    const text = await bounded(response);
    const { statusCode = 0 } = response;
    if (statusCode >= 200 && statusCode < 300) return jsonOrNothing(text);
    // 408, 425, 429 and 5xx may pass; a redirect does not, and is not followed.
    const retry = statusCode >= 500 || [408, 425, 429].includes(statusCode);
    throw new CallFailed(`the server answered ${statusCode}: ${text.slice(0, 200)}`, retry);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof CallFailed) throw error;
    const why = timeout.aborted ? `no answer within ${limits.lorawanCallMs / 1000} seconds` : (error as Error).message;
    throw new CallFailed(`the server could not be called: ${why}`, true);
  }
}

async function bounded(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    bytes += (chunk as Buffer).length;
    if (bytes > limits.lorawanAnswerBytesMax) {
      response.destroy();
      throw new CallFailed('the server answered with too many bytes', false);
    }
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function jsonOrNothing(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
