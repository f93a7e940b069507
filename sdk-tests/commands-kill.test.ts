/**
 * The hub is killed (`kill -9`) again and again while azure-iothub sends commands and azure-iot-device takes them:
 * no accepted command is without an outcome, no receipt is false.
 */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { seededRandom } from '../src/base/random.ts';
import type { TestHub } from '../test/drivers/hub.ts';
import { BackEnd, type CommandWish, iothub } from './support/back-ends.ts';
import { DeviceProcess, deviceSdks } from './support/device-sdks.ts';
import { openRegistry, startStockHub, whyNot } from './support/hub.ts';
import { CommandLedger } from './support/ledger.ts';
import { shows } from './support/shows.ts';

const ROUNDS = Number(process.env.MOORING_TEST_COMMAND_KILLS ?? 30);
const SEED = Number(process.env.MOORING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const DEVICES = 20;
const COMMANDS_PER_ROUND = 2000;
const LIFE_MS_MIN = 50;
const LIFE_MS_MAX = 1000;
const SHORT_LIFE_MS = 2000;
/** Devices come back after ten seconds at most, locks end after a minute, receipts wait for a quarter of one. */
const END_MS_MAX = 180_000;

const [sdk] = deviceSdks;
const [mqtt] = sdk.transports;
const operation = 'commands while the hub is killed: each one outcome, no false receipt';

describe('commands under kill -9', { skip: await whyNot() }, () => {
  const cells = [
    { sdk: iothub.name, transport: 'Amqp', operation },
    { sdk: sdk.name, transport: mqtt.name, operation },
  ];
  shows(cells, undefined, run, `${ROUNDS} times the hub is killed while commands are sent and taken (seed ${SEED})`);

  async function run(t: { diagnostic(text: string): void }): Promise<void> {
    const random = seededRandom(SEED);
    let hub: TestHub = await startStockHub();
    try {
      const registry = await openRegistry(hub);
      const ids = Array.from({ length: DEVICES }, (_, at) => `d-${at}`);
      const created = await registry.createDevices(hub, ids);
      await registry.stop();
      await using devices = await DeviceProcess.start(sdk, hub);
      for (const device of created) await devices.open(device, mqtt, { outcomes: ['complete'], comesBack: true });
      const ledger = new CommandLedger();
      for (let round = 0; round < ROUNDS; round++) {
        // One that does not send again: a command that is sent twice would have two outcomes.
        await using backEnd = await BackEnd.start(hub, iothub, 'Amqp', true);
        await backEnd.receiveReceipts();
        const wishes = Array.from({ length: COMMANDS_PER_ROUND }, (_, at): readonly [string, CommandWish] => {
          const messageId = `c-${round}-${at}`;
          const isShortLived = at % 10 === 0;
          ledger.add(messageId, ids[at % DEVICES], isShortLived);
          const life = isShortLived ? { expiresInMs: SHORT_LIFE_MS } : {};
          return [ids[at % DEVICES], { messageId, ack: 'full', text: 'x', ...life }];
        });
        const sending = backEnd.sendAll(wishes, 8).catch(() => {});
        const lifeMs = LIFE_MS_MIN + random.next() * (LIFE_MS_MAX - LIFE_MS_MIN);
        await new Promise((resolve) => setTimeout(resolve, lifeMs));
        await hub.kill();
        await sending;
        ledger.take(backEnd.client);
        ledger.take(devices.client);
        hub = await hub.restart();
      }
      await using backEnd = await BackEnd.start(hub);
      await backEnd.receiveReceipts();
      const deadline = performance.now() + END_MS_MAX;
      const lost = (): string =>
        `${ledger.describeOpen()}; the devices' SDK: ${JSON.stringify(devices.client.seen('disconnected'))}`;
      for (;;) {
        ledger.take(devices.client);
        ledger.take(backEnd.client);
        if (ledger.open === 0) break;
        assert.ok(performance.now() < deadline, lost());
        await backEnd.client.news(1000);
      }
      assert.ok(ledger.accepted > 0);
      // A hub that is killed between handing a command over and sending it keeps it locked for its lock's time, and hands
      // over those behind it: their order is not looked at here.
      t.diagnostic(`${ROUNDS} kills: ${ledger.check(() => false)}`);
    } finally {
      await hub[Symbol.asyncDispose]();
    }
  }
});
