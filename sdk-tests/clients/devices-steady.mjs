// azure-iot-device over MQTT: devices of one process that send numbered messages all the time, `window` at a time each, until they are told to
// stop. A message that the SDK says has failed is not sent again: nobody knows what has become of it. Says what was accepted, and how long each
// device was without an acceptance at most.
import iotDevice from 'azure-iot-device';
import iotMqtt from 'azure-iot-device-mqtt';
import { describeError, job, report, serve } from './link.mjs';

const { devices, window, pauseMs = 0 } = await job();
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let isOn = true;
let accepted = 0;

async function connect(device) {
  const client = iotDevice.Client.fromConnectionString(device.connectionString, iotMqtt.Mqtt);
  client.on('error', () => {});
  client.on('disconnect', (error) => {
    device.disconnects++;
    report('disconnected', { deviceId: device.deviceId, error: describeError(error) });
    // As an application must: the SDK has given up on this connection.
    void reopen(device);
  });
  await client.open();
  device.client = client;
}

async function reopen(device) {
  device.client.removeAllListeners();
  device.client.on('error', () => {});
  while (isOn) {
    try {
      await connect(device);
      return;
    } catch {
      await sleep(200);
    }
  }
}

async function lane(device) {
  while (isOn) {
    const n = device.next++;
    const message = new iotDevice.Message(String(n));
    message.properties.add('n', String(n));
    try {
      await device.client.sendEvent(message);
      const now = performance.now();
      device.longestMs = Math.max(device.longestMs, now - device.last);
      device.last = now;
      accepted++;
    } catch (error) {
      device.failed.push(n);
      device.errors.add(String(error?.message ?? error).slice(0, 100));
      await sleep(50);
    }
    if (pauseMs > 0) await sleep(pauseMs);
  }
}

const states = devices.map((device) => ({ ...device, next: 0, failed: [], errors: new Set(), disconnects: 0 }));
let lanes = [];
serve({
  async open() {
    for (const device of states) await connect(device);
  },
  start() {
    for (const device of states) Object.assign(device, { last: performance.now(), longestMs: 0 });
    lanes = states.flatMap((device) => Array.from({ length: window }, () => lane(device)));
  },
  accepted: () => accepted,
  async stop() {
    isOn = false;
    // What the SDK keeps for a connection that comes back would never end.
    await Promise.race([Promise.all(lanes), sleep(20_000)]);
    return states.map(({ deviceId, next, failed, longestMs, disconnects, errors }) => ({
      ...{ deviceId, next, failed, longestMs: Math.round(longestMs), disconnects, errors: [...errors] },
    }));
  },
});
report('ready');
