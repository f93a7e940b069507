/** The registry and the consumer groups as a person at a terminal works with them. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { startCli } from '../drivers/cli.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';

let hub: TestHub;
before(async () => {
  hub = await startHub({ args: ['--hub-name', 'factory'] });
});
after(() => hub[Symbol.asyncDispose]());

const mooring = (...args: readonly string[]) => runMooring([...args, '--data-dir', hub.dataDir]);
const json = async (...args: readonly string[]) => JSON.parse((await mooring(...args, '--json')).stdout);

test('a device is created, shown, shut out, let in again and deleted', async () => {
  const created = await mooring('device', 'create', 'press-1');
  assert.equal(created.code, 0);
  assert.match(created.stdout, /^device +press-1\nstatus +enabled$/m);
  assert.match(created.stderr, /mooring device connection-string press-1/);

  const before = await json('device', 'show', 'press-1', '--keys');
  assert.equal((await mooring('device', 'disable', 'press-1', '--reason', 'worn out')).code, 0);
  const disabled = await mooring('device', 'show', 'press-1');
  assert.match(disabled.stdout, /^status +disabled \(worn out\)$/m);
  assert.equal((await mooring('device', 'enable', 'press-1')).code, 0);
  const after = await json('device', 'show', 'press-1', '--keys');
  assert.deepEqual([after.status, after.statusReason], ['enabled', null]);
  assert.deepEqual(after.authentication, before.authentication);
  assert.equal(after.generationId, before.generationId);

  assert.equal((await mooring('device', 'delete', 'press-1')).code, 0);
  const gone = await mooring('device', 'show', 'press-1');
  assert.equal(gone.code, 1);
  assert.match(gone.stderr, /^error: The device press-1 does not exist\.\n +mooring device list/);
});

test('keys are shown where they are asked for, and nowhere else', async () => {
  await mooring('device', 'create', 'safe-1');
  const { primaryKey, secondaryKey } = (await json('device', 'show', 'safe-1', '--keys')).authentication.symmetricKey;
  assert.match(primaryKey, /^[A-Za-z0-9+/]{43}=$/);
  for (const args of [
    ['create', 'safe-2'],
    ['create', 'safe-3', '--json'],
    ['list'],
    ['list', '--json'],
    ['show', 'safe-1'],
    ['show', 'safe-1', '--json'],
  ]) {
    const { code, stdout, stderr } = await mooring('device', ...args);
    assert.equal(code, 0);
    assert.doesNotMatch(stdout + stderr, /[A-Za-z0-9+/]{43}=/, args.join(' '));
  }
  const { stdout } = await mooring('device', 'connection-string', 'safe-1', '--host', '127.0.0.1');
  assert.equal(stdout, `HostName=127.0.0.1;DeviceId=safe-1;SharedAccessKey=${primaryKey}\n`);
  const second = await mooring('device', 'connection-string', 'safe-1', '--secondary');
  assert.equal(second.stdout, `HostName=localhost;DeviceId=safe-1;SharedAccessKey=${secondaryKey}\n`);
});

test('many are created and deleted at once; what exists already fails by itself', async () => {
  await mooring('device', 'create', 'many-007');
  const { code, stderr, stdout } = await mooring('device', 'create', '--count', '250', '--prefix', 'many-', '--json');
  assert.equal(code, 1);
  const result = JSON.parse(stdout);
  assert.equal(result.created, 249);
  assert.deepEqual(
    result.errors.map(({ deviceId, errorCode }: { deviceId: string; errorCode: number }) => [deviceId, errorCode]),
    [['many-007', 409001]],
  );
  assert.match(JSON.parse(stderr).error, /1 of 250 devices could not be created: .*many-007/);
  const listed: { deviceId: string }[] = await json('device', 'list');
  assert.equal(listed.filter(({ deviceId }) => /^many-\d{3}$/.test(deviceId)).length, 250);

  const deleted = await mooring('device', 'delete', '--count', '250', '--prefix', 'many-');
  assert.deepEqual([deleted.code, deleted.stdout], [0, '']);
  assert.match(deleted.stderr, /^Deleted 250 devices in /);
});

test('a list is aligned, says how much of all it is, and can be narrowed', async () => {
  await mooring('device', 'create', 'a-1', 'a-2', 'a-3');
  await mooring('device', 'disable', 'a-2');
  const { stdout, stderr } = await mooring('device', 'list', '--top', '2');
  const [head, first] = stdout.split('\n');
  assert.equal(head.indexOf('STATUS'), first.indexOf('enabled'));
  assert.match(stderr, /^These are the first 2 of \d+ devices\.\n$/);
  const disabled: { deviceId: string }[] = await json('device', 'list', '--status', 'disabled');
  assert.deepEqual(
    disabled.map(({ deviceId }) => deviceId),
    ['a-2'],
  );
});

test('consumer groups are created, listed and deleted', async () => {
  assert.equal((await mooring('consumer-group', 'create', 'dashboard')).code, 0);
  const again = await mooring('consumer-group', 'create', 'Dashboard');
  assert.equal(again.code, 1);
  assert.match(again.stderr, /exists already/);
  assert.match((await mooring('consumer-group', 'list')).stdout, /^dashboard +\d{4}-\d\d-\d\d/m);
  assert.equal((await mooring('consumer-group', 'delete', 'dashboard')).code, 0);
  assert.doesNotMatch((await mooring('consumer-group', 'list')).stdout, /dashboard/);
});

test('every way to log in leads to the hub, and a wrong key is told without being shown', async () => {
  const { connectionStrings, caFile, ports } = hub.endpoints;
  const env = { MOORING_CA_FILE: caFile, MOORING_HTTPS_PORT: String(ports.https) };
  const list = ['device', 'list', '--json'];
  const byVariable = await runMooring(list, { ...env, MOORING_CONNECTION_STRING: connectionStrings.registryRead });
  assert.equal(byVariable.code, 0, byVariable.stderr);
  const file = path.join(hub.dataDir, 'endpoints.json');
  assert.equal((await runMooring([...list, '--login-file', file])).stdout, byVariable.stdout);

  const withPort = connectionStrings.iothubowner.replace('HostName=localhost', `HostName=localhost:${ports.https}`);
  await using byInput = startCli([...list, '--login-file', '-', '--ca-file', caFile], `${withPort}\n`);
  assert.deepEqual(await byInput.end(), { code: 0, signal: null });
  assert.equal(byInput.stdout(), byVariable.stdout);

  const wrongKey = Buffer.alloc(32, 1).toString('base64');
  const wrong = connectionStrings.iothubowner.replace(/SharedAccessKey=.*/, `SharedAccessKey=${wrongKey}`);
  const refused = await runMooring(list, { ...env, MOORING_CONNECTION_STRING: wrong });
  assert.equal(refused.code, 1);
  assert.equal(JSON.parse(refused.stderr).code, 'IotHubUnauthorized');
  assert.ok(!refused.stderr.includes(wrongKey));

  const untrusted = { ...env, MOORING_CA_FILE: '', MOORING_CONNECTION_STRING: connectionStrings.iothubowner };
  const stranger = path.join(hub.dataDir, 'stranger.pem');
  writeFileSync(stranger, '');
  const distrust = await runMooring([...list, '--ca-file', stranger], untrusted);
  assert.equal(distrust.code, 1);
  assert.match(JSON.parse(distrust.stderr).error, /certificate/);
});

