// azure-iot-device over MQTT: one device that does what the test tells it. Reports every disconnect that the SDK shows.
import { EventEmitter } from 'node:events';
import iotDevice from 'azure-iot-device';
import iotMqtt from 'azure-iot-device-mqtt';
import { describeError, job, report, serve } from './link.mjs';

const { connectionString, credentials, tokenSeconds, tokenMarginSeconds, noRetry } = await job();

/** A token made by the test, right or wrong: the SDK's own way to bring one. */
class FixedToken extends EventEmitter {
  // azure-iot-common: AuthenticationType.Token
  type = 1;

  getDeviceCredentials(callback) {
    if (callback === undefined) return Promise.resolve(credentials);
    callback(null, credentials);
  }

  stop() {}
}

function connect() {
  if (credentials !== undefined) return iotDevice.Client.fromAuthenticationProvider(new FixedToken(), iotMqtt.Mqtt);
  if (tokenSeconds === undefined) return iotDevice.Client.fromConnectionString(connectionString, iotMqtt.Mqtt);
  const provider = iotDevice.SharedAccessKeyAuthenticationProvider.fromConnectionString(
    connectionString,
    tokenSeconds,
    tokenMarginSeconds,
  );
  provider.on('newTokenAvailable', () => report('token renewed'));
  return iotDevice.Client.fromAuthenticationProvider(provider, iotMqtt.Mqtt);
}

const client = connect();
if (noRetry) client.setRetryPolicy(new (await import('azure-iot-common')).default.NoRetry());
client.on('connect', () => report('connected'));
client.on('disconnect', (error) => report('disconnected', { error: describeError(error), at: Date.now() }));
client.on('error', (error) => report('client error', { error: describeError(error) }));

serve({
  open: () => client.open().then(() => 'open'),
  close: () => client.close().then(() => 'closed'),
  async send(text, properties = {}) {
    const message = new iotDevice.Message(text);
    for (const [name, value] of Object.entries(properties)) message.properties.add(name, value);
    await client.sendEvent(message);
    return 'accepted';
  },
});
report('ready');
