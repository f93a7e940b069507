/**
 * The programs and lines that the portal shows to a newcomer, run exactly as shown: those that need no vendor's SDK. The SDKs are in
 * `sdk-tests/first-messages.test.ts`.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { deviceConnectionString, quoted, snippetsOf } from '../../portal/src/snippets/snippets.ts';
import type { ApiClient } from '../../src/api/client.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { runSnippet, snippetFor } from '../drivers/snippets.ts';

let [hub, api]: [TestHub, ApiClient] = [] as never;

before(async () => {
  hub = await startHub();
  api = apiOf(hub);
});

after(async () => {
  api.close();
  await hub[Symbol.asyncDispose]();
});

const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
const hasPaho = globSync(['/usr/include/MQTTClient.h', '/usr/local/include/MQTTClient.h']).length > 0;

/** Where everything must be tested (CI=1) a missing program fails. */
const without = (isThere: boolean, what: string): string | false =>
  isThere || process.env.CI === '1' ? false : `needs ${what}`;

const one = [{ temperature: 21.5, humidity: 51 }];
const five = [1, 2, 3, 4, 5].map((n) => ({ temperature: 20 + n / 2, humidity: 50 + n }));
/** Everything that a shell or a URL could stumble over, as far as MQTT lets it into a topic. */
const hostile = "a'b$HOME(c);*?!@=,:%".replace(';', '.');

for (const deviceId of ['first-device', hostile]) {
  test(`curl sends as ${deviceId}`, { skip: without(has('curl'), 'curl') }, async () => {
    const snippet = await snippetFor(hub, api, deviceId, 'curl');
    assert.deepEqual(await runSnippet(hub, snippet, { deviceId, messages: 1 }), one);
    await api.devices.delete(deviceId);
  });

  test(`mosquitto_pub sends as ${deviceId}`, { skip: without(has('mosquitto_pub'), 'mosquitto-clients') }, async () => {
    const snippet = await snippetFor(hub, api, deviceId, 'mosquitto');
    assert.deepEqual(await runSnippet(hub, snippet, { deviceId, messages: 1 }), one);
    await api.devices.delete(deviceId);
  });
}

test('the program in C compiles and sends', {
  skip: without(has('cc') && hasPaho, 'gcc and libpaho-mqtt-dev'),
}, async () => {
  const snippet = await snippetFor(hub, api, 'in-c', 'c');
  assert.deepEqual(await runSnippet(hub, snippet, { deviceId: 'in-c', messages: 5, installs: true }), five);
});

test('each snippet names files that are there, and each has its way out where this hub cannot serve it', () => {
  const facts = { hostName: 'localhost', deviceId: 'd', key: 'a2V5', token: 'SharedAccessSignature sr=x' };
  const usual = snippetsOf({ ...facts, ports: { mqtts: 8883, amqps: 5671, https: 443 } });
  for (const { files, obstacle } of usual) {
    for (const name of files) assert.ok(existsSync(`examples/devices/${name}`), name);
    assert.equal(obstacle, undefined);
  }
  for (const { obstacle } of snippetsOf({ ...facts, ports: { mqtts: null, amqps: null, https: null } }))
    assert.ok(obstacle);
});

test('a word of the shell is the text, whatever it holds', () => {
  for (const text of ["it's", '$HOME `id` "x" \\', "'''", deviceConnectionString('h', hostile, 'a2V5==')]) {
    const run = spawnSync('sh', ['-c', `printf %s ${quoted(text)}`], { encoding: 'utf8' });
    assert.equal(run.stdout, text);
  }
});
