/** The client of the management API against hubs and things that are none. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import tls from 'node:tls';
import { createApiClient } from '../../src/api/client.ts';
import { limits } from '../../src/base/limits.ts';
import { createTestTls, openHttpHub } from '../drivers/http.ts';

const key = Buffer.alloc(32, 3).toString('base64');
const connectionString = `HostName=localhost;SharedAccessKeyName=iothubowner;SharedAccessKey=${key}`;

/** A TLS server that sends `answer` to whatever comes; nothing when it is undefined. */
async function openImpostor(
  answer: Buffer | string | undefined,
): Promise<AsyncDisposable & { port: number; ca: string }> {
  const source = await createTestTls();
  const sockets = new Set<tls.TLSSocket>();
  const { cert, key } = source.current();
  const server = tls.createServer({ cert: [...cert], key: [...key] }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => answer !== undefined && socket.end(answer));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    ca: source.ca,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

test('what keeps an answer from coming is explained, without the key', async () => {
  await using http = await openHttpHub();
  const free = net.createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  const { port: closedPort } = free.address() as net.AddressInfo;
  free.close();
  await once(free, 'close');
  await using silent = await openImpostor(undefined);
  const { ca } = http.tls;
  const attempts: readonly (readonly [Parameters<typeof createApiClient>[0], RegExp])[] = [
    [{ connectionString, port: closedPort, ca }, /nothing listens there/],
    [{ connectionString, port: http.door.port, ca: silent.ca }, /certificate|CA/],
    [{ connectionString, port: silent.port, ca: silent.ca, timeoutMs: 200 }, /within 200 ms/],
  ];
  for (const [options, message] of attempts) {
    const client = createApiClient(options);
    await assert.rejects(client.hub(), (error: Error) => {
      assert.match(error.message, message);
      assert.match(error.message, /^No answer from the hub at localhost:\d+: /);
      assert.equal(error.message.includes(key), false);
      return true;
    });
    client.close();
  }
  assert.throws(() => createApiClient({ connectionString, caFile: '/nowhere/ca.pem' }), /ca\.pem/);
});

test('an answer that no hub gives is told from a refusal', async () => {
  const answers: readonly (readonly [string, object])[] = [
    ['HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nwelcome', { name: 'UnexpectedAnswerError' }],
    ['HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n', { name: 'UnexpectedAnswerError' }],
    ['HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}', { name: 'UnexpectedAnswerError', message: /name/ }],
    ['HTTP/1.1 502 Bad Gateway\r\ncontent-length: 3\r\n\r\nbad', { name: 'ApiError', status: 502, code: 'Status502' }],
    [
      'HTTP/1.1 429 Too Many\r\nretry-after: 7\r\niothub-errorcode: ThrottlingException\r\ncontent-length: 0\r\n\r\n',
      { name: 'ApiError', code: 'ThrottlingException', retryAfterSeconds: 7 },
    ],
  ];
  for (const [answer, expected] of answers) {
    await using impostor = await openImpostor(answer);
    const client = createApiClient({ connectionString, port: impostor.port, ca: impostor.ca });
    await assert.rejects(client.hub(), expected, answer);
    client.close();
  }
});

test('an answer without end is not read without end', async () => {
  const size = limits.apiAnswerBytesMax + 1;
  const head = `HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`;
  await using impostor = await openImpostor(Buffer.concat([Buffer.from(head), Buffer.alloc(size, 0x20)]));
  const client = createApiClient({ connectionString, port: impostor.port, ca: impostor.ca });
  await assert.rejects(client.hub(), /larger than any of a hub/);
  client.close();
});

test('a port in the host name is connected to and not signed; connections are kept between calls', async () => {
  await using http = await openHttpHub();
  const text = http.connectionString().replace('localhost', `LocalHost:${http.door.port}`);
  const client = createApiClient({ connectionString: text, ca: http.tls.ca });
  for (let call = 0; call < 5; call++) await client.hub();
  assert.equal(http.door.connections(), 1);
  client.close();
});
