import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { hostname, tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { endpointsSchema } from '../../src/api/endpoints.ts';
import { runMooring, startHub } from '../drivers/hub.ts';

const root = mkdtempSync(path.join(tmpdir(), 'mooring-serve-'));
after(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;
const newFolder = (): string => path.join(root, `hub-${folders++}`);

const connectionStringNames = [
  'iothubowner',
  'service',
  'device',
  'registryRead',
  'registryReadWrite',
  'eventHubs',
  'eventHubsEmulator',
  'monitoring',
  'monitoringEmulator',
];

test('a fresh folder becomes a hub: every listener accepts, then one line says ready', async (t) => {
  await using hub = await startHub({ args: ['--mqtt-port', 'off'] });
  t.diagnostic(`fresh folder to ready: ${Math.round(hub.readyMs)} ms`);
  assert.equal(hub.stdout().match(/^ready$/gm)?.length, 1);
  assert.match(hub.stdout(), /^Started in \d+\.\d\d s$/m);
  const { ports } = hub.endpoints;
  assert.equal(ports.mqtt, null);
  for (const port of [ports.mqtts, ports.amqps, ports.https, ports.admin, ports.amqp]) {
    assert.ok(port !== null);
    const socket = net.connect(port, '127.0.0.1');
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    socket.destroy();
  }
  assert.equal(statSync(hub.dataDir).mode & 0o777, 0o700);
});

test('endpoints.json has exactly the keys that users rely on, for this user alone', async () => {
  await using hub = await startHub({ args: ['--hub-name', 'factory'] });
  const file = path.join(hub.dataDir, 'endpoints.json');
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const content = JSON.parse(readFileSync(file, 'utf8'));
  endpointsSchema.parse(content);
  assert.deepEqual(Object.keys(content), ['hubName', 'hostName', 'ports', 'caFile', 'portalUrl', 'connectionStrings']);
  assert.deepEqual(Object.keys(content.ports), ['mqtts', 'amqps', 'https', 'admin', 'amqp', 'mqtt']);
  assert.deepEqual(Object.keys(content.connectionStrings), connectionStringNames);
  assert.equal(content.hubName, 'factory');
  assert.equal(content.hostName, 'localhost');
  const { connectionStrings: strings, ports } = content;
  const key = '[A-Za-z0-9+/]{43}=';
  for (const policy of connectionStringNames.slice(0, 5)) {
    assert.match(
      strings[policy],
      new RegExp(`^HostName=localhost;SharedAccessKeyName=${policy};SharedAccessKey=${key}$`),
    );
  }
  const eventString = (port: number, entity: string, end: string): RegExp =>
    new RegExp(
      `^Endpoint=sb://localhost:${port}/;SharedAccessKeyName=service;SharedAccessKey=${key};EntityPath=${entity}${end}$`,
    );
  assert.match(strings.eventHubs, eventString(ports.amqps, 'factory', ''));
  assert.match(strings.monitoring, eventString(ports.amqps, 'factory-monitoring', ''));
  assert.match(strings.eventHubsEmulator, eventString(ports.amqp, 'factory', ';UseDevelopmentEmulator=true'));
  assert.match(
    strings.monitoringEmulator,
    eventString(ports.amqp, 'factory-monitoring', ';UseDevelopmentEmulator=true'),
  );
  await hub.stop();
  assert.ok(!existsSync(file), 'a hub that has stopped has no endpoints');
});

test('connection strings are printed for localhost and 127.0.0.1, but never logged, and can be kept off stdout', async () => {
  await using hub = await startHub({ args: ['--log-level', 'debug'] });
  const { connectionStrings } = hub.endpoints;
  assert.ok(hub.stdout().includes(connectionStrings.iothubowner));
  assert.ok(hub.stdout().includes(connectionStrings.iothubowner.replace('localhost', '127.0.0.1')));
  assert.ok(hub.stdout().includes(connectionStrings.eventHubs));
  assert.ok(hub.stdout().includes(connectionStrings.eventHubsEmulator));
  await hub.stop();
  for (const text of Object.values(connectionStrings)) {
    const key = /SharedAccessKey=([^;]+)/.exec(text)?.[1] ?? '';
    assert.ok(key.length > 0 && !hub.stderr().includes(key), 'a key stands in the log');
  }
  await using quiet = await hub.restart({ args: ['--show-connection-strings', 'off'] });
  assert.doesNotMatch(quiet.stdout(), /SharedAccessKey/);
  assert.ok(quiet.stdout().includes(path.join(quiet.dataDir, 'endpoints.json')));
});

test('a restart keeps keys, authority and name; given keys win and are kept', async () => {
  const given = Buffer.alloc(32, 5).toString('base64');
  await using hub = await startHub({ args: ['--hub-name', 'kept'] });
  await hub.stop();
  await using second = await hub.restart();
  assert.deepEqual(second.endpoints, hub.endpoints);
  assert.equal(second.ca, hub.ca);
  await second.kill();
  await using third = await second.restart({ env: { MOORING_OWNER_KEY: given } });
  assert.match(
    third.endpoints.connectionStrings.iothubowner,
    new RegExp(`SharedAccessKey=${given.replaceAll('+', '\\+')}$`),
  );
  assert.equal(third.endpoints.connectionStrings.service, hub.endpoints.connectionStrings.service);
  await third.stop();
  await using fourth = await hub.restart();
  assert.deepEqual(fourth.endpoints.connectionStrings, third.endpoints.connectionStrings);
});

test('the certificate holds for every name, verified with the CA', async () => {
  await using hub = await startHub({ args: ['--host-name', 'hub.factory.example', '--host-name', '10.1.2.3'] });
  const { mqtts, amqps, https } = hub.endpoints.ports;
  const names = ['localhost', hostname().toLowerCase(), 'hub.factory.example'];
  const handshake = (port: number | null, servername: string, checked: string): Promise<X509Certificate | undefined> =>
    new Promise((resolve, reject) => {
      const socket = tls.connect(
        {
          host: '127.0.0.1',
          port: port ?? 0,
          ca: hub.ca,
          servername,
          checkServerIdentity: (_, certificate) => tls.checkServerIdentity(checked, certificate),
        },
        () => {
          const certificate = socket.getPeerX509Certificate();
          socket.destroy();
          resolve(certificate);
        },
      );
      socket.once('error', reject);
    });
  for (const port of [mqtts, amqps, https]) {
    for (const name of names) await handshake(port, name, name);
    for (const address of ['127.0.0.1', '::1', '10.1.2.3']) await handshake(port, '', address);
    await assert.rejects(handshake(port, 'other.example', 'other.example'), /not in the cert/);
  }
  const before = await handshake(mqtts, 'localhost', 'localhost');
  await hub.stop();
  await using renamed = await hub.restart({ args: ['--host-name', 'more.example'] });
  assert.equal(renamed.ca, hub.ca);
  const certificate = new X509Certificate(readFileSync(path.join(renamed.dataDir, 'tls', 'server.pem')));
  assert.equal(certificate.checkHost('more.example'), 'more.example');
  assert.notEqual(certificate.fingerprint256, before?.fingerprint256);
});

test('a folder that another hub holds is refused, also right after that hub was killed it is free', async () => {
  await using hub = await startHub();
  const refused = await runMooring(['serve', '--data-dir', hub.dataDir]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, new RegExp(`held by another hub \\(process ${hub.pid}\\)`));
  assert.match(refused.stderr, /--data-dir/);
  await hub.kill();
  await using again = await hub.restart();
  assert.ok(again.pid !== hub.pid);
});

test('a folder of a newer format is refused and left as it is', async () => {
  await using hub = await startHub();
  await hub.stop();
  const file = path.join(hub.dataDir, 'hub.json');
  const newer = JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), format: 2 });
  writeFileSync(file, newer);
  const refused = await runMooring(['serve', '--data-dir', hub.dataDir]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /has format 2; this version of Mooring knows formats up to 1/);
  assert.equal(readFileSync(file, 'utf8'), newer);
});

