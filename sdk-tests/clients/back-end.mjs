// azure-iothub's Client over AMQP or AMQP over WebSockets: sends commands, reads receipts.
import iotCommon from 'azure-iot-common';
import iothub from 'azure-iothub';
import { describeError, job, report, serve } from './link.mjs';

const { connectionString, transport, noRetry } = await job();
const client = iothub.Client.fromConnectionString(connectionString, iothub[transport]);
if (noRetry) client.setRetryPolicy(new iotCommon.NoRetry());
client.on('disconnect', ({ reason }) => report('disconnected', { error: describeError(reason) }));

/** `expiresInMs` counts from now; `bodyBytes` makes a body of that many bytes instead of `text`. */
function message({ text = '', bodyBytes, properties = {}, expiresInMs, ...system }) {
  const made = new iotCommon.Message(bodyBytes === undefined ? text : Buffer.alloc(bodyBytes, 'x'));
  for (const [name, value] of Object.entries(properties)) made.properties.add(name, value);
  if (expiresInMs !== undefined) made.expiryTimeUtc = Date.now() + expiresInMs;
  return Object.assign(made, system);
}

async function send(device, wanted) {
  await client.send(device, message(wanted));
}

serve({
  open: () => client.open().then(() => 'open'),
  close: () => client.close().then(() => 'closed'),
  send,
  /** Sends [device, message] pairs, `window` at a time, in order; says of each whether it was accepted. */
  async sendAll(wishes, window) {
    let next = 0;
    const lane = async () => {
      while (next < wishes.length) {
        const [device, wanted] = wishes[next++];
        const error = await send(device, wanted).then(
          () => null,
          (problem) => describeError(problem),
        );
        report('sent', { messageId: wanted.messageId, error });
      }
    };
    await Promise.all(Array.from({ length: window }, lane));
  },
  /** Each becomes an event `file notification`. */
  async receiveFileNotifications() {
    const receiver = await new Promise((resolve, reject) => {
      client.getFileNotificationReceiver((error, made) => (error ? reject(error) : resolve(made)));
    });
    receiver.on('error', (error) => report('file notifications end', { error: describeError(error) }));
    receiver.on('message', async (message) => {
      report('file notification', JSON.parse(message.getData().toString()));
      await receiver.complete(message);
    });
  },
  /** Each record of each batch becomes an event `receipt`. */
  async receiveReceipts() {
    // Its promise holds the receiver in a member of a result; the callback gets the receiver itself.
    const receiver = await new Promise((resolve, reject) => {
      client.getFeedbackReceiver((error, made) => (error ? reject(error) : resolve(made)));
    });
    receiver.on('error', (error) => report('receipts end', { error: describeError(error) }));
    receiver.on('message', async (batch) => {
      const records = JSON.parse(batch.getData().toString());
      for (const record of records) report('receipt', { ...record, batchContentType: batch.contentType });
      await receiver
        .complete(batch)
        .catch((error) => report('receipts not completed', { error: describeError(error) }));
    });
  },
});
report('ready');
