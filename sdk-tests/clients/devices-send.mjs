// azure-iot-device over MQTT: many devices, each sends its messages at QoS 1, in order, and reports when all are accepted.
import iotDevice from 'azure-iot-device';
import iotMqtt from 'azure-iot-device-mqtt';
import { job, report } from './link.mjs';
import { messageOf } from './messages.mjs';

const { devices, messagesEach, devicesAtOnce } = await job();

function sdkMessage(wanted) {
  const message = new iotDevice.Message(Buffer.from(wanted.body, 'base64'));
  for (const [name, value] of wanted.properties) message.properties.add(name, value);
  message.messageId = wanted.messageId;
  message.correlationId = wanted.correlationId;
  message.contentType = wanted.contentType;
  message.contentEncoding = wanted.contentEncoding;
  if (wanted.userId !== undefined) message.userId = wanted.userId;
  return message;
}

async function run({ deviceId, connectionString }) {
  const client = iotDevice.Client.fromConnectionString(connectionString, iotMqtt.Mqtt);
  await client.open();
  const sends = [];
  for (let n = 0; n < messagesEach; n++) sends.push(client.sendEvent(sdkMessage(messageOf(deviceId, n))));
  await Promise.all(sends);
  await client.close();
  report('sent', { deviceId });
}

const left = [...devices];
await Promise.all(
  Array.from({ length: devicesAtOnce }, async () => {
    for (let device = left.shift(); device !== undefined; device = left.shift()) await run(device);
  }),
);
report('done');