test('a folder that cannot be written is refused with what to do', async () => {
  const file = path.join(root, 'a-file');
  writeFileSync(file, '');
  const refused = await runMooring(['serve', '--data-dir', path.join(file, 'data')]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /cannot be written .*--data-dir/);
});

test('an unknown setting is refused with the nearest known one, before anything is made', async () => {
  const dataDir = newFolder();
  const refused = await runMooring(['serve', '--data-dir', dataDir, '--mqtts-prot', '0'], { MOORING_ADMINPORT: '0' });
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /--mqtts-prot is no setting. The nearest is --mqtts-port/);
  assert.match(refused.stderr, /MOORING_ADMINPORT is no setting. The nearest is MOORING_ADMIN_PORT/);
  assert.ok(!existsSync(dataDir));
});

test('a port that is taken is refused by its setting, and the folder is free again', async () => {
  const dataDir = newFolder();
  const other = net.createServer().listen(0, '127.0.0.1');
  after(() => other.close());
  await new Promise((resolve) => other.once('listening', resolve));
  const { port } = other.address() as net.AddressInfo;
  const free = ['mqtts', 'amqps', 'admin', 'amqp'].flatMap((name) => [`--${name}-port`, '0']);
  const refused = await runMooring(['serve', '--data-dir', dataDir, ...free, '--https-port', String(port)]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, new RegExp(`httpsPort: port ${port} .* taken by another program`));
  assert.equal(refused.stdout, '');
  assert.ok(!readdirSync(dataDir).includes('endpoints.json'));
  await using hub = await startHub({ dataDir });
  assert.equal(hub.endpoints.hubName, 'mooring');
});

test('a hub keeps its name and partitions: others are refused', async () => {
  await using hub = await startHub({ args: ['--partitions', '2'] });
  await hub.stop();
  for (const args of [
    ['--partitions', '3'],
    ['--hub-name', 'other'],
  ]) {
    const refused = await runMooring(['serve', '--data-dir', hub.dataDir, ...args]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /cannot become/);
  }
});

test('config check and print answer through the binary', async () => {
  const printed = await runMooring(['config', 'print', '--json'], { MOORING_MQTTS_PORT: '1' });
  assert.deepEqual(JSON.parse(printed.stdout).mqttsPort, { value: 1, source: 'variable' });
  const refused = await runMooring(['config', 'check', '--mqtts-port', 'x']);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /--mqtts-port: "x" is not allowed/);
});
