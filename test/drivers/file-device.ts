/** A device that uploads files to a running hub over real HTTPS, byte for byte as storage libraries send it. */
import https from 'node:https';
import { signSas } from '../../src/api/sas.ts';
import { apiOf } from './api.ts';
import type { TestHub } from './hub.ts';

export interface FileAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

export interface Ticket {
  readonly correlationId: string;
  readonly hostName: string;
  readonly containerName: string;
  readonly blobName: string;
  readonly sasToken: string;
}

export interface FileDevice {
  /** A request of the device's own, with its token. */
  ask(method: string, rest: string, body?: unknown): Promise<FileAnswer>;
  begin(blobName: string): Promise<Ticket>;
  /** `path` behind the ticket's URL, `query` between the path and the signature's own. */
  blob(method: string, ticket: Ticket, more?: BlobMore): Promise<FileAnswer>;
}

export interface BlobMore {
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | string;
}

/** Registers the device, or the module of one that is registered. */
export async function fileDevice(hub: TestHub, deviceId: string, moduleId?: string): Promise<FileDevice> {
  const secret = Buffer.from(`${deviceId}/${moduleId ?? ''}`.padEnd(32, '.')).toString('base64');
  const api = apiOf(hub);
  const authentication = { symmetricKey: { primaryKey: secret, secondaryKey: secret } };
  if (moduleId === undefined) await api.devices.create(deviceId, { authentication });
  else await api.modules.create(deviceId, moduleId, { authentication });
  await api.close();
  const device = `/devices/${encodeURIComponent(deviceId)}`;
  const path = moduleId === undefined ? device : `${device}/modules/${encodeURIComponent(moduleId)}`;
  const ask: FileDevice['ask'] = async (method, rest, body) => {
    const expiresAt = Date.now() + 3_600_000;
    const authorization = await signSas({ resource: `localhost${path}`, key: secret, expiresAt });
    const text = body === undefined ? '' : JSON.stringify(body);
    const headers = {
      authorization,
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(text)),
    };
    return request(hub, method, `${path}${rest}`, headers, text);
  };
  return {
    ask,
    async begin(blobName) {
      const answer = await ask('POST', '/files?api-version=2021-04-12', { blobName });
      if (answer.status !== 200) throw new Error(`${answer.status} ${answer.body}`);
      return JSON.parse(answer.body.toString()) as Ticket;
    },
    blob(method, { containerName, blobName, sasToken }, { query = '', headers = {}, body } = {}) {
      const name = blobName.split('/').map(encodeURIComponent).join('/');
      const length: Record<string, string> =
        body === undefined || headers['transfer-encoding'] !== undefined
          ? {}
          : { 'content-length': String(Buffer.byteLength(body)) };
      return request(hub, method, `/${containerName}/${name}${sasToken}${query}`, { ...length, ...headers }, body);
    },
  };
}

/** One request on a connection of its own. */
export function request(
  { endpoints, ca }: Pick<TestHub, 'endpoints' | 'ca'>,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: Buffer | string = '',
): Promise<FileAnswer> {
  return new Promise((resolve, reject) => {
    const port = endpoints.ports.https ?? 0;
    const sent = https.request({ host: 'localhost', port, method, path, headers, ca, agent: false }, (answer) => {
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => pieces.push(piece));
      answer.on('error', reject);
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(pieces) }),
      );
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
