/**
 * MQTT clients that know nothing of this protocol, of the distribution's packages and unmodified, as devices: mosquitto_pub and
 * mosquitto_sub, mosquitto as a bridge, and the Paho C library. Each sends a message and takes a command.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import type { ApiClient } from '../src/api/client.ts';
import { apiOf } from '../test/drivers/api.ts';
import { makeCertificate } from '../test/drivers/certificates.ts';
import { freePort } from '../test/drivers/free-ports.ts';
import { startHub, type TestHub } from '../test/drivers/hub.ts';
import { MonitoringReader, tokenOf } from '../test/drivers/monitoring.ts';
import { until } from '../test/drivers/until.ts';

const RUN_MS_MAX = 30_000;
const LISTEN_MS_MAX = 10_000;

const execute = promisify(execFile);

let hub: TestHub;
let api: ApiClient;
let events: MonitoringReader;
const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-mqtt-clients-'));

before(async () => {
  hub = await startHub();
  api = apiOf(hub);
  events = await MonitoringReader.open(hub, 'telemetry');
});

after(async () => {
  await events.close();
  api.close();
  await hub[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a program to its end. @returns what it wrote @throws Error with its messages when it fails */
async function run(program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await execute(program, args, { timeout: RUN_MS_MAX, killSignal: 'SIGKILL' });
  return stdout;
}

const userName = (deviceId: string): string => `localhost/${deviceId}/?api-version=2021-04-12`;

/** A device with a key. @returns its token */
async function deviceWithKey(deviceId: string): Promise<string> {
  const { authentication } = await api.devices.create(deviceId);
  return tokenOf(deviceId, authentication.symmetricKey.primaryKey ?? '', 'localhost');
}

/** A device that is known by its certificate. @returns files of that and of its key */
async function deviceWithCertificate(deviceId: string): Promise<{ readonly cert: string; readonly key: string }> {
  const certificate = await makeCertificate(deviceId);
  const x509Thumbprint = { primaryThumbprint: certificate.sha256, secondaryThumbprint: null };
  await api.devices.create(deviceId, { authentication: { type: 'selfSigned', x509Thumbprint } });
  const files = { cert: path.join(folder, `${deviceId}.crt`), key: path.join(folder, `${deviceId}.key`) };
  writeFileSync(files.cert, certificate.pem);
  writeFileSync(files.key, certificate.keyPem, { mode: 0o600 });
  return files;
}

const telemetryOf = (deviceId: string): string => JSON.stringify({ sentBy: deviceId });

/** Waits for the device's event. */
async function assertSent(deviceId: string): Promise<void> {
  const event = await events.nextMessage(({ sentBy }) => sentBy === deviceId);
  assert.equal(event.deviceId, deviceId);
}

/** A PUBACK has no answer: another node may be asked before its own has stored the outcome. */
async function assertCompleted(deviceId: string, messageId: string): Promise<void> {
  const find = async () => (await api.commands.find({ deviceId }, { messageId })).commands[0];
  await until(`${messageId} has its outcome`, async () => (await find()).outcome !== undefined, { everyMs: 100 });
  const { outcome, handedOver } = await find();
  assert.deepEqual([outcome, handedOver], ['completed', 1]);
}

/** What both programs of mosquitto are told of the hub. */
const place = (deviceId: string): readonly string[] => [
  ...['-h', 'localhost', '-p', String(hub.endpoints.ports.mqtts), '--cafile', hub.endpoints.caFile],
  ...['-V', 'mqttv311', '-q', '1', '-i', deviceId, '-u', userName(deviceId)],
];

