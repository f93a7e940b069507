/** A hub that is told to stop while twins change and methods wait: each request is answered, and none of them holds it up. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import mqtt from 'mqtt';
import { ApiError } from '../../src/api/exchange.ts';
import { signSas } from '../../src/api/sas.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';

/** Far below the times that the methods ask for, far above what answers need. */
const STOP_MS_MAX = 6000;

async function connectDevice(hub: TestHub, deviceId: string, key: string): Promise<mqtt.MqttClient> {
  const client = mqtt.connect({
    protocol: 'mqtts',
    host: '127.0.0.1',
    servername: 'localhost',
    port: hub.endpoints.ports.mqtts ?? 0,
    ca: hub.ca,
    clientId: deviceId,
    username: `localhost/${deviceId}/?api-version=2021-04-12`,
    password: await signSas({ resource: `localhost/devices/${deviceId}`, key, expiresAt: Date.now() + 600_000 }),
    reconnectPeriod: 0,
  });
  client.on('error', () => {});
  await new Promise((resolve) => client.once('connect', resolve));
  return client;
}

test('a hub that stops answers what is under way on twins, keeps what it accepted, and does not wait for devices', async (t) => {
  await using hub = await startHub();
  const api = apiOf(hub);
  t.after(() => api.close());
  const key = Buffer.alloc(32, 7).toString('base64');
  const authentication = { symmetricKey: { primaryKey: key, secondaryKey: key } };
  await api.devices.bulk(['d1', 'away'].map((id) => ({ id, importMode: 'create', authentication })));
  const device = await connectDevice(hub, 'd1', key);
  await device.subscribeAsync(['$iothub/twin/res/#', '$iothub/methods/POST/#']);

  /** Version of the reported properties by the last 204. */
  let accepted = 1;
  let reports = 0;
  const report = (): void => {
    if (device.connected) device.publish(`$iothub/twin/PATCH/properties/reported/?$rid=${++reports}`, '{"n":1}');
  };
  const asked = new Promise<void>((resolve) => {
    device.on('message', (topic) => {
      if (topic.startsWith('$iothub/methods/POST/silent/')) resolve();
      const version = /^\$iothub\/twin\/res\/204\/.*\$version=(\d+)/.exec(topic)?.[1];
      if (version !== undefined) {
        accepted = Number(version);
        report();
      }
    });
  });
  report();

  let [changed, isOn] = [0, true];
  const change = async (): Promise<void> => {
    while (isOn) {
      await api.twins.update({ deviceId: 'd1' }, { properties: { desired: { n: changed + 1 } } });
      changed++;
    }
  };
  const codeOf = (call: Promise<unknown>): Promise<string> =>
    call.then(
      () => 'answered',
      (error: unknown) => (error instanceof ApiError ? (error.code ?? '') : String(error)),
    );
  const changing = codeOf(change());
  const long = { responseTimeoutInSeconds: 60, connectTimeoutInSeconds: 60 };
  const silent = codeOf(api.twins.invoke({ deviceId: 'd1' }, { methodName: 'silent', ...long }));
  const waiting = codeOf(api.twins.invoke({ deviceId: 'away' }, { methodName: 'waits', ...long }));
  await asked;
  while (changed < 20 || accepted < 20) await new Promise(setImmediate);

  const begun = performance.now();
  assert.deepEqual(await hub.stop(), { code: 0, signal: null });
  const stopMs = performance.now() - begun;
  isOn = false;
  assert.equal(await silent, 'DeviceConnectionClosedRemotely');
  assert.equal(await waiting, 'ServiceUnavailable');
  const last = await changing;
  // A connection between two requests is closed, and the next request may have been on its way: nobody has read it.
  assert.match(last, /^(answered|ServiceUnavailable)$|^Error: No answer from the hub/);
  assert.ok(stopMs < STOP_MS_MAX, `${Math.round(stopMs)} ms`);
  device.end(true);

  await using again = await hub.restart();
  const after = apiOf(again);
  t.after(() => after.close());
  const twin = await after.twins.get({ deviceId: 'd1' });
  // What was accepted is there; one more of each may have been under way.
  const { desired, reported } = twin.properties;
  assert.ok(desired.n === changed || desired.n === changed + 1, `${desired.n} of ${changed}`);
  assert.ok([accepted, accepted + 1].includes(reported.$version as number), `${reported.$version} of ${accepted}`);
});
