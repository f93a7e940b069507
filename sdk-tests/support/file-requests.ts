/** Uploads as the C SDK makes them, byte for byte, and downloads by a back end. */
import assert from 'node:assert/strict';
import https from 'node:https';
import tls from 'node:tls';
import type { TestHub } from '../../test/drivers/hub.ts';
import { sumOf } from './file-content.ts';
import { type Device, sasToken } from './hub.ts';

/**
 * One upload: a ticket, a request for each block, the list, and the word that it has ended. No request for a blob has a header
 * but those that HTTP needs, and the slash of its name is encoded.
 */
export async function uploadAsC(
  hub: TestHub,
  { deviceId, key }: Device,
  name: string,
  blocks: readonly Buffer[],
): Promise<void> {
  await using wire = await Wire.open(`localhost:${hub.endpoints.ports.https}`, hub.ca);
  const expires = Math.floor(Date.now() / 1000) + 3600;
  const own =
    `Host: localhost\r\nContent-Type: application/json\r\nAccept: application/json\r\n` +
    `User-Agent: iothubclient/1.15.0\r\nAuthorization: ${sasToken(`localhost/devices/${deviceId}`, key, expires)}\r\n`;
  const begun = await wire.ask(
    `POST /devices/${deviceId}/files/?api-version=2016-11-14 HTTP/1.1\r\n${own}`,
    JSON.stringify({ blobName: name }),
  );
  assert.equal(begun.status, 200, begun.body);
  const ticket = JSON.parse(begun.body);
  // The SDK makes one URL, and takes the host out of it again: what stands behind its slash belongs to the path.
  const url = `https://${ticket.hostName}/${ticket.containerName}/${ticket.blobName.replaceAll('/', '%2F')}${ticket.sasToken}`;
  const [, host, target] = /^https:\/\/([^/]+)(.*)$/.exec(url) ?? [];
  await using store = await Wire.open(host === 'localhost' ? `${host}:443` : host, hub.ca);
  const ids = blocks.map((_, nth) => Buffer.from(String(nth).padStart(6, ' ')).toString('base64'));
  for (const [nth, block] of blocks.entries()) {
    assert.equal(ids[nth].length, 8);
    const staged = await store.ask(
      `PUT ${target}&comp=block&blockid=${encodeURIComponent(ids[nth])} HTTP/1.1\r\nHost: ${host}\r\n`,
      block,
    );
    assert.equal(staged.status, 201, staged.body);
  }
  const list = ids.map((id) => `<Latest>${id}</Latest>`).join('');
  const listed = await store.ask(
    `PUT ${target}&comp=blocklist HTTP/1.1\r\nHost: ${host}\r\n`,
    `<?xml version="1.0" encoding="utf-8"?>\r\n<BlockList>${list}</BlockList>`,
  );
  assert.equal(listed.status, 201, listed.body);
  const told = await wire.ask(
    `POST /devices/${deviceId}/files/notifications/?api-version=2016-11-14 HTTP/1.1\r\n${own}`,
    `{"correlationId":"${ticket.correlationId}", "isSuccess":true, "statusCode":200, "statusDescription":""}`,
  );
  assert.ok(told.status >= 200 && told.status < 300, `${told.status} ${told.body}`);
}

/** SHA-256 of a file as a back end reads it through the hub. */
export async function sumOfFile(hub: TestHub, deviceId: string, name: string): Promise<string> {
  const [, key = ''] = /SharedAccessKey=([^;]+)/.exec(hub.endpoints.connectionStrings.service) ?? [];
  const authorization = sasToken('localhost', key, Math.floor(Date.now() / 1000) + 3600, 'service');
  const path = `/mooring/v1/devices/${deviceId}/files/${name.split('/').map(encodeURIComponent).join('/')}`;
  return new Promise((resolve, reject) => {
    const options = { host: 'localhost', port: hub.endpoints.ports.https ?? 0, ca: hub.ca, agent: false, path };
    https
      .get({ ...options, headers: { authorization } }, (answer) => {
        if (answer.statusCode === 200) sumOf(answer).then(resolve, reject);
        else reject(new Error(`${path}: ${answer.statusCode}`));
      })
      .once('error', reject);
  });
}

/** One connection that is kept, as C's HTTP library does it; a request is the bytes that the test gives. */
class Wire implements AsyncDisposable {
  readonly #socket: tls.TLSSocket;
  readonly #pieces: AsyncIterator<Buffer>;

  /** @param address host and port */
  static async open(address: string, ca: string): Promise<Wire> {
    const { hostname, port } = new URL(`https://${address}`);
    const socket = tls.connect({ host: hostname, port: Number(port || 443), ca });
    await new Promise((resolve, reject) => socket.once('secureConnect', resolve as () => void).once('error', reject));
    return new Wire(socket);
  }

  private constructor(socket: tls.TLSSocket) {
    this.#socket = socket;
    this.#pieces = socket[Symbol.asyncIterator]();
  }

  async ask(head: string, body: string | Buffer): Promise<{ readonly status: number; readonly body: string }> {
    this.#socket.write(`${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n`);
    this.#socket.write(body);
    let text = '';
    for (;;) {
      const end = text.indexOf('\r\n\r\n');
      const length = Number(/^content-length: *(\d+)/im.exec(text)?.[1] ?? 0);
      if (end !== -1 && text.length >= end + 4 + length) {
        return { status: Number(text.split(' ')[1]), body: text.slice(end + 4) };
      }
      const { value, done } = await this.#pieces.next();
      if (done) throw new Error(`the connection ended: ${text}`);
      text += value.toString('latin1');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
  }
}
