/** What a device of the simulation relies on of an MQTT session, as clients do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Packet } from 'mqtt-packet';
import type { Attempt } from './check-sessions.ts';
import { TwinsChecker } from './check-twins.ts';
import type { Checkers } from './device.ts';
import { DeviceTwin } from './device-twin.ts';
import { Directory } from './directory.ts';
import type { MqttClient } from './mqtt-client.ts';
import { planOf } from './plan.ts';
import { World } from './world.ts';

function device() {
  const world = new World(planOf(1));
  const twins = new TwinsChecker(world, new Directory(world));
  const twin = new DeviceTwin('d0', world, { twins } as unknown as Checkers);
  const connect = (clean: boolean) => {
    const sent: Packet[] = [];
    const client = { send: (packet: Packet) => void sent.push(packet) } as unknown as MqttClient;
    const attempt = { clean, credential: { generationId: 'g' } } as Attempt;
    return { link: twin.connecting(client, attempt), sent };
  };
  const first = connect(false);
  twin.accepted(first.link, false);
  twin.settle(first.link);
  const [subscribe] = first.sent;
  assert.ok(subscribe.cmd === 'subscribe');
  twin.received(first.link, { cmd: 'suback', messageId: subscribe.messageId, granted: [0] } as Packet);
  return { twin, connect };
}

test('what the hub has confirmed holds over the connections of a session', () => {
  const { twin, connect } = device();
  const { link } = connect(false);
  twin.accepted(link, true);
  assert.equal(link.confirmed.size, 3);
});

test('a clean connection ends the session, though the device never hears of its answer', () => {
  const { twin, connect } = device();
  connect(true);
  // The session that the hub speaks of was begun by yet another one, whose answer was not heard either.
  connect(false);
  const { link } = connect(false);
  twin.accepted(link, true);
  assert.deepEqual([...link.confirmed], []);
});
