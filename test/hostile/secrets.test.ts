/**
 * Planted secrets are looked for wherever the hub writes: its log at debug level, its answers to callers that may not ask, its
 * metrics and documents, its arguments, its data folder. Each is looked for as text, in base64, in hexadecimal, and percent-encoded.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { AmqpDriver } from '../drivers/amqp.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';

const planted = (name: string): string => Buffer.from(`planted-${name}-`.padEnd(32, 'Z')).toString('base64');

const keys = {
  owner: planted('owner'),
  service: planted('service'),
  device: planted('device'),
  read: planted('read'),
  write: planted('write'),
  primary: planted('primary'),
  secondary: planted('secondary'),
} as const;
const encryption = Buffer.from('planted-encryption-'.padEnd(32, 'Y')).toString('base64');

function formsOf(secret: string): readonly string[] {
  const bytes = Buffer.from(secret, 'base64');
  return [
    secret,
    encodeURIComponent(secret),
    bytes.toString('utf8'),
    bytes.toString('hex'),
    bytes.toString('base64url'),
  ];
}

function findSecrets(text: string, secrets: readonly string[], where: string): void {
  for (const secret of secrets) {
    for (const form of formsOf(secret)) {
      const at = text.indexOf(form);
      assert.equal(
        at,
        -1,
        `${where} holds a planted secret behind: ${text.slice(Math.max(0, at - 60), Math.max(0, at))}`,
      );
    }
  }
}

function token(key: string, resource: string, policyName?: string): string {
  const sr = encodeURIComponent(resource);
  const se = Math.floor(Date.now() / 1000) + 600;
  const sig = createHmac('sha256', Buffer.from(key, 'base64')).update(`${sr}\n${se}`).digest('base64');
  const named = policyName === undefined ? '' : `&skn=${policyName}`;
  return `SharedAccessSignature sr=${sr}&sig=${encodeURIComponent(sig)}&se=${se}${named}`;
}

/** Signatures of the tokens that were used: they let in for as long as they last. */
const signatures: string[] = [];
const used = (text: string): string => {
  const sig = /sig=([^&]+)/.exec(text)?.[1] ?? '';
  signatures.push(decodeURIComponent(sig));
  return text;
};

async function get(url: string): Promise<string> {
  const answer = await fetch(url);
  return `${answer.status} ${JSON.stringify([...answer.headers])} ${await answer.text()}`;
}

