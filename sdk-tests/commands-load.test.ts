/**
 * Many commands from azure-iothub to many devices of azure-iot-device over MQTT: devices that come late, devices that are
 * killed in the middle, commands that live for two seconds.
 */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { BackEnd, type CommandWish, iothub } from './support/back-ends.ts';
import { DeviceProcess, deviceSdks } from './support/device-sdks.ts';
import { type Device, openRegistry, startStockHub, whyNot } from './support/hub.ts';
import { CommandLedger } from './support/ledger.ts';
import { shows } from './support/shows.ts';

const COMMANDS = Number(process.env.MOORING_TEST_COMMANDS ?? 1000);
const DEVICES = 100;
const SHORT_LIFE_MS = 2000;
/** Every so-manieth command has the short life. */
const SHORT_LIVED_EVERY = 7;
/** A lock is a minute, and a batch of receipts waits for a quarter of one. */
const END_MS_MAX = 120_000;

const [sdk] = deviceSdks;
const [mqtt] = sdk.transports;
const operation = 'many commands: each one outcome, one receipt record, in order';

describe('commands under load', { skip: await whyNot() }, () => {
  const cells = [
    { sdk: iothub.name, transport: 'Amqp', operation },
    { sdk: sdk.name, transport: mqtt.name, operation },
  ];
  const name = `${COMMANDS} commands to ${DEVICES} devices, a third late, a third killed in the middle`;
  shows(cells, undefined, run, name);

  async function run(t: { diagnostic(text: string): void }): Promise<void> {
    await using hub = await startStockHub();
    const registry = await openRegistry(hub);
    const ids = Array.from({ length: DEVICES }, (_, at) => `d-${at}`);
    const devices = await registry.createDevices(hub, ids);
    await registry.stop();
    const third = (at: number): readonly Device[] => devices.filter((_, index) => index % 3 === at);

    const ledger = new CommandLedger();
    await using backEnd = await BackEnd.start(hub);
    await backEnd.receiveReceipts();
    await using steady = await connected(third(0));
    await using late = await DeviceProcess.start(sdk, hub);
    const victim = await connected(third(1));

    const wishes = Array.from({ length: COMMANDS }, (_, at): readonly [string, CommandWish] => {
      const deviceId = ids[at % DEVICES];
      const isShortLived = at % SHORT_LIVED_EVERY === 0;
      const messageId = `c-${at}`;
      ledger.add(messageId, deviceId, isShortLived);
      const life = isShortLived ? { expiresInMs: SHORT_LIFE_MS } : {};
      return [deviceId, { messageId, ack: 'full', text: `${at}`, ...life }];
    });
    const begun = performance.now();
    const sending = backEnd.sendAll(wishes, 16);
    while (backEnd.client.seen('sent').length < COMMANDS / 2) await backEnd.client.news(1000);
    // In the middle of its work: some of what it has is answered, some is not.
    await victim.client.kill();
    await sending;
    const sentMs = performance.now() - begun;
    // What came late has missed the short-lived ones.
    await new Promise((resolve) => setTimeout(resolve, SHORT_LIFE_MS));
    await using again = await connected(third(1));
    await Promise.all(third(2).map((device) => connect(late, device)));

    // The killed process first: what it has seen, it saw first.
    ledger.take(victim.client);
    const deadline = performance.now() + END_MS_MAX;
    for (;;) {
      for (const { client } of [backEnd, steady, late, again]) ledger.take(client);
      if (ledger.open === 0) break;
      assert.ok(performance.now() < deadline, ledger.describeOpen());
      await backEnd.client.news(1000);
    }
    const endedMs = performance.now() - begun;
    assert.equal(ledger.accepted, COMMANDS);
    t.diagnostic(`${ledger.check()}; sent in ${Math.round(sentMs)} ms, all receipts after ${Math.round(endedMs)} ms`);

    async function connected(some: readonly Device[]): Promise<DeviceProcess> {
      const made = await DeviceProcess.start(sdk, hub);
      await Promise.all(some.map((device) => connect(made, device)));
      return made;
    }
  }

  function connect(process: DeviceProcess, device: Device): Promise<void> {
    return process.open(device, mqtt, { outcomes: ['complete'] });
  }
});
