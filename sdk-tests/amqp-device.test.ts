/** Devices without an SDK for devices: AMQP libraries, with a token by CBS, or by SASL PLAIN. */
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import type { TestHub } from '../test/drivers/hub.ts';
import { BackEnd } from './support/back-ends.ts';
import { Client } from './support/client.ts';
import { EventTail } from './support/events.ts';
import { type Device, openRegistry, startStockHub, whyNot } from './support/hub.ts';
import { missing } from './support/programs.ts';
import { shows } from './support/shows.ts';

const MESSAGES = 20;
/** Of the device that renews its tokens: long enough for several of them. */
const TOKEN_SECONDS = 4;
const PAUSE_SECONDS = 0.5;

const uuid = Array.from({ length: 16 }, (_, at) => at * 16 + 15);
const hex = Buffer.from(uuid).toString('hex');
const transport = 'TLS, port 5671';

describe('AMQP libraries as devices', { skip: await whyNot(), concurrency: true }, () => {
  let hub: TestHub;
  let tail: EventTail;
  let backEnd: BackEnd;

  before(async () => {
    // Clocks are one clock here, so that a token that is not renewed ends within the test.
    hub = await startStockHub(['--clock-skew-seconds', '1']);
    tail = new EventTail(hub);
    backEnd = await BackEnd.start(hub);
    await backEnd.receiveReceipts();
  });

  after(async () => {
    await backEnd?.[Symbol.asyncDispose]();
    await tail?.[Symbol.asyncDispose]();
    await hub?.[Symbol.asyncDispose]();
  });

  async function newDevice(deviceId: string): Promise<Device> {
    const registry = await openRegistry(hub);
    const device = await registry.createDevice(hub, deviceId);
    await registry.stop();
    return device;
  }

  /** Sees what the device sends, under a UUID and in order, and sends it a command. @returns what it said of its sending */
  async function assertWorks(client: Client, { deviceId }: Device) {
    const sent = await client.next(['sent', 'error']);
    assert.equal(sent.kind, 'sent', JSON.stringify(sent));
    for (let n = 0; n < MESSAGES; n++) {
      const event = await tail.find(
        ({ properties, system }) => properties.n === String(n) && system['iothub-connection-device-id'] === deviceId,
      );
      assert.equal(Buffer.from(event.body, 'base64').toString(), `message ${n}`);
      // No text: the type that the device chose has gone through the log.
      assert.deepEqual(event.messageId, { hex });
    }
    const messageId = `to-${deviceId}`;
    await backEnd.send(deviceId, { messageId, text: 'hello', ack: 'full' });
    const command = await client.next(['command', 'error']);
    assert.equal(command.messageId, messageId, JSON.stringify(command));
    assert.equal(Buffer.from(command.body, 'base64').toString(), 'hello');
    assert.equal((await backEnd.receipt(messageId)).statusCode, 'Success');
    return sent;
  }

  const operation =
    'as a device: a token by CBS, telemetry with a UUID as id, a command that it accepts, and its receipt';
  shows({ sdk: 'go-amqp (Go)', transport, operation }, missing('Go'), async () => {
    const device = await newDevice('go-device');
    const { deviceId, key } = device;
    const job = { host: 'localhost', deviceId, key, messageId: uuid, messages: MESSAGES };
    const client = Client.start('go:device', hub.endpoints.caFile, job);
    try {
      await assertWorks(client, device);
    } finally {
      await client.stop();
    }
  });

  for (const [login, how] of [
    ['PLAIN', 'a token by SASL PLAIN'],
    ['CBS', 'tokens by CBS, renewed again and again'],
  ] as const) {
    const cell = {
      sdk: 'python-qpid-proton (PyPI)',
      transport,
      operation: `as a device: ${how}, telemetry with a UUID as id, a command that it accepts, and its receipt`,
    };
    shows(cell, missing('Python'), async () => {
      const device = await newDevice(`proton-${login}`);
      const { deviceId, key } = device;
      const client = Client.start('proton:device-proton.py', hub.endpoints.caFile, {
        ...{ login, host: 'localhost', hubName: hub.endpoints.hubName, deviceId, key, messages: MESSAGES },
        ...{ messageId: hex, tokenSeconds: TOKEN_SECONDS, pauseSeconds: login === 'CBS' ? PAUSE_SECONDS : 0 },
      });
      try {
        const { renewed } = await assertWorks(client, device);
        if (login === 'CBS') assert.ok(renewed >= 3, `${renewed} new tokens`);
      } finally {
        await client.stop();
      }
    });
  }
});
