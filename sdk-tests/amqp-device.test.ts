/** A device without an SDK for devices: Go's AMQP library, a token by CBS, settle modes that it insists on. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { BackEnd } from './support/back-ends.ts';
import { Client } from './support/client.ts';
import { EventTail } from './support/events.ts';
import { openRegistry, startStockHub, whyNot } from './support/hub.ts';
import { missing } from './support/programs.ts';
import { shows } from './support/shows.ts';

const MESSAGES = 20;

describe('an AMQP library as a device', { skip: await whyNot() }, () => {
  const operation =
    'as a device: a token by CBS, telemetry with a UUID as id, a command that it accepts, and its receipt';
  shows({ sdk: 'go-amqp (Go)', transport: 'TLS, port 5671', operation }, missing('Go'), async () => {
    await using hub = await startStockHub();
    const registry = await openRegistry(hub);
    const device = await registry.createDevice(hub, 'go-device');
    await registry.stop();
    const uuid = Array.from({ length: 16 }, (_, at) => at * 16 + 15);
    const client = Client.start('go:device', hub.endpoints.caFile, {
      host: 'localhost',
      deviceId: device.deviceId,
      key: device.key,
      messageId: uuid,
      messages: MESSAGES,
    });
    try {
      const sent = await client.next(['sent', 'error']);
      assert.equal(sent.kind, 'sent', JSON.stringify(sent));
      await using tail = new EventTail(hub);
      // No text: the type that the device chose has gone through the log.
      const id = { hex: Buffer.from(uuid).toString('hex') };
      for (let n = 0; n < MESSAGES; n++) {
        const event = await tail.find(({ properties }) => properties.n === String(n));
        assert.equal(Buffer.from(event.body, 'base64').toString(), `message ${n}`);
        assert.deepEqual(event.messageId, id);
        assert.equal(event.system['iothub-connection-device-id'], device.deviceId);
      }
      await using backEnd = await BackEnd.start(hub);
      await backEnd.receiveReceipts();
      await backEnd.send(device.deviceId, { messageId: 'command-1', text: 'hello', ack: 'full' });
      const command = await client.next(['command', 'error']);
      assert.equal(command.messageId, 'command-1', JSON.stringify(command));
      assert.equal(Buffer.from(command.body, 'base64').toString(), 'hello');
      assert.equal((await backEnd.receipt('command-1')).statusCode, 'Success');
    } finally {
      await client.stop();
    }
  });
});
