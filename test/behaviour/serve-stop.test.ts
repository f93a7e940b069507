import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import mqtt from 'mqtt';
import { type Exit, startHub, type TestHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';

/** Connects as `deviceId` with a token of the policy `device`, after the owner has made the device over REST. */
async function connectDevice(hub: TestHub, deviceId: string): Promise<mqtt.MqttClient> {
  await createDevice(hub, deviceId);
  const resource = `localhost/devices/${deviceId}`;
  const client = mqtt.connect({
    protocol: 'mqtts',
    host: '127.0.0.1',
    servername: 'localhost',
    port: hub.endpoints.ports.mqtts ?? 0,
    ca: hub.ca,
    clientId: deviceId,
    clean: false,
    username: `localhost/${deviceId}/?api-version=2021-04-12`,
    password: token(resource, hub.endpoints.connectionStrings.device),
    reconnectPeriod: 0,
  });
  client.on('error', () => {});
  await new Promise<void>((resolve, reject) => {
    client.once('connect', () => resolve());
    client.once('error', reject);
  });
  return client;
}

function token(resource: string, connectionString: string): string {
  const policy = /SharedAccessKeyName=([^;]+)/.exec(connectionString)?.[1] ?? '';
  const key = /SharedAccessKey=([^;]+)/.exec(connectionString)?.[1] ?? '';
  const end = Math.floor(Date.now() / 1000) + 600;
  const sr = encodeURIComponent(resource);
  const sig = createHmac('sha256', Buffer.from(key, 'base64')).update(`${sr}\n${end}`).digest('base64');
  return `SharedAccessSignature sr=${sr}&sig=${encodeURIComponent(sig)}&se=${end}&skn=${policy}`;
}

async function createDevice(hub: TestHub, deviceId: string): Promise<void> {
  const body = JSON.stringify({ deviceId });
  const socket: TLSSocket = connect({
    host: '127.0.0.1',
    port: hub.endpoints.ports.https ?? 0,
    servername: 'localhost',
    ca: hub.ca,
  });
  const answer = new Promise<string>((resolve, reject) => {
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      text += chunk;
    });
    socket.once('end', () => resolve(text));
    socket.once('error', reject);
  });
  socket.write(
    `PUT /devices/${deviceId}?api-version=2021-04-12 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n` +
      `Authorization: ${token('localhost', hub.endpoints.connectionStrings.iothubowner)}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  assert.match(await answer, /^HTTP\/1\.1 200 /);
}

const closed = (client: mqtt.MqttClient): Promise<void> =>
  new Promise((resolve) => client.once('close', () => resolve()));

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} drains: devices are disconnected, and the hub exits with 0`, async () => {
    await using hub = await startHub();
    const clients = await Promise.all(['d1', 'd2', 'd3'].map((deviceId) => connectDevice(hub, deviceId)));
    await clients[0].publishAsync('devices/d1/messages/events/', 'last words', { qos: 1 });
    const gone = clients.map(closed);
    const exit = await hub.stop(signal);
    await Promise.all(gone);
    assert.deepEqual(exit, { code: 0, signal: null } satisfies Exit);
    assert.match(hub.stderr(), /the hub has stopped/);
    for (const client of clients) client.end(true);
  });
}

test('a second signal that is no echo of the first ends a hub at once', async () => {
  await using hub = await startHub();
  // A request that never ends keeps the drain waiting.
  const socket = connect({
    host: '127.0.0.1',
    port: hub.endpoints.ports.https ?? 0,
    servername: 'localhost',
    ca: hub.ca,
  });
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  socket.write(
    `PUT /devices/d1?api-version=2021-04-12 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n` +
      `Authorization: ${token('localhost', hub.endpoints.connectionStrings.iothubowner)}\r\n` +
      'Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n',
  );
  // The hub has the request in hand when it asks for the body.
  await new Promise((resolve) => socket.once('data', resolve));
  hub.signal('SIGTERM');
  await hub.logged(/a second signal ends the hub at once/);
  // The hub takes signals within one second for echoes, so this one asks until it has ended.
  const asking = setInterval(() => hub.signal('SIGTERM'), 200);
  try {
    const { code } = await hub.ended;
    assert.equal(code, 1);
  } finally {
    clearInterval(asking);
    socket.destroy();
  }
});

test('health and readiness answer on the admin port, and metrics count what happened', async () => {
  await using hub = await startHub();
  const base = `http://127.0.0.1:${hub.endpoints.ports.admin}`;
  assert.equal((await fetch(`${base}/healthz`)).status, 200);
  assert.equal((await fetch(`${base}/readyz`)).status, 200);
  const client = await connectDevice(hub, 'd1');
  for (let i = 0; i < 10; i++) await client.publishAsync('devices/d1/messages/events/', `message ${i}`, { qos: 1 });
  const page = await (await fetch(`${base}/metrics`)).text();
  assert.match(page, /^mooring_connections\{door="mqtts"\} 1$/m);
  assert.match(page, /^mooring_devices_connected 1$/m);
  assert.match(page, /^mooring_events_stored_total\{event_hub="mooring"\} 10$/m);
  assert.match(page, /^mooring_event_append_seconds_count\{event_hub="mooring"\} [1-9]/m);
  assert.match(page, /^process_resident_memory_bytes /m);
  client.end(true);
});

for (const [starter, signal] of [
  ['scripts/run.mjs', 'SIGKILL'],
  ['scripts/run.mjs', 'SIGTERM'],
  ['npm', 'SIGTERM'],
] as const)
  test(`a hub whose starter, ${starter}, gets ${signal} stops`, { timeout: 60_000 }, async () => {
    const root = path.join(import.meta.dirname, '..', '..');
    const dataDir = mkdtempSync(path.join(tmpdir(), 'mooring-orphan-'));
    const ports = ['mqtts', 'amqps', 'https', 'admin', 'amqp', 'mqtt'].flatMap((name) => [`--${name}-port`, '0']);
    const settings = ['--data-dir', dataDir, ...ports];
    const [program, ...args] =
      starter === 'npm'
        ? ['npm', 'start', '--', ...settings]
        : [process.execPath, path.join(root, 'scripts', 'run.mjs'), 'serve', ...settings];
    // The variables of this test run are no settings of a hub.
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MOORING_')));
    const started = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'ignore'], env });
    try {
      let said = '';
      for await (const text of started.stdout.setEncoding('utf8')) {
        said += text;
        if (/^ready$/m.test(said)) break;
      }
      const hub = Number(readFileSync(path.join(dataDir, 'lock.pid'), 'utf8'));
      const isAlive = (): boolean =>
        existsSync(`/proc/${hub}`) && !/State:\s+Z/.test(readFileSync(`/proc/${hub}/status`, 'utf8'));
      assert.ok(isAlive());
      started.kill(signal);
      await until('the hub has ended', () => !isAlive());
      assert.ok(!existsSync(path.join(dataDir, 'endpoints.json')), 'it has stopped in order');
    } finally {
      started.kill('SIGKILL');
      rmSync(dataDir, { recursive: true, force: true });
    }
  });
