/** Adapters that ship, inside a real hub's machine: in processes of their own, and beside the hub's loop. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import tls from 'node:tls';
import line from '../../src/adapters/line/line.ts';
import mqttTopics from '../../src/adapters/mqtt-topics/index.ts';
import { adapterContract } from '../../src/gateway/testing/index.ts';
import { type AdapterHub, hubRig, startAdapterHub } from '../drivers/adapter-hub.ts';
import { lineDriver, openLine } from '../drivers/line-device.ts';
import { mqttTopicsDriver } from '../drivers/mqtt-topics-device.ts';

for (const run of ['process', 'hub'] as const) {
  describe(`the contract of adapters, run: ${run}`, () => {
    let open: AdapterHub;
    before(async () => {
      open = await startAdapterHub([
        { adapter: 'line', settings: { port: 0 }, run },
        { adapter: 'mqtt-topics', settings: mqttTopicsDriver.settings, run },
      ]);
    });
    after(() => open[Symbol.asyncDispose]());
    for (const [name, cases] of [
      ['line', adapterContract(line, lineDriver, () => hubRig(open, 'line')())],
      ['mqtt-topics', adapterContract(mqttTopics, mqttTopicsDriver, () => hubRig(open, 'mqtt-topics')())],
    ] as const) {
      for (const { title, run: check } of cases) test(`${name}: ${title}`, { timeout: 30_000 }, check);
    }
  });
}

test('lines over TLS: the certificate is the hub’s own where the operator allows it, else the adapter says what is missing', {
  timeout: 90_000,
}, async () => {
  const secure = { adapter: 'line', settings: { port: 0, tls: 'host' }, hubCertificate: true };
  const without = { adapter: 'line', name: 'line-2', settings: { port: 0, tls: 'host' } };
  await using open = await startAdapterHub([secure, without]);
  const key = await open.addDevice('meter-1');
  const socket = tls.connect({
    port: await open.port('line'),
    host: '127.0.0.1',
    ca: open.hub.ca,
    servername: 'localhost',
  });
  await once(socket, 'secureConnect');
  const device = await openLine(0, socket);
  assert.equal(await device.ask(`login meter-1 ${key}`), 'ok');
  await device.send('{"n":1}');
  assert.deepEqual(await open.texts('meter-1'), ['{"n":1}']);
  await device.leave();
  await open.hub.logged(/"adapter":"line-2","reason":"it cannot start: The host has no certificate/);
});
