/** Why the hub ends the links of an AMQP device: the rule and the address stand in the log and in what monitoring tells. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import type { MonitoringReport } from '../../src/core/monitoring/types.ts';
import { AmqpDriver } from '../drivers/amqp.ts';
import { attach, begin, transfer } from '../drivers/amqp-bytes.ts';
import { type AmqpTestHub, openAmqpTestHub, type TestDevice } from '../drivers/amqp-door.ts';

/** The peer breaks a rule after it has opened its link for telemetry. */
type Fault = (client: AmqpDriver, device: TestDevice, hub: AmqpTestHub) => unknown;

const bytes =
  (...frames: readonly Buffer[]): Fault =>
  ({ connection }) => {
    const { socket } = connection as unknown as { readonly socket: NodeJS.WritableStream };
    for (const frame of frames) socket.write(frame);
  };

const faults: readonly (readonly [what: string, break_: Fault, reason: string, detail: string | undefined])[] = [
  [
    'a frame of a channel without a session',
    bytes(attach(7, 'x', 0, true, '$cbs')),
    'protocol-error',
    'channel 7 has no session',
  ],
  ['begin twice', bytes(begin(0)), 'protocol-error', 'channel 0 has a session already'],
  [
    'a transfer where the hub sends',
    bytes(attach(0, 'commands', 40, true, '/devices/d1/messages/devicebound'), transfer(0, 40, Buffer.of(1))),
    'protocol-error',
    'a transfer on a link on which the hub sends: "/devices/d1/messages/devicebound"',
  ],
  [
    'a handle that is not attached',
    bytes(transfer(0, 99, Buffer.of(1))),
    'protocol-error',
    'Handle 99 is not attached: "/devices/d1/messages/events"',
  ],
  ['the client goes', (client) => client.close(), 'by-client', undefined],
  ['the hub stops', (_client, _device, hub) => hub.door.drain(100), 'hub-stopping', undefined],
];

for (const [what, break_, reason, detail] of faults) {
  test(`${what}: ${reason}`, async () => {
    let heard = (_report: MonitoringReport): void => {};
    const ended = new Promise<MonitoringReport>((resolve) => {
      heard = resolve;
    });
    const record = (report: MonitoringReport): void => {
      if (report.type === 'disconnected') heard(report);
    };
    await using hub = await openAmqpTestHub({ recorder: { record } });
    const device = await hub.device('d1');
    const client = await AmqpDriver.connect(hub.port, {});
    await client.putToken(device.token(), device.resource);
    await client.send(device.address('messages/events')).opened();
    await break_(client, device, hub);
    const told = await ended;
    assert.ok(told.type === 'disconnected');
    assert.deepEqual([told.deviceId, told.reason, told.detail], ['d1', reason, detail]);
    if (detail !== undefined) {
      const line = hub.lines.find((text) => text.includes('AMQP devices are cut off'));
      assert.equal(JSON.parse(line?.slice(line.indexOf('{')) ?? '{}').detail, detail, hub.lines.join('\n'));
    }
    client.connection.close();
  });
}

test('a link of a device that is refused, and a mistyped address', async () => {
  const told: MonitoringReport[] = [];
  await using hub = await openAmqpTestHub({ recorder: { record: (report) => void told.push(report) } });
  const device = await hub.device('d1');
  const client = await AmqpDriver.connect(hub.port, {});
  await client.putToken(device.token(), device.resource);
  const refused = await client.send(device.address('messages/devicebound')).ending();
  assert.equal(refused.condition, 'amqp:unauthorized-access');
  const [ended] = told.filter(({ type }) => type === 'disconnected');
  assert.ok(ended.type === 'disconnected');
  assert.equal(ended.reason, 'protocol-error');
  assert.equal(ended.detail, 'Commands are sent by back ends: "/devices/d1/messages/devicebound"');
  for (let n = 0; n < 2 * limits.amqpRefusalsLoggedMax; n++) {
    await client.send(device.address('messages/devicebound')).ending();
  }
  const cut = hub.lines.filter((line) => line.includes('AMQP devices are cut off'));
  assert.equal(cut.length, limits.amqpRefusalsLoggedMax, 'what a device repeats does not fill the log');
  const other = await AmqpDriver.connect(hub.port, {});
  await other.putToken(device.token(), device.resource);
  for (let n = 0; n < 3; n++) await other.send(`/devices/d1/message/\u001b[31m${n}`).ending();
  const lines = hub.lines.filter((line) => line.includes('"info"') && line.includes('AMQP link refused'));
  assert.equal(lines.length, 2, lines.join('\n'));
  assert.ok(lines[1].includes('/devices/d1/message/') && !lines[1].includes('\u001b'), lines[1]);
  await other.close();
  await client.close();
});
