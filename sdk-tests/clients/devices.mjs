// azure-iot-device over any of its transports: many devices in one process, each under a name that the test gives.
import { EventEmitter } from 'node:events';
import { readFile } from 'node:fs/promises';
import iotCommon from 'azure-iot-common';
import iotDevice from 'azure-iot-device';
import iotAmqp from 'azure-iot-device-amqp';
import iotHttp from 'azure-iot-device-http';
import iotMqtt from 'azure-iot-device-mqtt';
import { describeError, report, serve } from './link.mjs';
import { moduleOperations } from './modules.mjs';
import { twinOperations } from './twins.mjs';

const transports = {
  Mqtt: iotMqtt.Mqtt,
  MqttWs: iotMqtt.MqttWs,
  Amqp: iotAmqp.Amqp,
  AmqpWs: iotAmqp.AmqpWs,
  Http: iotHttp.Http,
};
const clients = new Map();

/** A client that renews its token early, so that a test sees it happen. */
function renewing(connectionString, tokenSeconds, transport, device) {
  const provider = iotDevice.SharedAccessKeyAuthenticationProvider.fromConnectionString(
    connectionString,
    tokenSeconds,
    Math.ceil((tokenSeconds * 2) / 3),
  );
  if (!(provider instanceof EventEmitter)) throw new Error('the SDK no longer tells of new tokens');
  provider.on('newTokenAvailable', () => report('token renewed', { device }));
  return iotDevice.Client.fromAuthenticationProvider(provider, transport);
}

/** The SDK wants the texts: a chain's first certificate is the device's own. */
async function pemOf({ certFile, keyFile }) {
  return { cert: await readFile(certFile, 'utf8'), key: await readFile(keyFile, 'utf8') };
}

function message({ text, properties = {}, ...system }) {
  const made = new iotDevice.Message(text);
  for (const [name, value] of Object.entries(properties)) made.properties.add(name, value);
  return Object.assign(made, system);
}

function shown(command) {
  const properties = {};
  for (let at = 0; at < command.properties.count(); at++) {
    const { key, value } = command.properties.getItem(at);
    properties[key] = value;
  }
  return {
    messageId: command.messageId,
    correlationId: command.correlationId,
    body: Buffer.from(command.getData() ?? '').toString('base64'),
    properties,
  };
}

/** Answers the n-th delivery by the n-th outcome, all further ones by the last; `keep` answers nothing. */
function receive(device, outcomes) {
  const client = clients.get(device);
  let deliveries = 0;
  client.on('message', async (command) => {
    const outcome = outcomes[Math.min(deliveries++, outcomes.length - 1)];
    const facts = { device, outcome, at: Date.now(), ...shown(command) };
    report('command', facts);
    if (outcome === 'keep') return;
    try {
      await client[outcome](command);
      report('settled', facts);
    } catch (error) {
      report('not settled', { ...facts, error: describeError(error) });
    }
  });
}

async function open(device, job) {
  const { connectionString, transport, tokenSeconds, noRetry, outcomes, comesBack } = job;
  const kind = job.isModule ? iotDevice.ModuleClient : iotDevice.Client;
  const made =
    tokenSeconds === undefined
      ? kind.fromConnectionString(connectionString, transports[transport])
      : renewing(connectionString, tokenSeconds, transports[transport], device);
  if (job.certificate !== undefined) {
    const isSet = made.setOptions(await pemOf(job.certificate));
    // Over HTTP the SDK sets them and never says so.
    if (transport !== 'Http') await isSet;
  }
  if (noRetry) made.setRetryPolicy(new iotCommon.NoRetry());
  made.on('connect', () => report('connected', { device }));
  made.on('disconnect', (error) => {
    report('disconnected', { device, error: describeError(error) });
    if (comesBack) openAgain(device, job);
  });
  made.on('error', (error) => report('client error', { device, error: describeError(error) }));
  clients.set(device, made);
  // Over MQTT, a hub that knows the device's subscription delivers as soon as it is connected.
  if (outcomes !== undefined) receive(device, outcomes);
  await made.open();
}

/** As an application must: the SDK gives up on a connection that was reset, and says so. */
async function openAgain(device, job) {
  clients.get(device).removeAllListeners();
  clients.get(device).on('error', () => {});
  for (;;) {
    try {
      await open(device, job);
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

serve({
  open,
  ...twinOperations(clients),
  ...moduleOperations(clients, message),
  async close(device) {
    await clients.get(device).close();
  },
  async send(device, wanted) {
    await clients.get(device).sendEvent(message(wanted));
  },
  receive: (device, outcomes) => receive(device, outcomes),
  /** Sends messages first, first + 1, ... of each device, all devices side by side, `window` at a time for each. */
  async burst(devices, first, count, window) {
    await Promise.all(
      devices.map(async (device) => {
        let n = first;
        const lane = async () => {
          while (n < first + count) {
            const sent = n++;
            const properties = { device, n: String(sent) };
            await clients.get(device).sendEvent(message({ text: `${device} ${sent}`, properties }));
          }
        };
        await Promise.all(Array.from({ length: window }, lane));
      }),
    );
  },
});
report('ready');
