// azure-iot-device over MQTT: one device that uploads files, as its application would.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import iotDevice from 'azure-iot-device';
import iotMqtt from 'azure-iot-device-mqtt';
import { job, report, serve } from './link.mjs';

const { connectionString, x509 } = await job();
const client = iotDevice.Client.fromConnectionString(connectionString, iotMqtt.Mqtt);
client.on('error', () => {});

serve({
  async open() {
    if (x509 !== undefined) await client.setOptions(x509);
    await client.open();
  },
  async upload(name, file) {
    const { size } = await stat(file);
    await client.uploadToBlob(name, createReadStream(file), size);
  },
});
report('ready');