for (const [kind, credential] of [
  ['sas', async (id: string) => ['-P', await deviceWithKey(id)]],
  [
    'x509',
    async (id: string) => {
      const { cert, key } = await deviceWithCertificate(id);
      return ['--cert', cert, '--key', key];
    },
  ],
] as const) {
  test(`mosquitto_pub and mosquitto_sub, ${kind}`, async () => {
    const id = `mosquitto-${kind}`;
    const args = [...place(id), ...(await credential(id))];
    await run('mosquitto_pub', [...args, '-t', `devices/${id}/messages/events/`, '-m', telemetryOf(id)]);
    await assertSent(id);
    await api.commands.send({ deviceId: id }, { bodyText: 'for mosquitto', messageId: `to-${id}` });
    const shown = await run('mosquitto_sub', [...args, '-t', `devices/${id}/messages/devicebound/#`, '-C', '1']);
    assert.equal(shown.trim(), 'for mosquitto');
    await assertCompleted(id, `to-${id}`);
  });
}

test('mosquitto as a bridge: what comes to its own topics goes to the hub, and commands to those who listen there', async () => {
  const id = 'bridge';
  const port = await freePort();
  const configuration = path.join(folder, 'bridge.conf');
  const lines = [
    ...[`user ${os.userInfo().username}`, `listener ${port} 127.0.0.1`, 'allow_anonymous true', 'connection hub'],
    ...[`address localhost:${hub.endpoints.ports.mqtts}`, `bridge_cafile ${hub.endpoints.caFile}`],
    ...['bridge_protocol_version mqttv311', 'try_private false', 'notifications false', 'cleansession true'],
    ...[`remote_clientid ${id}`, `remote_username ${userName(id)}`, `remote_password ${await deviceWithKey(id)}`],
    ...[`topic devices/${id}/messages/events/# out 1`, `topic devices/${id}/messages/devicebound/# in 1`],
  ];
  writeFileSync(configuration, `${lines.join('\n')}\n`, { mode: 0o600 });
  const broker = spawn('mosquitto', ['-c', configuration], { stdio: 'ignore' });
  try {
    await once(broker, 'spawn');
    await listening(port);
    const here = ['-h', '127.0.0.1', '-p', String(port), '-q', '1'];
    // The first message is kept there for the listener, whenever it comes; by it the listener shows that it has subscribed.
    await run('mosquitto_pub', [...here, '-t', `devices/${id}/messages/events/`, '-r', '-m', telemetryOf(id)]);
    await assertSent(id);
    const listener = spawn('mosquitto_sub', [...here, '-t', 'devices/#', '-C', '2', '-W', '30', '-v']);
    let shown = '';
    listener.stdout.setEncoding('utf8').on('data', (text: string) => {
      shown += text;
    });
    const ended = once(listener, 'close');
    await once(listener.stdout, 'data');
    await api.commands.send({ deviceId: id }, { bodyText: 'back over the bridge', messageId: 'to-bridge' });
    await ended;
    assert.match(shown, new RegExp(`^devices/${id}/messages/devicebound/\\S* back over the bridge$`, 'm'));
    await assertCompleted(id, 'to-bridge');
  } finally {
    const ended = once(broker, 'exit');
    if (broker.exitCode === null && broker.kill('SIGTERM')) await ended;
  }
});

test('a device by the Paho C library, with a certificate', async () => {
  const id = 'paho';
  const program = path.join(folder, 'paho');
  await run('cc', ['-Wall', '-Werror', '-o', program, path.join(import.meta.dirname, 'c/paho.c'), '-lpaho-mqtt3cs']);
  const { cert, key } = await deviceWithCertificate(id);
  await api.commands.send({ deviceId: id }, { bodyText: 'for Paho', messageId: 'to-paho' });
  const uri = `ssl://localhost:${hub.endpoints.ports.mqtts}`;
  const shown = await run(program, [uri, id, userName(id), hub.endpoints.caFile, cert, key, telemetryOf(id)]);
  assert.equal(shown.trim(), 'for Paho');
  await assertSent(id);
  await assertCompleted(id, 'to-paho');
});

async function listening(port: number): Promise<void> {
  const deadline = Date.now() + LISTEN_MS_MAX;
  for (;;) {
    const socket = net.connect(port, '127.0.0.1');
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    socket.destroy();
    if (isOpen) return;
    assert.ok(Date.now() < deadline, 'mosquitto does not listen');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
