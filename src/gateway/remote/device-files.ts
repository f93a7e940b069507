/** Files of devices by the hub's HTTPS port: the requests of a device's SDK, with the gateway's policy as their proof. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { z } from 'zod';
import { signSas } from '../../api/sas.ts';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { Refused, type RefusedCode } from '../refused.ts';
import type { DeviceFiles, FilePart, FileUpload } from '../types.ts';
import type { HubCredential, HubPlace } from './amqp/connection.ts';

export interface HubFilesParts {
  readonly place: HubPlace;
  readonly httpsPort: number;
  readonly credential: HubCredential;
  readonly clock: Pick<Clock, 'now'>;
}

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

interface Answered {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

const API = 'api-version=2021-04-12';
/** What the storage libraries of devices say. */
const BLOB_HEADERS = { 'x-ms-version': '2021-12-02' };
const BLOCK_ID_DIGITS = 6;
const TOKEN_MS = 300_000;

const ticketSchema = z.object({
  correlationId: z.string(),
  containerName: z.string(),
  blobName: z.string(),
  sasToken: z.string(),
});

export class HubFiles {
  readonly #parts: HubFilesParts;
  readonly #agent: https.Agent;

  constructor(parts: HubFilesParts) {
    this.#parts = parts;
    const { host, ca } = parts.place;
    const servername = net.isIP(host) === 0 ? host : '';
    this.#agent = new https.Agent({ keepAlive: true, maxSockets: limits.gatewayFileRequestsMax, servername, ca });
  }

  /** @param device `device`, or `device/module` */
  of(device: string): DeviceFiles {
    const [deviceId, moduleId] = device.split('/').map(encodeURIComponent);
    const base = `/devices/${deviceId}${moduleId === undefined ? '' : `/modules/${moduleId}`}/files`;
    return {
      read: async (name, from, length) => this.#read(base, demandName(name), from, length),
      upload: async (name, contentType) => this.#upload(base, demandName(name), contentType),
    };
  }

  close(): void {
    this.#agent.destroy();
  }

