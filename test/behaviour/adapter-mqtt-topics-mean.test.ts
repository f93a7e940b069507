/** The adapter mqtt-topics where a client, a back end or a stranger asks for too much, or for what belongs to another device. */
import assert from 'node:assert/strict';
import net, { type AddressInfo } from 'node:net';
import { test } from 'node:test';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import mqttPacket, { type Packet } from 'mqtt-packet';
import mqttTopics from '../../src/adapters/mqtt-topics/index.ts';
import { limits } from '../../src/base/limits.ts';
import { Refused } from '../../src/gateway/index.ts';
import { FakeHub, type RunningAdapter, runAdapter } from '../../src/gateway/testing/index.ts';
import { until } from '../drivers/until.ts';

interface Site {
  readonly hub: FakeHub;
  readonly adapter: RunningAdapter;
  readonly port: number;
}

async function site(context: { after(work: () => Promise<void>): void }, settings: object): Promise<Site> {
  const hub = new FakeHub();
  const adapter = await runAdapter(mqttTopics, settings, hub);
  context.after(() => adapter.stop());
  return { hub, adapter, port: adapter.ports[0] };
}

const tasmota = { listen: { port: 0, plain: true, users: [] }, presets: ['tasmota'] };

const client = (port: number, options: IClientOptions): Promise<MqttClient> =>
  mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0, connectTimeout: 5000, ...options });

test('guessing costs a second, whether there is such a name or not, and whoever judges', async (context) => {
  const users = [{ name: 'known', password: 'a password', device: 'd' }];
  const { hub, port } = await site(context, { ...tasmota, listen: { ...tasmota.listen, users } });
  hub.addDevice('plug-1');
  const refusals = ['known', 'plug-1', 'nobody'].map(async (username) => {
    const began = performance.now();
    await assert.rejects(client(port, { username, password: 'guess' }), /Bad username or password/i);
    return performance.now() - began;
  });
  for (const ms of await Promise.all(refusals)) assert.ok(ms >= limits.mqttTopicsRefusalDelayMs - 50, `${ms} ms`);
});

test('an MQTT 5 client is told what does not count, and is sent nothing that is larger than it takes', async (context) => {
  const { hub, adapter, port } = await site(context, tasmota);
  const login = { username: 'plug-1', password: hub.addDevice('plug-1') };
  const properties = { maximumPacketSize: 100, receiveMaximum: 1, sessionExpiryInterval: 3600 };
  const device = mqtt.connect(`mqtt://127.0.0.1:${port}`, {
    ...{ ...login, clientId: 'x', protocolVersion: 5, keepalive: 0, reconnectPeriod: 0, properties },
  });
  const told = await new Promise<object>((resolve, reject) => {
    device.on('error', reject).on('connect', (connack) => resolve({ ...connack.properties }));
  });
  assert.partialDeepStrictEqual(told, { serverKeepAlive: 1178, sessionExpiryInterval: 0 });
  const heard: number[] = [];
  device.on('message', (_, payload) => heard.push(payload.length));
  await device.subscribeAsync('cmnd/plug/#', { qos: 1 });
  assert.equal(await hub.sendCommand('plug-1', 'x'.repeat(100)), 'reject');
  assert.equal(await hub.sendCommand('plug-1', 'x'.repeat(50)), 'complete');
  assert.deepEqual(heard, [50]);
  assert.ok(adapter.lines.some(({ text }) => text.includes('larger than its client takes')));
  await device.endAsync();
});

test('a command with a topic that is too long is rejected, and takes no place of others', async (context) => {
  const { hub, port } = await site(context, tasmota);
  const login = { username: 'plug-1', password: hub.addDevice('plug-1') };
  const properties = { receiveMaximum: 1 };
  const device = await client(port, { ...login, clientId: 'x', protocolVersion: 5, properties });
  await device.subscribeAsync('cmnd/plug/#', { qos: 1 });
  assert.equal(await hub.sendCommand('plug-1', 'ON', { command: 'x'.repeat(65_530) }), 'reject');
  assert.equal(await hub.sendCommand('plug-1', 'ON'), 'complete');
  await device.endAsync();
});

/** A broker for one client, which hears what it has published itself, as brokers do, and each time what it has not acknowledged. */
async function broker(context: { after(work: () => void): void }): Promise<{ url: string; published: string[] }> {
  const published: string[] = [];
  const acknowledged = new Set<number>();
  const server = net.createServer((socket) => {
    const parser = mqttPacket.parser();
    const say = (packet: Packet): void => void socket.write(mqttPacket.generate(packet));
    parser.on('packet', (packet: Packet) => {
      if (packet.cmd === 'connect') say({ cmd: 'connack', returnCode: 0, sessionPresent: false });
      if (packet.cmd === 'subscribe') {
        say({ cmd: 'suback', messageId: packet.messageId ?? 1, granted: packet.subscriptions.map(() => 1) });
        const common = { cmd: 'publish', payload: '{}', qos: 1, dup: false, retain: false } as const;
        for (const [at, device] of ['hall', 'hall/lamp'].entries())
          if (!acknowledged.has(at + 1)) say({ ...common, topic: `zigbee2mqtt/${device}`, messageId: at + 1 });
      }
      if (packet.cmd === 'puback') acknowledged.add(packet.messageId ?? 0);
      if (packet.cmd !== 'publish') return;
      published.push(packet.topic);
      say({ cmd: 'puback', messageId: packet.messageId ?? 1 });
      say({ ...packet, messageId: 100 + published.length });
    });
    socket.on('data', (bytes) => void parser.parse(bytes)).on('error', () => {});
    context.after(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => server.close());
  return { url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`, published };
}

test('over a bridge, who may call one device cannot speak for another one, nor say that it has gone', async (context) => {
  const { url, published } = await broker(context);
  const hub = new FakeHub();
  for (const id of ['site-hall', 'site-hall%2Flamp']) hub.addDevice(id);
  const settings = { bridge: { url, devices: 'site-{device}' }, presets: ['zigbee2mqtt'] };
  const adapter = await runAdapter(mqttTopics, settings, hub);
  context.after(() => adapter.stop());
  await until('both are there', () => hub.messages.length === 2);
  assert.equal((await hub.callMethod('site-hall', 'lamp', { forged: true })).status, 400);
  assert.equal((await hub.callMethod('site-hall', 'availability', 'offline')).status, 400);
  assert.equal((await hub.callMethod('site-hall', 'get', { state: '' })).status, 202);
  assert.equal(await hub.sendCommand('site-hall', '{"state":"ON"}'), 'complete');
  assert.deepEqual(published, ['zigbee2mqtt/hall/get', 'zigbee2mqtt/hall/set']);
  assert.equal(hub.messages.length, 2);
});

test('over a bridge, a device that the hub refuses for now comes in as soon as it may', async (context) => {
  const { url } = await broker(context);
  let asked = 0;
  const hub = new FakeHub((device) => {
    if (device === 'site-hall' && ++asked <= 2)
      throw new Refused('throttled', 'The adapter makes devices faster than it may.');
    return true;
  });
  for (const id of ['site-hall', 'site-hall%2Flamp']) hub.addDevice(id);
  const settings = { bridge: { url, devices: 'site-{device}' }, presets: ['zigbee2mqtt'] };
  const adapter = await runAdapter(mqttTopics, settings, hub);
  context.after(() => adapter.stop());
  // Otherwise it would be half a minute, in which the others of the bridge could not send, either.
  await until('it is there', () => hub.textsOf('site-hall').length === 1, { withinMs: 15_000 });
  assert.equal(asked, 3);
});