test('a port on which another protocol is spoken is told as such', async () => {
  const { connectionStrings, caFile, ports } = hub.endpoints;
  const env = { MOORING_CA_FILE: caFile, MOORING_CONNECTION_STRING: connectionStrings.iothubowner };
  const cases: readonly (readonly [args: readonly string[], variable: string, port: number | null, says: RegExp])[] = [
    // What a port answers may be overtaken by its end, or by the failure of the next write.
    [
      ['device', 'list'],
      'MOORING_HTTPS_PORT',
      ports.amqp,
      /(does not speak TLS|localhost:\d+ failed)[\s\S]*right port/,
    ],
    [['device', 'list'], 'MOORING_HTTPS_PORT', ports.amqps, /localhost:\d+ failed[\s\S]*right port/],
    [
      ['monitor', 'events'],
      'MOORING_AMQPS_PORT',
      ports.https,
      /(does not speak AMQP|localhost:\d+ failed)[\s\S]*right port/,
    ],
    [
      ['monitor', 'events'],
      'MOORING_AMQPS_PORT',
      ports.amqp,
      /does not speak TLS|localhost:\d+ failed[\s\S]*right port/,
    ],
  ];
  for (const [args, variable, port, says] of cases) {
    const { code, stdout, stderr } = await runMooring(args, { ...env, [variable]: String(port) });
    assert.deepEqual([code, stdout], [1, ''], stderr);
    assert.match(stderr, says);
  }
});

test('a policy that does not allow it is named, with what it is for', async () => {
  const { connectionStrings, caFile, ports } = hub.endpoints;
  const env = {
    MOORING_CA_FILE: caFile,
    MOORING_HTTPS_PORT: String(ports.https),
    MOORING_CONNECTION_STRING: connectionStrings.registryRead,
  };
  const { code, stderr } = await runMooring(['device', 'create', 'd1'], env);
  assert.equal(code, 1);
  assert.match(stderr, /refused the policy registryRead of MOORING_CONNECTION_STRING/);
});

test('a token of a device is that device’s own: the hub lets it in, and nobody else', async () => {
  await mooring('device', 'create', 'token-1', 'token-2');
  const password = Buffer.from((await mooring('sas', '--device', 'token-1')).stdout.trim());
  const answer = async (id: string): Promise<number> => {
    const place = { port: hub.endpoints.ports.mqtts ?? 0, ca: hub.ca };
    const username = `localhost/${id}/?api-version=2021-04-12`;
    const { client, returnCode } = await MqttDriver.connect(place, { clientId: id, username, password });
    client.socket.destroy();
    return returnCode;
  };
  assert.deepEqual([await answer('token-1'), await answer('token-2')], [0, 5]);
});

test('ca show tells the CA and the certificate that it signed', async () => {
  const shown = await json('ca', 'show');
  assert.equal(shown.file, hub.endpoints.caFile);
  assert.match(shown.fingerprint, /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  assert.equal(shown.presented.trusted, true);
  for (const name of ['localhost', '127.0.0.1', '::1']) assert.ok(shown.presented.names.includes(name), name);
  assert.equal((await mooring('ca', 'show', '--pem')).stdout.trim(), hub.ca.trim());
  assert.match((await mooring('ca', 'show')).stdout, /^signed by this CA +yes$/m);
});