  async #read(base: string, name: string, from: number, length: number): Promise<FilePart> {
    if (length > limits.adapterFilePartBytesMax) throw tooLong();
    const path = `${base}/${name.split('/').map(encodeURIComponent).join('/')}?${API}`;
    const range = { range: `bytes=${from}-${from + Math.max(1, length) - 1}` };
    const answer = await this.#ask({ method: 'GET', path, headers: { ...range, ...(await this.#proof()) } });
    const { headers, status, body } = answer;
    const facts = {
      etag: (headers.etag ?? '').replace(/^"|"$/g, ''),
      contentType: headers['content-type'] ?? 'application/octet-stream',
    };
    const total = Number(/\/(\d+)$/.exec(headers['content-range'] ?? '')?.[1] ?? body.length);
    // Nothing lies behind the end, and in an empty file everything does.
    if (status === 416) return { ...facts, bytes: Buffer.alloc(0), total: Number.isFinite(total) ? total : 0 };
    demandSuccess(answer);
    return { ...facts, bytes: status === 206 ? body : body.subarray(from, from + length), total };
  }

  async #upload(base: string, name: string, contentType = 'application/octet-stream'): Promise<FileUpload> {
    const tell = async (path: string, body: unknown): Promise<Answered> => {
      const headers = { 'content-type': 'application/json', ...(await this.#proof()) };
      return this.#ask({ method: 'POST', path, headers, body: Buffer.from(JSON.stringify(body)) });
    };
    const begun = await tell(`${base}?${API}`, { blobName: name });
    demandSuccess(begun);
    const ticket = ticketSchema.parse(JSON.parse(begun.body.toString('utf8')));
    const { correlationId, containerName, blobName, sasToken } = ticket;
    const blob = `/${containerName}/${blobName.split('/').map(encodeURIComponent).join('/')}${sasToken}`;
    const put = async (query: string, body: Uint8Array, headers: Readonly<Record<string, string>> = {}) =>
      demandStored(
        await this.#ask({ method: 'PUT', path: `${blob}&${query}`, headers: { ...BLOB_HEADERS, ...headers }, body }),
      );
    const blockIds: string[] = [];
    const end = async (isSuccess: boolean): Promise<void> =>
      demandSuccess(await tell(`${base}/notifications?${API}`, { correlationId, isSuccess }));
    return {
      async write(bytes) {
        if (bytes.length > limits.adapterFilePartBytesMax) throw tooLong();
        if (bytes.length === 0) return;
        const id = Buffer.from(String(blockIds.length).padStart(BLOCK_ID_DIGITS, '0')).toString('base64');
        await put(`comp=block&blockid=${encodeURIComponent(id)}`, bytes);
        blockIds.push(id);
      },
      async finish() {
        const list = blockIds.map((id) => `<Latest>${id}</Latest>`).join('');
        const xml = `<?xml version="1.0" encoding="utf-8"?><BlockList>${list}</BlockList>`;
        await put('comp=blocklist', Buffer.from(xml), { 'x-ms-blob-content-type': contentType });
        await end(true);
      },
      abandon: () => end(false),
    };
  }

  async #proof(): Promise<{ authorization: string }> {
    const { credential, place, clock } = this.#parts;
    if (credential.kind === 'token') return { authorization: credential.token };
    const { key, policyName } = credential;
    const expiresAt = clock.now() + TOKEN_MS;
    return { authorization: await signSas({ resource: place.host, key, policyName, expiresAt }) };
  }

  /** @throws Refused unreachable */
  async #ask({ method, path, headers, body }: Asked): Promise<Answered> {
    const { place, httpsPort } = this.#parts;
    const host = place.address ?? place.host;
    const length = body === undefined ? {} : { 'content-length': String(body.length) };
    try {
      const request = https.request({
        ...{ agent: this.#agent, host, port: httpsPort, method, path, timeout: limits.gatewayAnswerMs },
        headers: { host: place.host, ...headers, ...length },
      });
      request.on('timeout', () => request.destroy(new Error('it does not answer')));
      request.end(body);
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      const pieces: Buffer[] = [];
      let bytes = 0;
      for await (const piece of response) {
        bytes += piece.length;
        if (bytes > ANSWER_BYTES_MAX) throw new Error('its answer is too long');
        pieces.push(piece);
      }
      return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) };
    } catch (error) {
      const why = `The hub cannot be reached at ${host}:${httpsPort}, where its files are: ${(error as Error).message}`;
      throw new Refused('unreachable', why);
    }
  }
}

/**
 * The hub refuses such names itself, but what stands between may resolve them before it sees them, and the gateway's policy opens the
 * files of every device.
 */
function demandName(name: string): string {
  const isOwn = name.isWellFormed() && !/(?:^|\/)\.{0,2}(?:\/|$)|\\/.test(name);
  if (!isOwn || name.length > limits.fileNameCharsMax)
    throw new Refused('invalid', 'A name of a file has up to 1,024 characters, and no segment that is empty, . or ..');
  return name;
}

const ANSWER_BYTES_MAX = 2 * limits.adapterFilePartBytesMax;

const tooLong = (): Refused =>
  new Refused('invalid', `A part of a file has up to ${limits.adapterFilePartBytesMax} bytes.`);

const codes: Readonly<Record<number, RefusedCode>> = {
  401: 'unauthorized',
  403: 'throttled',
  404: 'notFound',
  413: 'tooLarge',
  429: 'throttled',
};

/** @throws Refused */
function demandSuccess({ status, body }: Answered): void {
  if (status >= 200 && status < 300) return;
  const code = codes[status] ?? (status >= 500 ? 'unreachable' : 'invalid');
  throw new Refused(code, `The hub answers with ${status}: ${body.toString('utf8').slice(0, 200)}`);
}

/** Of the signed URL. @throws Refused */
function demandStored(answered: Answered): void {
  const { status, headers, body } = answered;
  if (headers['x-ms-error-code'] === 'QuotaExceeded')
    throw new Refused('queueFull', 'There is no more room for files.');
  // It is of a store elsewhere, or the upload has ended.
  if (status === 403 || status === 404)
    throw new Refused('invalid', `The upload is refused: ${body.toString('utf8').slice(0, 200)}`);
  demandSuccess(answered);
}
