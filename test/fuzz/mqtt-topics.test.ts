/** Campaigns against the adapter mqtt-topics: what a packet or topic costs, and sessions of devices that mean ill. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import mqttPacket from 'mqtt-packet';
import mqttTopics from '../../src/adapters/mqtt-topics/index.ts';
import { FakeHub, runAdapter } from '../../src/gateway/testing/index.ts';
import { connectPacket, MqttDriver } from '../drivers/mqtt.ts';
import { type Chance, campaign } from './campaign.ts';
import { mqtt5Bytes, mqttBytes } from './mqtt-grammar.ts';
import { damagedBytes, damagedText, swollen } from './mutate.ts';
import { feed, mappedTopic, packet5 } from './priced-parsers.ts';

const SECONDS = 1;
/** One more than a topic may have is refused before it is looked at; so is this. */
const TOPIC_BYTES_MAX = 600;
const topics = [
  'tele/plug/SENSOR',
  'tele/plug/LWT',
  'stat/plug/RESULT',
  'cmnd/plug/#',
  'shellies/shelly1pm-AB12/relay/0/power',
  'shellyplus1-7c87/status/switch:0',
  'zigbee2mqtt/hall/lamp',
  'zigbee2mqtt/bridge/state',
  'plant/a_b/c/d',
  '---/---/---/---/a/end',
  'e/sensor/t/state',
] as const;

test('packets of MQTT 5 and topics cost what their bytes cost', async () => {
  await campaign('cost of mqtt 5 packets', SECONDS, (chance) => feed([packet5], mqtt5Bytes(chance, topics)));
  await campaign('cost of mapped topics', SECONDS, (chance) => {
    const text = Buffer.from(damagedText(chance, chance.pick(topics), topics));
    feed([mappedTopic], swollen(chance, text, TOPIC_BYTES_MAX).subarray(0, TOPIC_BYTES_MAX));
    // Many of what divides a level, in each of them.
    const levels = Array.from({ length: 1 + chance.below(8) }, () =>
      chance.pick(['-', '_', '.']).repeat(chance.below(100)),
    );
    feed([mappedTopic], Buffer.from(`${levels.join('/')}/${chance.pick(['end', 'enx', 'state'])}`));
  });
});

/** A CONNECT of one of both versions. */
function connectBytes(chance: Chance, password: string): Buffer {
  const protocolVersion = chance.pick([4, 5] as const);
  const will = { topic: chance.pick(topics), payload: Buffer.from('{}'), qos: 1, retain: chance.once(2) } as const;
  return mqttPacket.generate({
    ...connectPacket({
      username: 'd',
      password: Buffer.from(password),
      clientId: chance.pick(['a', 'b']),
      clean: true,
    }),
    ...{ protocolVersion, keepalive: chance.pick([0, 1, 65_535]), ...(chance.once(3) && { will }) },
  });
}

test('sessions of the adapter: whatever comes ends its own connection alone, and nothing is left that cannot be handled', async () => {
  const hub = new FakeHub();
  const presets = ['tasmota', 'shelly', 'zigbee2mqtt', 'esphome'];
  const adapter = await runAdapter(mqttTopics, { listen: { port: 0, plain: true }, presets }, hub);
  const [port] = adapter.ports;
  const password = hub.addDevice('d');
  const login = { username: 'good', password: Buffer.from(hub.addDevice('good')), clientId: 'good' };
  const { client: good } = await MqttDriver.connect({ port }, login);
  try {
    await campaign('mqtt-topics sessions', 2 * SECONDS, async (chance) => {
      const socket = net.connect({ port, host: '127.0.0.1', noDelay: true }).on('error', () => {});
      const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
      const isDamaged = chance.once(8);
      const connect = connectBytes(chance, password);
      socket.write(isDamaged ? damagedBytes(chance, connect) : connect);
      // Of a damaged one more bytes may be awaited, and its login be refused late.
      if (!isDamaged) await Promise.race([once(socket, 'data'), closed]);
      for (let count = chance.below(20); count > 0 && !socket.destroyed; count--) {
        const bytes = chance.once(2) ? mqttBytes(chance) : mqtt5Bytes(chance, topics);
        const cut = chance.below(bytes.length + 1);
        socket.write(bytes.subarray(0, cut));
        socket.write(bytes.subarray(cut));
      }
      if (isDamaged || chance.once(4)) socket.destroy();
      else socket.resume().end();
      await closed;
    });
    await good.ping();
    const broken = adapter.lines.filter(({ level }) => level === 'error');
    assert.deepEqual(broken, []);
  } finally {
    good.socket.destroy();
    await adapter.stop();
  }
});
