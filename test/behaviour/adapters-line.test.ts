/** The adapter `line` by itself, against the fake hub of the test kit; `adapters-hub.test.ts` has it in a real one. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import line from '../../src/adapters/line/line.ts';
import { adapterContract, FakeHub, fakeRig, runAdapter } from '../../src/gateway/testing/index.ts';
import { lineDriver, openLine } from '../drivers/line-device.ts';
import { until } from '../drivers/until.ts';

describe('the contract of adapters: line, fake hub', () => {
  for (const { title, run } of adapterContract(line, lineDriver, fakeRig)) test(title, { timeout: 10_000 }, run);
});

test('a device that does not log in first is told so and ended', async () => {
  const adapter = await runAdapter(line, { port: 0 }, new FakeHub());
  const device = await openLine(adapter.ports[0]);
  assert.equal(await device.ask('{"temperature":21}'), 'no unauthorized');
  await device.ended;
  await adapter.stop();
});

test('a line that is longer than a message may be ends its connection, and the hub has nothing of it', async () => {
  const hub = new FakeHub();
  const adapter = await runAdapter(line, { port: 0 }, hub);
  const device = await openLine(adapter.ports[0]);
  assert.equal(await device.ask(`login meter-1 ${hub.addDevice('meter-1')}`), 'ok');
  assert.equal(await device.ask('x'.repeat(300_000)), 'no tooLarge');
  await device.ended;
  assert.deepEqual(hub.messages, []);
  await adapter.stop();
});

test('a device that is slowed is not read until it may go on: nothing is lost', async () => {
  const hub = new FakeHub();
  const adapter = await runAdapter(line, { port: 0 }, hub);
  const device = await openLine(adapter.ports[0]);
  await device.ask(`login meter-1 ${hub.addDevice('meter-1')}`);
  hub.slow('meter-1', true);
  const answers = Array.from({ length: 20 }, (_, at) => device.ask(`{"n":${at}}`));
  const first = await Promise.race([answers[0], new Promise((resolve) => setTimeout(resolve, 100, 'waits'))]);
  assert.equal(first, 'waits');
  hub.slow('meter-1', false);
  assert.deepEqual([...new Set(await Promise.all(answers))], ['ok']);
  assert.equal(hub.textsOf('meter-1').length, 20);
  await adapter.stop();
});

test('a message while the hub is away is stored, and there when it is back', async () => {
  const hub = new FakeHub();
  const adapter = await runAdapter(line, { port: 0 }, hub);
  const device = await openLine(adapter.ports[0]);
  await device.ask(`login meter-1 ${hub.addDevice('meter-1')}`);
  hub.isReachable = false;
  assert.equal(await device.ask('{"n":1}'), 'ok');
  assert.deepEqual(hub.textsOf('meter-1'), []);
  hub.isReachable = true;
  assert.deepEqual(hub.textsOf('meter-1'), ['{"n":1}']);
  await adapter.stop();
});

test('connections beyond those of one address are closed and counted', async () => {
  const adapter = await runAdapter(line, { port: 0 }, new FakeHub());
  const devices = await Promise.all(Array.from({ length: 100 }, () => openLine(adapter.ports[0])));
  await until('a connection was refused and counted', async () => {
    const more = await openLine(adapter.ports[0]);
    await more.ended;
    return adapter.metrics.get('refused_connections_of_address') !== undefined;
  });
  for (const device of devices) device.socket.destroy();
  await adapter.stop();
});

test('settings that cannot be used are told by name, without the value', async () => {
  const wrong = runAdapter(line, { port: 'geheim', colour: 1 }, new FakeHub());
  await assert.rejects(wrong, (error: Error) => {
    assert.match(error.message, /adapter line .*settings\.port: .*colour/s);
    return !error.message.includes('geheim');
  });
});
