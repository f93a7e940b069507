/** Presence in the registry: exact while the hub runs, after a stop, and after `kill -9`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { devicePlace, MonitoringReader, withDevice } from '../drivers/monitoring.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import { until } from '../drivers/until.ts';

async function presenceOf(hub: TestHub, deviceId: string) {
  const api = apiOf(hub);
  try {
    const { connectionState, connectionStateUpdatedTime, lastActivityTime } = await api.devices.get(deviceId);
    return {
      connectionState,
      stateTime: Date.parse(connectionStateUpdatedTime ?? ''),
      activityTime: Date.parse(lastActivityTime ?? ''),
    };
  } finally {
    api.close();
  }
}

/** Resolves when the registry has stored what presence knows: nothing waits any more. */
async function stored(hub: TestHub): Promise<void> {
  await until('nothing waits any more', async () => {
    const response = await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/metrics`);
    return /^mooring_presence_pending 0$/m.test(await response.text());
  });
}

test('a stop and a new start forget nothing of who was there and when', async () => {
  let hub = await startHub();
  try {
    const device = await withDevice(hub, 'stays-known');
    await withDevice(hub, 'never-seen');
    const before = Date.now();
    const { client } = await MqttDriver.connect(devicePlace(hub), await device.connect());
    const connected = await presenceOf(hub, 'stays-known');
    assert.equal(connected.connectionState, 'Connected');
    assert.ok(connected.stateTime >= before && connected.stateTime <= Date.now());
    await client.ping();
    await client.disconnect();
    const left = await presenceOf(hub, 'stays-known');
    assert.equal(left.connectionState, 'Disconnected');
    assert.ok(left.stateTime >= connected.stateTime && left.activityTime <= left.stateTime);
    await hub.stop();
    hub = await hub.restart();
    assert.deepEqual(await presenceOf(hub, 'stays-known'), left);
    assert.ok((await presenceOf(hub, 'never-seen')).stateTime < 0, 'the service’s year 1');
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});

test('a stop tells of every connection that it ends, and then of itself', async () => {
  let hub = await startHub();
  try {
    const device = await withDevice(hub, 'at-the-stop');
    const { client } = await MqttDriver.connect(devicePlace(hub), await device.connect());
    await hub.stop();
    await client.untilClosed();
    hub = await hub.restart();
    await using reader = await MonitoringReader.open(hub);
    const told = await reader.until((all) => all.filter(({ type }) => type === 'hubStarted').length === 2);
    assert.deepEqual(
      told.map(({ type, reason }) => (reason === undefined ? type : `${type} ${reason}`)),
      ['hubStarted', 'identityCreated', 'connected', 'disconnected hub-stopping', 'hubStopped', 'hubStarted'],
    );
    assert.equal((await presenceOf(hub, 'at-the-stop')).connectionState, 'Disconnected');
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});

test('after kill -9 nobody is connected, each lost connection is told, and numbers go on', async () => {
  let hub = await startHub();
  try {
    const names = ['crash-1', 'crash-2', 'crash-3'];
    const clients = new Map<string, MqttDriver>();
    for (const name of names) {
      const device = await withDevice(hub, name);
      clients.set(name, (await MqttDriver.connect(devicePlace(hub), await device.connect())).client);
    }
    await clients.get('crash-3')?.disconnect();
    const before = await Promise.all(names.map((name) => presenceOf(hub, name)));
    await stored(hub);
    await hub.kill();
    hub = await hub.restart();
    const after = await Promise.all(names.map((name) => presenceOf(hub, name)));
    for (const [at, name] of names.entries()) {
      assert.equal(after[at].connectionState, 'Disconnected', name);
      assert.ok(after[at].activityTime >= before[at].stateTime || name === 'crash-3', name);
    }
    assert.deepEqual(after[2], before[2]);
    await using reader = await MonitoringReader.open(hub);
    const recovered = await reader.next(({ type }) => type === 'hubRecovered');
    assert.equal(recovered.connectionsLost, 2);
    const all = reader.all();
    for (const name of names) {
      const own = all.filter(({ deviceId }) => deviceId === name);
      const expected = [
        'identityCreated',
        'connected',
        `disconnected ${name === 'crash-3' ? 'by-client' : 'hub-crashed'}`,
      ];
      assert.deepEqual(
        own.map(({ type, reason }) => (reason === undefined ? type : `${type} ${reason}`)),
        expected,
      );
      for (const [at, event] of own.entries()) {
        if (at > 0) assert.ok(event.sequenceNumber > own[at - 1].sequenceNumber, name);
      }
    }
    assert.ok(!all.some(({ type }) => type === 'hubStopped'));
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});

test('with monitoring switched off nothing is recorded, and presence is known all the same', async () => {
  await using hub = await startHub({ args: ['--monitoring', 'off'] });
  const device = await withDevice(hub, 'unwatched');
  const { client } = await MqttDriver.connect(devicePlace(hub), await device.connect());
  assert.equal((await presenceOf(hub, 'unwatched')).connectionState, 'Connected');
  await client.disconnect();
  assert.equal((await presenceOf(hub, 'unwatched')).connectionState, 'Disconnected');
  const admin = `http://127.0.0.1:${hub.endpoints.ports.admin}`;
  const metrics = await (await fetch(`${admin}/metrics`)).text();
  assert.match(metrics, /^mooring_events_stored_total\{event_hub="mooring-monitoring"\} 0$/m);
  assert.equal((await fetch(`${admin}/events`)).status, 404);
});
