import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { Failure } from '../failure.ts';
import { credentialOf, policyCredentialOf, portOf, resolveLogin, serverName } from './login.ts';

const cwd = mkdtempSync(path.join(tmpdir(), 'mooring-login-'));
after(() => rmSync(cwd, { recursive: true }));

const key = Buffer.alloc(32, 5).toString('base64');
const hubString = (policy: string): string => `HostName=localhost;SharedAccessKeyName=${policy};SharedAccessKey=${key}`;
const eventString = `Endpoint=sb://localhost:5671/;SharedAccessKeyName=service;SharedAccessKey=${key};EntityPath=hub1`;
const endpoints = {
  hubName: 'hub1',
  hostName: 'localhost',
  ports: { mqtts: 1883, amqps: 1671, https: 1443, admin: 1080, amqp: null, mqtt: null },
  caFile: 'tls/ca.pem',
  connectionStrings: {
    ...Object.fromEntries(
      ['iothubowner', 'service', 'device', 'registryRead', 'registryReadWrite'].map((name) => [name, hubString(name)]),
    ),
    ...Object.fromEntries(
      ['eventHubs', 'eventHubsEmulator', 'monitoring', 'monitoringEmulator'].map((name) => [name, eventString]),
    ),
  },
};
mkdirSync(path.join(cwd, 'mooring-data/tls'), { recursive: true });
writeFileSync(path.join(cwd, 'mooring-data/tls/ca.pem'), 'the CA');
writeFileSync(path.join(cwd, 'mooring-data/endpoints.json'), JSON.stringify(endpoints));
writeFileSync(path.join(cwd, 'string.txt'), `${hubString('registryRead')}\n`);
writeFileSync(path.join(cwd, 'broken.json'), `{"hubName": "x", "connectionStrings": "${key}"`);

test('the local data folder is found, with its CA and the narrowest credential that was asked for', () => {
  const login = resolveLogin({}, { env: {}, cwd });
  assert.equal(login.hubName, 'hub1');
  assert.deepEqual(login.ca, { file: path.join(cwd, 'mooring-data/tls/ca.pem'), pem: 'the CA' });
  assert.equal(portOf(login, 'https'), 1443);
  assert.throws(() => portOf(login, 'mqtt'), /does not serve mqtt/);
  assert.equal(credentialOf(login, 'registryRead').policyName, 'registryRead');
  assert.equal(credentialOf(login).policyName, 'iothubowner');
});

test('a file goes before the variable, the variable before the data folder', () => {
  const env = { MOORING_CONNECTION_STRING: hubString('service') };
  assert.equal(credentialOf(resolveLogin({}, { env, cwd })).policyName, 'service');
  assert.equal(credentialOf(resolveLogin({ loginFile: 'string.txt' }, { env, cwd })).policyName, 'registryRead');
  assert.equal(resolveLogin({ loginFile: 'mooring-data/endpoints.json' }, { env, cwd }).hubName, 'hub1');
});

test('a lone connection string uses the standard ports, those it names, and those of the variables', () => {
  const login = (text: string, env = {}) => resolveLogin({}, { env: { MOORING_CONNECTION_STRING: text, ...env }, cwd });
  assert.deepEqual(login(hubString('service')).ports, { https: 443, mqtts: 8883, amqps: 5671 });
  assert.equal(login(hubString('service').replace('localhost', 'localhost:8443')).ports.https, 8443);
  assert.equal(login(hubString('service'), { MOORING_MQTTS_PORT: '1884' }).ports.mqtts, 1884);
  const emulator = login(`${eventString.replace(':5671', '')};UseDevelopmentEmulator=true`);
  assert.equal(emulator.ports.amqp, 5672);
  assert.equal(emulator.hubName, 'hub1');
});

test('what cannot be used says so and what to do, and shows no key', () => {
  const refusals: readonly (readonly [run: () => unknown, says: RegExp])[] = [
    [() => resolveLogin({ dataDir: 'nowhere' }, { env: {}, cwd }), /no .*nowhere.endpoints\.json/],
    [() => resolveLogin({ loginFile: 'none.txt' }, { env: {}, cwd }), /no login file/],
    [() => resolveLogin({ loginFile: '.' }, { env: {}, cwd }), /cannot be read \(EISDIR\)/],
    [() => resolveLogin({ loginFile: 'broken.json' }, { env: {}, cwd }), /not an endpoints file/],
    [
      () => resolveLogin({ loginFile: 'string.txt', caFile: 'none.pem' }, { env: {}, cwd }),
      /CA certificate .*none\.pem/,
    ],
  ];
  for (const [run, says] of refusals) {
    assert.throws(run, (error: unknown) => {
      assert.ok(error instanceof Failure);
      assert.match(error.message, says);
      assert.ok(!`${error.message}${error.hint}`.includes(key));
      return true;
    });
  }
});

test('a device’s connection string is no login for work that needs a policy', () => {
  const env = { MOORING_CONNECTION_STRING: `HostName=localhost;DeviceId=d1;SharedAccessKey=${key}` };
  assert.throws(() => policyCredentialOf(resolveLogin({}, { env, cwd })), /needs one of a policy/);
});

test('addresses are not announced as server names', () => {
  assert.deepEqual(['hub.example', '127.0.0.1', '::1'].map(serverName), ['hub.example', '', '']);
});
