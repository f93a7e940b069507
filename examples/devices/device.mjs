// A device with azure-iot-device: sends five messages, and shows the commands that come meanwhile.
import iot from 'azure-iot-device';
import { Mqtt } from 'azure-iot-device-mqtt';

const client = iot.Client.fromConnectionString(process.env.DEVICE_CONNECTION_STRING, Mqtt);
client.on('message', (command) => {
  console.log('command', command.getData().toString());
  client.complete(command);
});
await client.open();
for (let n = 1; n <= 5; n++) {
  const message = new iot.Message(JSON.stringify({ temperature: 20 + n / 2, humidity: 50 + n }));
  message.contentType = 'application/json';
  message.contentEncoding = 'utf-8';
  message.properties.add('room', 'kitchen');
  await client.sendEvent(message); // Resolves when the hub has it on disk.
  console.log('sent', n);
  await new Promise((resolve) => setTimeout(resolve, 1000));
}
await client.close();
