/**
 * Adapters that speak for devices which have nothing of their own to show, beside the devices and with a real hub: what comes from a back
 * end reaches them.
 */
import assert from 'node:assert/strict';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import mqtt from 'mqtt';
import lorawan from '../../src/adapters/lorawan/index.ts';
import mqttTopics from '../../src/adapters/mqtt-topics/index.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { chirpStackUplink } from '../drivers/lorawan-samples.ts';
import { apiOf, EventFollower, folderOf, hubOptions, runGateway } from '../drivers/remote-rig.ts';
import { until } from '../drivers/until.ts';

let hub: TestHub;
let api: ReturnType<typeof apiOf>;
before(async () => {
  hub = await startHub();
  api = apiOf(hub);
});
after(async () => {
  api.close();
  await hub[Symbol.asyncDispose]();
});

async function outcomeOf(deviceId: string, sequence: number): Promise<string | undefined> {
  const { commands } = await api.commands.find({ deviceId }, { sequence });
  return commands[0]?.outcome;
}

test('a LoRaWAN device, for which its server vouches; a confirmed downlink is settled by what the device says', async (t) => {
  const calls: string[] = [];
  const server = http.createServer((request, response) => {
    calls.push(request.url ?? '');
    request.resume().on('end', () => response.end('{"id":"queue-1"}'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const network = { name: 'water', kind: 'chirpstack', secret: 'webhook secret', devices: 'water-{devEui}' };
  const settings = {
    port: 0,
    plain: true,
    networks: [{ ...network, downlink: { url, token: 'key', confirmed: true } }],
  };
  const gateway = await runGateway(
    { ...hubOptions(hub), folder: folderOf(t), vouchFor: ['water-*'] },
    lorawan,
    settings,
  );
  t.after(() => gateway.stop());
  await until('the gateway has reached the hub', () => gateway.remote.host.hubReachable);
  const post = async (event: string, body: object): Promise<number> => {
    const headers = { authorization: 'Bearer webhook secret' };
    const address = `http://127.0.0.1:${gateway.ports[0]}/lorawan/water?event=${event}`;
    const answer = await fetch(address, { method: 'POST', headers, body: JSON.stringify(body) });
    return answer.status;
  };

  const id = 'water-0101010101010101';
  await api.devices.create(id);
  assert.equal(await post('up', chirpStackUplink), 204);
  const follower = new EventFollower(hub);
  await until('the uplink is in the hub', async () =>
    (await follower.read()).some(({ deviceId, body }) => deviceId === id && body.toString() === '{"litres":3}'),
  );
  // One that the hub does not know.
  const other = { ...chirpStackUplink, deviceInfo: { ...chirpStackUplink.deviceInfo, devEui: '0202020202020202' } };
  assert.equal(await post('up', { ...other, deduplicationId: 'another' }), 403);

  const { sequence } = await api.commands.send({ deviceId: id }, { bodyText: 'open', messageId: 'm-1' });
  await until('the downlink is at the server', () => calls.length === 1);
  assert.equal(calls[0], '/api/devices/0101010101010101/queue');
  assert.equal(await outcomeOf(id, sequence), undefined);
  const { deviceInfo, time } = chirpStackUplink;
  assert.equal(
    await post('ack', { deviceInfo, time, deduplicationId: 'ack-1', queueItemId: 'queue-1', acknowledged: true }),
    204,
  );
  await until('the command is settled', async () => (await outcomeOf(id, sequence)) !== undefined);
  assert.equal(await outcomeOf(id, sequence), 'completed');
  assert.equal(calls.length, 1);
});

test('devices of a zigbee2mqtt coordinator; one that is disabled is refused alone', async (t) => {
  for (const id of ['home-lamp', 'home-plug']) await api.devices.create(id);
  const users = [{ name: 'z2m', password: 'zigbee secret', devices: 'home-{device}' }];
  const gateway = await runGateway({ ...hubOptions(hub), folder: folderOf(t), vouchFor: ['home-*'] }, mqttTopics, {
    listen: { port: 0, plain: true, users },
    presets: ['zigbee2mqtt'],
  });
  t.after(() => gateway.stop());
  await until('the gateway has reached the hub', () => gateway.remote.host.hubReachable);
  const coordinator = await mqtt.connectAsync(`mqtt://127.0.0.1:${gateway.ports[0]}`, {
    ...{ username: 'z2m', password: 'zigbee secret', clientId: 'z2m', protocolVersion: 5, reconnectPeriod: 0 },
  });
  const heard: string[] = [];
  coordinator.on('message', (topic, payload) => heard.push(`${topic} ${payload}`));
  await coordinator.subscribeAsync('zigbee2mqtt/+/set', { qos: 1 });
  await coordinator.publishAsync('zigbee2mqtt/lamp', '{"state":"ON"}', { qos: 1 });
  await coordinator.publishAsync('zigbee2mqtt/plug', '{"state":"OFF"}', { qos: 1 });
  const follower = new EventFollower(hub);
  const ofDevice = async (id: string): Promise<string[]> =>
    (await follower.read()).filter(({ deviceId }) => deviceId === id).map(({ body }) => body.toString());
  await until('both are in the hub', async () => (await ofDevice('home-plug')).length === 1);
  assert.deepEqual(await ofDevice('home-lamp'), ['{"state":"ON"}']);

  const { sequence } = await api.commands.send({ deviceId: 'home-lamp' }, { bodyText: '{"state":"OFF"}' });
  await until('the command is complete', async () => (await outcomeOf('home-lamp', sequence)) === 'completed');
  assert.deepEqual(heard, ['zigbee2mqtt/lamp/set {"state":"OFF"}']);

  await api.devices.update('home-plug', { status: 'disabled' });
  await until('it is refused', async () =>
    coordinator.publishAsync('zigbee2mqtt/plug', '{"n":1}', { qos: 1 }).then(
      () => false,
      () => true,
    ),
  );
  await coordinator.publishAsync('zigbee2mqtt/lamp', '{"state":"ON","n":2}', { qos: 1 });
  await until('the other one goes on', async () => (await ofDevice('home-lamp')).length === 2);
  await coordinator.endAsync();
});
