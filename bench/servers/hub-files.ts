/** The hub as a server of files: a device uploads and downloads by signed URLs. */
import https from 'node:https';
import type { PublisherLogin } from '../load/publisher.ts';
import { startTransfers, type TransferRequest } from '../load/transfers.ts';
import { cpuSeconds } from '../process-facts.ts';
import type { FileServer, FileServerKind } from './file-server.ts';
import { type RunningHub, startHub } from './hub.ts';

const API_VERSION = '2021-04-12';

interface Ticket {
  readonly correlationId: string;
  readonly containerName: string;
  readonly blobName: string;
  readonly sasToken: string;
}

/** @param checkout whose hub */
export function hubWithFiles(name: string, checkout: string, flags: readonly string[] = []): FileServerKind {
  return {
    name,
    keeps: 'Put Block of each, then Put Block List; each is synced before its 201',
    async start(directory): Promise<FileServer> {
      const hub = await startHub({ connections: 1, tls: true, directory, bag: '', checkout, flags });
      return { ...filesOf(hub), stop: () => hub.stop() };
    },
  };
}

/** Files of a running hub: of its n-th device. */
export function filesOf(hub: RunningHub, nth = 0): Omit<FileServer, 'stop'> {
  const port = hub.endpoints.ports.https as number;
  const login = hub.logins[nth];
  const files: Omit<FileServer, 'stop'> = {
    port,
    ca: hub.caText,
    cpuSeconds: () => cpuSeconds(hub.pid),
    async upload(name, blocks, blockBytes) {
      const ticket = await begin(hub, login, name);
      const url = urlOf(ticket);
      const ids = Array.from({ length: blocks }, (_, at) =>
        Buffer.from(String(at).padStart(12, '0')).toString('base64'),
      );
      const list = `<BlockList>${ids.map((id) => `<Latest>${id}</Latest>`).join('')}</BlockList>`;
      return {
        blocks: ids.map((id) => ({
          line: `PUT ${url}&comp=block&blockid=${encodeURIComponent(id)}`,
          headers: {},
          bodyBytes: blockBytes,
        })),
        synced: () => ask(hub, 'PUT', `${url}&comp=blocklist`, {}, list).then(() => {}),
        async remove() {
          await ask(hub, 'DELETE', url, {}, '');
          const told = { correlationId: ticket.correlationId, isSuccess: false, statusCode: 0, statusDescription: '' };
          await askAs(hub, login, '/files/notifications', told);
        },
      };
    },
    async download(name, bytes) {
      const blockBytes = 4 * 2 ** 20;
      const { blocks, synced } = await files.upload(name, Math.ceil(bytes / blockBytes), blockBytes);
      const filling = startTransfers({ port, ca: hub.caText, connections: 2 });
      try {
        await filling.run(blocks);
      } finally {
        filling.close();
      }
      await synced();
      return { line: `GET ${blocks[0].line.slice(4, blocks[0].line.indexOf('&comp='))}`, headers: {}, bodyBytes: 0 };
    },
  };
  return files;
}

/** One upload in one piece. */
export async function wholeUpload(hub: RunningHub, nth: number, name: string, bytes: number): Promise<TransferRequest> {
  const url = urlOf(await begin(hub, hub.logins[nth], name));
  return { line: `PUT ${url}`, headers: { 'x-ms-blob-type': 'BlockBlob' }, bodyBytes: bytes };
}

async function begin(hub: RunningHub, login: PublisherLogin, name: string): Promise<Ticket> {
  return JSON.parse(await askAs(hub, login, '/files', { blobName: name })) as Ticket;
}

/** A request of the device's own. */
function askAs(hub: RunningHub, { clientId, password }: PublisherLogin, rest: string, body: object): Promise<string> {
  const headers = { authorization: password, 'content-type': 'application/json' };
  return ask(hub, 'POST', `/devices/${clientId}${rest}?api-version=${API_VERSION}`, headers, JSON.stringify(body));
}

const urlOf = ({ containerName, blobName, sasToken }: Ticket): string => `/${containerName}/${blobName}${sasToken}`;

function ask(
  { endpoints, caText }: RunningHub,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const length = { 'content-length': String(Buffer.byteLength(body)) };
    const request = https.request(
      {
        host: 'localhost',
        port: endpoints.ports.https as number,
        ca: caText,
        method,
        path,
        headers: { ...headers, ...length },
      },
      (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => {
          text += chunk.toString();
        });
        response.on('end', () => {
          const { statusCode = 0 } = response;
          if (statusCode >= 200 && statusCode < 300) resolve(text);
          else reject(new Error(`${method} ${path.split('?')[0]}: ${statusCode} ${text.slice(0, 300)}`));
        });
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}
