/**
 * Calls of one webhook: HTTPS (HTTP only where private addresses are allowed, for a receiver beside the hub), over connections that are kept,
 * without following redirects; what it answers is bounded, and nothing of a URL but its host is told, since secrets stand there.
 */
import http from 'node:http';
import https from 'node:https';
import { isIP } from 'node:net';
import { limits } from '../../base/limits.ts';
import { isPublicAddress, publicLookup } from '../../base/public-address.ts';

export interface CallerOptions {
  readonly url: URL;
  readonly mayBePrivate: boolean;
  /** PEM; undefined = what the system trusts. */
  readonly ca?: string;
}

export interface WebhookAnswer {
  readonly status: number;
  header(name: string): string | undefined;
  /** What it said, cut. */
  readonly text: string;
}

export class WebhookCaller {
  readonly #options: CallerOptions;
  readonly #agent: http.Agent;
  readonly #request: typeof http.request;

  constructor(options: CallerOptions) {
    this.#options = options;
    const isTls = options.url.protocol === 'https:';
    const settings = {
      keepAlive: true,
      maxSockets: limits.webhookConnectionsMax,
      maxFreeSockets: limits.webhookConnectionsMax,
    };
    this.#agent = isTls ? new https.Agent({ ...settings, ca: options.ca }) : new http.Agent(settings);
    this.#request = isTls ? https.request : http.request;
  }

  /** @throws Error if there is no answer, in words for an operator */
  async call(
    method: 'POST' | 'OPTIONS',
    headers: Readonly<Record<string, string>>,
    body?: Buffer,
  ): Promise<WebhookAnswer> {
    const { url, mayBePrivate } = this.#options;
    if (!mayBePrivate) {
      // An address that stands there itself is never looked up.
      const literal = url.hostname.replace(/^\[|\]$/g, '');
      if (isIP(literal) !== 0 && !isPublicAddress(literal)) {
        throw new Error(`${url.host} is no public address: \`endpointPrivateAddresses\` allows others`);
      }
      if (url.protocol !== 'https:') throw new Error(`${url.host} is to be called by plain HTTP: https is needed`);
    }
    const timeout = AbortSignal.timeout(limits.webhookAnswerMs);
    const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
    const request = this.#request(url, {
      method,
      agent: this.#agent,
      signal: timeout,
      headers: { ...headers, 'content-length': body?.length ?? 0 },
      ...(!mayBePrivate && { lookup: publicLookup }),
    });
    request
      .on('response', resolve)
      .on('error', reject)
      // Without a listener Node drops the connection and says no more, not at the end of the time either.
      .on('upgrade', ({ statusCode }, socket) => {
        socket.destroy();
        reject(new Error(`it has answered ${statusCode}, to go over to another protocol`));
      })
      .on('close', () => reject(new Error('the connection has ended without an answer')))
      .end(body);
    try {
      const response = await promise;
      const text = await cutText(response);
      return {
        status: response.statusCode ?? 0,
        header: (name) => {
          const value = response.headers[name.toLowerCase()];
          return Array.isArray(value) ? value.join(', ') : value;
        },
        text,
      };
    } catch (error) {
      if (timeout.aborted)
        throw new Error(`${url.host} has not answered within ${limits.webhookAnswerMs / 1000} seconds`);
      throw new Error(`${url.host} could not be called: ${(error as Error).message}`);
    }
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** The first bytes of an answer. One that is longer costs its connection, not the hub's memory. */
async function cutText(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > limits.webhookAnswerBytesMax) {
      response.destroy();
      break;
    }
  }
  return Buffer.concat(chunks).subarray(0, limits.webhookAnswerBytesMax).toString('utf8');
}
