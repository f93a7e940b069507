/** The HTTP side: one address per network, a secret, a bounded body, and an answer when the message is on a disk. */
import { createHash, timingSafeEqual } from 'node:crypto';
import http from 'node:http';
import { limits } from '../../base/limits.ts';
import { type Host, Refused } from '../../gateway/index.ts';
import type { Devices } from './devices.ts';
import { NotUnderstood } from './events.ts';
import { readEvent } from './network.ts';
import type { NetworkSettings } from './settings.ts';

/** A network that is served. */
export interface Served {
  readonly settings: NetworkSettings;
  readonly devices: Devices;
}

/** An answer that is no success. */
class Answer extends Error {
  readonly status: number;

  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

const PREFIX = '/lorawan/';

/** A server without a port: connections are handed to it. */
export function createWebhooks(host: Host, networks: ReadonlyMap<string, Served>): http.Server {
  let running = 0;
  const options = {
    maxHeaderSize: limits.lorawanHeaderBytesMax,
    requestTimeout: limits.lorawanRequestMs,
    headersTimeout: limits.lorawanRequestMs,
    connectionsCheckingInterval: 1000,
  };
  const server = http.createServer(options, async (request, response) => {
    running++;
    try {
      if (running > limits.lorawanRequestsMax) throw new Answer(503, 'too many requests wait for the hub');
      await serve(request, networks);
      host.metrics.count('webhooks');
      answer(request, response, 204, '');
    } catch (error) {
      const { status, text } = statusOf(error);
      host.metrics.count(`webhooks_${status}`);
      if (status !== 401)
        host.log.warn('A webhook was refused', {
          path: (request.url ?? '').split('?')[0].slice(0, 100),
          status,
          reason: text,
        });
      answer(request, response, status, text);
    } finally {
      running--;
    }
  });
  server.on('clientError', (_error, socket) => socket.destroy());
  return server;
}

async function serve(request: http.IncomingMessage, networks: ReadonlyMap<string, Served>): Promise<void> {
  const url = URL.parse(request.url ?? '/', 'http://adapter') ?? new URL('http://adapter');
  // The Things Stack may be told to put a path of its own behind the base address for each kind of event.
  const name = url.pathname.startsWith(PREFIX) ? url.pathname.slice(PREFIX.length).split('/')[0] : '';
  const network = networks.get(name);
  // Before the secret is shown, a network that there is not looks the same.
  const shown = secretShown(request.headers.authorization);
  if (network === undefined || shown === undefined || !isSame(shown, network.settings.secret))
    throw new Answer(401, 'the secret of the network is needed');
  if (request.method !== 'POST') throw new Answer(405, 'webhooks are sent by POST');
  const body = await bodyOf(request);
  await network.devices.take(readEvent(network.settings.kind, body, url.searchParams.get('event')));
}

/** `Bearer SECRET`, or the password of `Basic`. */
function secretShown(header: string | undefined): string | undefined {
  const [, scheme = '', value = ''] = /^(\w+) +(.*)$/.exec(header ?? '') ?? [];
  if (/^bearer$/i.test(scheme)) return value;
  if (!/^basic$/i.test(scheme)) return undefined;
  const text = Buffer.from(value, 'base64').toString('utf8');
  return text.includes(':') ? text.slice(text.indexOf(':') + 1) : undefined;
}

/** Digests have one length, so that comparing them tells nothing. */
function isSame(shown: string, secret: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(shown), digest(secret));
}

/** @throws Answer 400, 413 */
async function bodyOf(request: http.IncomingMessage): Promise<unknown> {
  const bytesMax = limits.lorawanBodyBytesMax;
  const tooLarge = (): Answer => new Answer(413, `a webhook has at most ${bytesMax} bytes`);
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) throw tooLarge();
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += (chunk as Buffer).length;
    if (bytes > bytesMax) throw tooLarge();
    chunks.push(chunk as Buffer);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new Answer(400, 'the body is no JSON: choose JSON as the format of the webhook');
  }
}

function statusOf(error: unknown): { readonly status: number; readonly text: string } {
  if (error instanceof Answer) return { status: error.status, text: error.message };
  if (error instanceof NotUnderstood) return { status: 422, text: error.message };
  if (error instanceof Refused) {
    const status =
      error.code === 'throttled'
        ? 429
        : error.retry || error.code === 'closed'
          ? 503
          : error.code === 'tooLarge'
            ? 413
            : 403;
    return { status, text: error.message };
  }
  return { status: 500, text: (error as Error).message };
}

function answer(request: http.IncomingMessage, response: http.ServerResponse, status: number, text: string): void {
  if (response.headersSent || response.destroyed) return;
  // A body that is not wanted is not read: the connection ends behind the answer.
  const headers = request.complete ? {} : { connection: 'close' };
  response.writeHead(status, { ...headers, ...(text !== '' && { 'content-type': 'text/plain; charset=utf-8' }) });
  // Of what goes wrong in the adapter itself a caller learns nothing.
  response.end(status === 500 ? 'error' : text);
}
