/** TLS handshakes that come to nothing: what the log, the metrics and the monitoring stream tell of them. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import { silentLog } from '../../src/base/log.ts';
import type { HandshakeFailure } from '../../src/protocols/shared/handshake-failure.ts';
import { type Listener, listen } from '../../src/protocols/shared/listener.ts';
import { createTestTls } from '../drivers/http.ts';
import { startHub } from '../drivers/hub.ts';
import { MonitoringReader } from '../drivers/monitoring.ts';

let listener: Listener;
let ca: string;
const failures: HandshakeFailure[] = [];
let told: () => void = () => {};

before(async () => {
  const source = await createTestTls();
  ca = source.ca;
  listener = await listen({
    name: 'mqttsPort',
    port: 0,
    addresses: ['127.0.0.1'],
    tls: source,
    log: silentLog,
    failed(failure) {
      failures.push(failure);
      told();
    },
    accept: (socket) => void socket.pipe(socket),
  });
});

after(() => listener.close());

async function failureOf(attempt: () => net.Socket): Promise<HandshakeFailure> {
  const failed = new Promise<void>((resolve) => {
    told = resolve;
  });
  const socket = attempt();
  socket.on('error', () => {});
  await failed;
  socket.destroy();
  assert.equal(failures.length, 1);
  const [failure] = failures.splice(0);
  assert.equal(failure.peer, '127.0.0.1');
  assert.equal(failure.port, 'mqttsPort');
  return failure;
}

const connect = (options: tls.ConnectionOptions) => () =>
  tls.connect({ host: '127.0.0.1', port: listener.port, servername: 'localhost', ca, ...options });

test('a client that has no suite of ours: which ones it offers', async () => {
  const { reason, offered } = await failureOf(
    connect({ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256', ecdhCurve: 'P-384' }),
  );
  assert.equal(reason, 'no-shared-suite');
  assert.match(offered ?? '', /^versions TLS 1\.2; suites 0xc02f; groups P-384; .* server name localhost$/);
});

test('too old a version, a signature that we do not make, a client that does not trust us, clear text, garbage', async () => {
  const old = connect({ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' });
  assert.deepEqual([(await failureOf(old)).reason], ['no-shared-version']);
  const signature = await failureOf(connect({ minVersion: 'TLSv1.3', sigalgs: 'ecdsa_secp521r1_sha512' }));
  assert.equal(signature.reason, 'no-shared-signature');
  assert.match(signature.offered ?? '', /signatures ecdsa_secp521r1_sha512/);
  const say = (text: string | Buffer) => () => {
    const socket = net.connect(listener.port, '127.0.0.1');
    socket.write(text);
    return socket.resume();
  };
  const clear = await failureOf(say('GET / HTTP/1.1\r\n\r\n'));
  assert.deepEqual([clear.reason, clear.offered], ['not-tls', undefined]);
  assert.equal((await failureOf(say(Buffer.alloc(64, 0xff)))).offered, undefined);
  const gone = await failureOf(() => {
    const socket = net.connect(listener.port, '127.0.0.1');
    socket.write(Buffer.from([22, 3, 1, 0, 200, 1, 0]), () => setTimeout(() => socket.resetAndDestroy(), 20));
    return socket;
  });
  assert.equal(gone.reason, 'closed-by-client');
});

test('an open port that is only looked at is no failure, and a ClientHello may come byte by byte', async () => {
  const looked = net.connect(listener.port, '127.0.0.1');
  await once(looked, 'connect');
  looked.end();
  await once(looked.resume(), 'close');

  const between = net.createServer((client) => {
    const hub = net.connect(listener.port, '127.0.0.1');
    hub.setNoDelay(true);
    hub.pipe(client);
    let last: Promise<unknown> = Promise.resolve();
    client.on('data', (bytes: Buffer) => {
      for (const byte of bytes) {
        last = last.then(() => {
          hub.write(Buffer.from([byte]));
          return new Promise((resolve) => setImmediate(resolve));
        });
      }
    });
    for (const socket of [client, hub]) {
      socket.on('error', () => {});
      socket.on('close', () => [client, hub].map((each) => each.destroy()));
    }
  });
  between.listen(0, '127.0.0.1');
  await once(between, 'listening');
  const slow = tls.connect({
    host: '127.0.0.1',
    port: (between.address() as net.AddressInfo).port,
    servername: 'localhost',
    ca,
  });
  await once(slow, 'secureConnect');
  slow.write('x');
  assert.equal(String((await once(slow, 'data'))[0]), 'x');
  slow.destroy();
  between.close();
  assert.deepEqual(failures, []);
});

for (const threads of ['1', '2']) {
  test(`a hub with ${threads} listener threads tells of it in its log, metrics and live events`, async () => {
    await using hub = await startHub({ args: ['--threads', threads] });
    const port = hub.endpoints.ports.mqtts ?? 0;
    const admin = `http://127.0.0.1:${hub.endpoints.ports.admin}`;
    await using reader = await MonitoringReader.open(hub);
    for (let time = 0; time < 3; time++) {
      const socket = tls.connect({
        ...{ host: '127.0.0.1', port, servername: 'localhost', ca: hub.ca },
        ...{ maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' },
      });
      await once(socket, 'error');
    }
    const event = await reader.next(({ type }) => type === 'handshakeFailed');
    assert.deepEqual([event.port, event.reason, event.peer], ['mqttsPort', 'no-shared-suite', '127.0.0.1']);
    assert.match(String(event.offered), /suites 0x002f/);
    const page = await (await fetch(`${admin}/metrics`)).text();
    assert.match(page, /^mooring_tls_handshakes_failed_total\{port="mqttsPort",reason="no-shared-suite"\} 3$/m);
    const lines = hub.stderr().match(/.*a TLS handshake has failed.*/g) ?? [];
    assert.equal(lines.length, 1);
    assert.match(lines[0], /versions TLS 1\.2; suites 0x002f/);
  });
}
