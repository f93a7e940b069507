/** What every host of adapters gives: modules by name and path, settings, listeners, a memory. */
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { builtInAdapters } from '../../src/adapters/built-in.ts';
import { type AdapterDefinition, type Refused, z } from '../../src/gateway/index.ts';
import { createListeners } from '../../src/gateway/listeners.ts';
import { loadAdapter } from '../../src/gateway/load.ts';
import { openMemory } from '../../src/gateway/memory.ts';
import { checkSettings, describeSettings } from '../../src/gateway/settings.ts';
import { adapterContract, fakeRig } from '../../src/gateway/testing/index.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mooring-adapters-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

test('a built-in adapter is loaded by its name, another one by its path, and finds mooring/gateway there', async () => {
  assert.equal((await loadAdapter('line', builtInAdapters, folder)).name, 'line');
  await assert.rejects(loadAdapter('lime', builtInAdapters, folder), /no adapter lime\. Built in are .*line/);
  const module = `import { z } from 'mooring/gateway';
    export default { name: 'own', apiVersion: 1, settings: z.object({}), create: () => ({ start: async () => {} }) };`;
  writeFileSync(path.join(folder, 'own.mjs'), module);
  assert.equal((await loadAdapter('./own.mjs', builtInAdapters, folder)).name, 'own');
});

test('a module that is no adapter is refused with what it lacks', async () => {
  const file = (name: string, text: string): string => {
    writeFileSync(path.join(folder, name), text);
    return `./${name}`;
  };
  const load = (name: string, text: string) => loadAdapter(file(name, text), builtInAdapters, folder);
  await assert.rejects(load('a.mjs', 'export const x = 1;'), /has no default export/);
  await assert.rejects(load('b.mjs', "export default { name: 'B!' };"), /needs a name/);
  await assert.rejects(load('c.mjs', "export default { name: 'c', apiVersion: 2 };"), /version 2 .* speaks version 1/);
  await assert.rejects(load('d.mjs', 'export default (;'), /cannot be loaded/);
  await assert.rejects(load('e.ts', 'const a = 1;\nconst b = = 2;\n'), /cannot be loaded: .* \(line 2 of .*e\.ts\)/);
  await assert.rejects(load('f.mjs', '\n\nnull.x;\n'), /cannot be loaded: .* \(line 3 of .*f\.mjs\)/);
  await assert.rejects(load('g.ts', 'enum A { x }\n'), /cannot be loaded: .* \(line 1 of .*g\.ts\)/);
});

test('settings take secrets from variables and files; what is missing is named', async () => {
  const line = await loadAdapter('line', builtInAdapters, folder);
  writeFileSync(path.join(folder, 'port'), '1883\n');
  const own = { host: { $env: 'HOST' }, tls: { certificateFile: { $file: 'port' }, keyFile: 'k' } };
  assert.deepEqual(await checkSettings(line, own, folder, { HOST: '::1' }), {
    ...{ host: '::1', port: 4001, format: 'json' },
    tls: { certificateFile: '1883', keyFile: 'k' },
  });
  await assert.rejects(checkSettings(line, own, folder, {}), /variable HOST: it is not set/);
  await assert.rejects(checkSettings(line, { host: { $file: 'none' } }, folder, {}), /cannot be read/);
  assert.deepEqual(Object.keys(describeSettings(line)?.properties ?? {}), ['host', 'port', 'tls', 'format']);
});

test('an adapter keeps facts over a restart, up to their bounds', async () => {
  const file = path.join(folder, 'memory', 'own.sqlite');
  const memory = openMemory(file);
  await memory.set('alias/2', { topic: 'b' });
  await memory.set('alias/1', { topic: 'a' });
  await memory.set('other', 1);
  await memory.delete('other');
  await assert.rejects(memory.set('big', 'x'.repeat(70_000)), ({ code }: Refused) => code === 'tooLarge');
  memory.close();
  const again = openMemory(file);
  assert.deepEqual(await again.list('alias/'), [
    ['alias/1', { topic: 'a' }],
    ['alias/2', { topic: 'b' }],
  ]);
  assert.equal(await again.get('other'), undefined);
  again.close();
});

test('a client proves a pre-shared key over TLS, and a wrong key or identity ends its handshake', {
  timeout: 20_000,
}, async () => {
  const key = createHmac('sha256', randomBytes(32)).update('mooring psk').digest();
  const refused: string[] = [];
  const listeners = createListeners({
    log: silent,
    certificate: () => undefined,
    sharedKey: async (identity) => (identity === 'meter-1' ? key : undefined),
    count: (what) => void refused.push(what),
  });
  const { port } = await listeners.tcp({ port: 0, tls: { certificate: 'none', sharedKeys: true } }, (connection) => {
    connection.end(`you are ${connection.pskIdentity}`);
  });
  const connect = async (identity: string, psk: Uint8Array): Promise<string> => {
    const socket = tls.connect({
      ...{ port, host: '127.0.0.1', maxVersion: 'TLSv1.2', ciphers: 'PSK-AES128-GCM-SHA256' },
      pskCallback: () => ({ identity, psk }),
      checkServerIdentity: () => undefined,
    });
    await once(socket, 'secureConnect');
    const [text] = await once(socket, 'data');
    return String(text);
  };
  assert.equal(await connect('meter-1', key), 'you are meter-1');
  await assert.rejects(connect('meter-1', randomBytes(32)));
  await assert.rejects(connect('nobody', key));
  assert.deepEqual(refused, ['handshakes', 'handshakes']);
  await listeners.close();
});

test('datagrams beyond those of one address are dropped and counted', async () => {
  let dropped = 0;
  let served = 0;
  const listeners = createListeners({
    log: silent,
    certificate: () => undefined,
    sharedKey: async () => undefined,
    count: () => void dropped++,
  });
  const bound = { port: 0, datagramsPerAddressPerSecondMax: 10 };
  const server = await listeners.udp(bound, ({ bytes, peer, peerPort }) => {
    served++;
    server.send(bytes, peer, peerPort);
  });
  const client = dgram.createSocket('udp4');
  client.send('ping', server.port, '127.0.0.1');
  assert.equal(String((await once(client, 'message'))[0]), 'ping');
  for (let at = 0; at < 200; at++) client.send('flood', server.port, '127.0.0.1');
  // Another second may begin meanwhile.
  for (const end = performance.now() + 5000; served + dropped < 201 && performance.now() < end; ) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(served >= 10 && served <= 30, `${served} were served`);
  client.close();
  await listeners.close();
});

test('a case of the contract that the driver cannot do is told as left out, not as passed; its device leaves', async () => {
  const definition: AdapterDefinition = {
    ...{ name: 'mute', apiVersion: 1, settings: z.object({}) },
    create: (host) => ({
      start: async () => void (await host.listeners.tcp({ port: 0 }, () => {})),
    }),
  };
  let left = 0;
  const leave = async (): Promise<void> => void left++;
  const driver = { settings: {}, connect: async () => ({ send: async () => {}, leave }) };
  const skipped: string[] = [];
  for (const { title, run } of adapterContract(definition, driver, fakeRig)) {
    if (/command|method|properties|newer/.test(title)) await run({ skip: () => skipped.push(title) });
  }
  assert.equal(skipped.length, 5);
  assert.equal(left, 5);
});
