/** Every reason for which a connection ends, and every end of a traced message, as monitoring tells it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import type { MonitoringReport } from '../../src/core/monitoring/types.ts';
import { readTrace } from '../../src/records/record-codec.ts';
import type { MqttDriver } from '../drivers/mqtt.ts';
import { openTestDoor, type TestDoor } from '../drivers/mqtt-door.ts';

const topic = 'devices/d1/messages/events/';

const keyOf = (fill: number): string => Buffer.alloc(32, fill).toString('base64');

const TOKEN_LIFE_MS = 200_000;

/** Lets time pass as the door's pulse does. */
function pass(door: TestDoor, durationMs: number): void {
  for (let passed = 0; passed < durationMs; passed += limits.mqttPulseMs) door.clock.advance(limits.mqttPulseMs);
}

/** What ends the connection of `d1`, by the reason that is told. */
const endings: Readonly<Record<string, (door: TestDoor, client: MqttDriver) => unknown>> = {
  'by-client': (_door, client) => client.disconnect(),
  'connection-lost': (_door, client) => client.destroy(),
  'keep-alive': (door) => pass(door, 100_000),
  'taken-over': (door) => door.device('d1'),
  'token-expired': (door) => pass(door, TOKEN_LIFE_MS + limits.clockSkewMs),
  disabled: (door) => door.hub.registry.put(door.owner, { deviceId: 'd1', status: 'disabled' }, '*'),
  deleted: (door) => door.hub.registry.delete(door.owner, { deviceId: 'd1' }),
  'credentials-changed': (door) => {
    const symmetricKey = { primaryKey: keyOf(8), secondaryKey: keyOf(9) };
    const draft = { deviceId: 'd1', authentication: { type: 'sas' as const, symmetricKey } };
    return door.hub.registry.put(door.owner, draft, '*');
  },
  'protocol-error': (_door, client) => client.socket.write(Buffer.from([0, 0])),
  async 'storage-failed'(door, client) {
    client.publish({ topic, qos: 1, messageId: 1 });
    await client.ping();
    door.log.failWith(new Error('no space left'));
    await door.log.commit();
  },
  'hub-stopping': async (door) => {
    await door.door.stopAccepting();
    const drained = door.door.drain();
    door.clock.advance(60_000);
    await drained;
  },
};
/** Of x509-chains.test.ts and monitoring-presence.test.ts. */
const elsewhere = ['authority-removed', 'hub-crashed'];

test('the page names every reason that is told, and no other', () => {
  const page = readFileSync(new URL('../../docs/monitoring.md', import.meta.url), 'utf8');
  const [, listed] = /^`reason` of `disconnected`: ([\s\S]*?)\. The last/m.exec(page) ?? [];
  const named = [...listed.matchAll(/`([a-z-]+)`/g)].map(([, reason]) => reason);
  assert.deepEqual(named.toSorted(), [...Object.keys(endings), ...elsewhere].toSorted());
});

for (const [reason, end] of Object.entries(endings)) {
  test(`a connection that ends is told with its reason: ${reason}`, async () => {
    const told: MonitoringReport[] = [];
    let heard = (): void => {};
    const record = (report: MonitoringReport): void => {
      told.push(report);
      if (report.type === 'disconnected') heard();
    };
    const isTold = new Promise<void>((resolve) => {
      heard = resolve;
    });
    await using door = await openTestDoor({ durable: 'byHand' }, {}, { recorder: { record } });
    const client = await door.device('d1', { keepalive: reason === 'keep-alive' ? 30 : 0, lifeMs: TOKEN_LIFE_MS });
    await end(door, client);
    await isTold;
    client.destroy();
    const [ended] = told.filter(({ type }) => type === 'disconnected');
    const [connected] = told.filter(({ type }) => type === 'connected');
    assert.ok(ended.type === 'disconnected');
    assert.deepEqual([ended.reason, ended.deviceId, ended.protocol], [reason, 'd1', 'mqtt']);
    assert.equal(ended.correlationId, connected.correlationId);
  });
}

test('a traced message that a rule refuses, and one that the disk does not take', async () => {
  const steps: string[] = [];
  let heard = (): void => {};
  const record = (report: MonitoringReport): void => {
    if (report.type !== 'traceStep') return;
    steps.push([report.step, report.code, report.reason].filter((text) => text !== undefined).join(' '));
    heard();
  };
  const tracing = { devices: ['d1'], sample: 0, traceOf: readTrace };
  await using door = await openTestDoor({ durable: 'byHand' }, {}, { recorder: { record }, tracing });
  const until = async (count: number): Promise<readonly string[]> => {
    while (steps.length < count) {
      await new Promise<void>((resolve) => {
        heard = resolve;
      });
    }
    return steps.splice(0);
  };
  const large = await door.device('d1');
  large.publish({ topic, qos: 1, messageId: 1, payload: Buffer.alloc(limits.telemetryBytesMax + 1) });
  assert.deepEqual(await until(3), ['received', 'authorised', 'refused MessageTooLarge telemetryBytesMax']);
  const client = await door.device('d1');
  client.publish({ topic, qos: 1, messageId: 1, payload: 'x' });
  await client.ping();
  door.log.failWith(new Error('no space left'));
  await door.log.commit();
  const [received, authorised, last] = await until(3);
  assert.deepEqual([received, authorised], ['received', 'authorised']);
  assert.match(last, /^not-stored /);
  client.destroy();
});