test('planted secrets are nowhere but in the answers to those who may know them', { timeout: 60_000 }, async () => {
  const env = {
    MOORING_OWNER_KEY: keys.owner,
    MOORING_SERVICE_KEY: keys.service,
    MOORING_DEVICE_KEY: keys.device,
    MOORING_REGISTRY_READ_KEY: keys.read,
    MOORING_REGISTRY_READ_WRITE_KEY: keys.write,
    MOORING_KEY_ENCRYPTION_KEY: encryption,
  };
  const args = ['--log-level', 'debug', '--show-connection-strings', 'off', '--refusal-delay-seconds', '0'];
  await using hub = await startHub({ env, args });
  const { ports } = hub.endpoints;
  const secrets = [...Object.values(keys), encryption];
  const client = apiOf(hub);
  const symmetricKey = { primaryKey: keys.primary, secondaryKey: keys.secondary };
  await client.devices.create('d1', { authentication: { symmetricKey } });
  // Bad keys, one letter wrong: the refusal must not repeat them.
  const nearly = `${keys.primary.slice(0, -3)}!!=`;
  const refusal = await client.devices
    .create('d2', { authentication: { symmetricKey: { primaryKey: nearly, secondaryKey: nearly } } })
    .catch(String);
  findSecrets(String(refusal), [keys.primary], 'a refusal');
  assert.ok(!String(refusal).includes(nearly.slice(0, 20)));
  client.close();

  const answers: string[] = [];
  const admin = `http://127.0.0.1:${ports.admin}`;
  for (const page of [
    '/healthz',
    '/readyz',
    '/metrics',
    '/openapi.json',
    '/nothing',
    `/${encodeURIComponent(keys.owner)}x`,
  ]) {
    const text = await get(admin + page);
    // What the asker himself has said may come back to him, in a link of his own making; ours never does.
    answers.push(text);
  }
  const attempts: readonly (readonly [key: string, policy?: string])[] = [
    [keys.primary],
    [keys.device],
    [keys.service, 'device'],
    [keys.owner, 'iothubowner'],
    [keys.device, 'nobody'],
  ];
  for (const [key, policy] of attempts) {
    const password = Buffer.from(used(token(key, 'localhost/devices/d1', policy)));
    const fields = { clientId: 'd1', username: 'localhost/d1/?api-version=2021-04-12', password };
    const { client: device } = await MqttDriver.connect({ port: ports.mqtt ?? 0 }, fields);
    device.send(Buffer.of(0xf0, 0x00));
    device.destroy();
  }
  // A key where a token belongs. (One where a name belongs is taken for a name, and names are logged.)
  for (const password of [keys.primary, `SharedAccessSignature ${keys.owner}`]) {
    const fields = {
      clientId: 'd1',
      username: 'localhost/d1/?api-version=2021-04-12',
      password: Buffer.from(password),
    };
    (await MqttDriver.connect({ port: ports.mqtt ?? 0 }, fields)).client.destroy();
  }
  for (const password of [keys.service, keys.owner, 'wrong']) {
    const peer = await AmqpDriver.connect(ports.amqp ?? 0, { username: 'service', password }).catch(() => undefined);
    await peer?.close();
  }
  const curl = (...more: string[]): string =>
    execFileSync(
      'curl',
      ['-sik', '-m', '5', ...more, `https://127.0.0.1:${ports.https}/devices/d1?api-version=2021-04-12`],
      {
        encoding: 'utf8',
      },
    );
  if (hasCurl()) {
    answers.push(curl('-H', `Authorization: ${used(token(keys.service, 'localhost', 'iothubowner'))}`));
    answers.push(curl('-H', `Authorization: ${used(token(keys.service, 'localhost', 'service'))}`));
    answers.push(curl('-X', 'PUT', '-H', 'Authorization: x', '-d', `{"a":"${keys.primary}"}`));
    answers.push(
      curl(
        '-X',
        'PUT',
        '-H',
        `Authorization: ${used(token(keys.owner, 'localhost', 'iothubowner'))}`,
        '-H',
        'Content-Type: application/json',
        '-d',
        `{"deviceId":"d1","authentication":{"symmetricKey":{"primaryKey":["${keys.primary}"]}}`,
      ),
    );
  }
  for (const answer of answers.slice(0, 5)) findSecrets(answer, secrets, 'an answer');
  for (const answer of answers.slice(6)) findSecrets(answer, secrets, 'a refusal');
  findSecrets(readFileSync(`/proc/${hub.pid}/cmdline`, 'latin1'), secrets, 'the arguments');
  findSecrets(hub.stdout(), secrets, 'stdout');
  findSecrets(hub.stderr(), [...secrets, ...signatures], 'the log');

  const endpoints = path.join(hub.dataDir, 'endpoints.json');
  assert.equal(statSync(endpoints).mode & 0o777, 0o600);
  assert.ok(readFileSync(endpoints, 'utf8').includes(keys.owner), 'what is looked for can be found');
  await hub.kill();
  findSecrets(hub.stderr(), secrets, 'the last words');
  for (const file of filesBelow(hub.dataDir)) {
    if (file === endpoints) continue;
    findSecrets(readFileSync(file, 'latin1'), secrets, path.relative(hub.dataDir, file));
    if (/(key|hub\.db|endpoints)/.test(path.basename(file))) assert.equal(statSync(file).mode & 0o077, 0, file);
  }
});

function hasCurl(): boolean {
  try {
    execFileSync('curl', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
}
