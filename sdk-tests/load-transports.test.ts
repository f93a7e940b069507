/** Many messages and many commands over each transport, and over all transports of all device SDKs at once. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { BackEnd, type CommandWish } from './support/back-ends.ts';
import { DeviceProcess, type DeviceSdk, type DeviceTransport, deviceSdks } from './support/device-sdks.ts';
import { readEvents } from './support/events.ts';
import { type Device, openRegistry, startStockHub, whyNot } from './support/hub.ts';
import { CommandLedger } from './support/ledger.ts';
import { missing } from './support/programs.ts';
import { shows } from './support/shows.ts';

const MESSAGES = Number(process.env.MOORING_TEST_MESSAGES ?? 10_000);
const COMMANDS = Number(process.env.MOORING_TEST_COMMANDS ?? 1000);
/** Divides the number of pairs of SDK and transport. */
const DEVICES = 48;
const WINDOW = 10;
const END_MS_MAX = 120_000;

type Pair = readonly [DeviceSdk, DeviceTransport];
const pairs: readonly Pair[] = deviceSdks.flatMap((sdk) =>
  sdk.transports.map((transport) => [sdk, transport] as const),
);

describe('load over every transport', { skip: await whyNot() }, () => {
  for (const pair of pairs.filter(([sdk]) => sdk.language === 'JavaScript')) {
    load(`${pair[0].name} over ${pair[1].name}`, [pair], 'many messages in and many commands out');
  }
  const absent = deviceSdks.map(({ language }) => missing(language)).find((why) => why !== undefined);
  load('all SDKs over all transports', pairs, 'the same beside all other SDKs and transports', absent);
});

/** One test: the devices are shared out to the pairs, one after the other. */
function load(who: string, of: readonly Pair[], operation: string, skip?: string): void {
  const cells = of.map(([sdk, transport]) => ({ sdk: sdk.name, transport: transport.name, operation }));
  shows(
    cells,
    skip,
    async (t) => {
      await using hub = await startStockHub();
      const registry = await openRegistry(hub);
      const ids = Array.from({ length: DEVICES }, (_, at) => `d-${at}`);
      const devices = await registry.createDevices(hub, ids);
      await registry.stop();
      const shares = of.map(([sdk, transport], pair) => ({
        sdk,
        transport,
        devices: devices.filter((_, at) => at % of.length === pair),
      }));
      await using processes = new AsyncDisposableStack();
      const started = new Map<DeviceSdk, DeviceProcess>();
      for (const sdk of new Set(of.map(([one]) => one))) {
        started.set(sdk, processes.use(await DeviceProcess.start(sdk, hub)));
      }
      const processOf = (sdk: DeviceSdk): DeviceProcess => started.get(sdk) as DeviceProcess;
      await Promise.all(
        shares.flatMap(({ sdk, transport, devices: some }) =>
          some.map((device) => processOf(sdk).open(device, transport, { outcomes: ['complete'] })),
        ),
      );

      const each = Math.ceil(MESSAGES / DEVICES);
      const begun = performance.now();
      await Promise.all(
        shares.map(({ sdk, transport, devices: some }) =>
          processOf(sdk).burst(some.map(idOf), each, inOrder(sdk, transport) ? WINDOW : 1),
        ),
      );
      const sentMs = performance.now() - begun;
      const { eventHubs } = hub.endpoints.connectionStrings;
      const events = await readEvents(hub, { connectionString: eventHubs, count: each * DEVICES });
      assert.equal(events.length, each * DEVICES);
      const numbers = Map.groupBy(events, ({ properties }) => properties.device);
      for (const id of ids) {
        const seen = numbers.get(id)?.map(({ properties }) => Number(properties.n));
        assert.deepEqual(
          seen,
          Array.from({ length: each }, (_, n) => n),
          `${id}: each message once, in order`,
        );
      }
      const rate = Math.round((each * DEVICES * 1000) / sentMs);
      t.diagnostic(`${each * DEVICES} messages, each once and in order, ${rate}/s`);

      await using backEnd = await BackEnd.start(hub);
      await backEnd.receiveReceipts();
      const ledger = new CommandLedger();
      const wishes = Array.from({ length: COMMANDS }, (_, at): readonly [string, CommandWish] => {
        ledger.add(`c-${at}`, ids[at % DEVICES]);
        return [ids[at % DEVICES], { messageId: `c-${at}`, ack: 'full', text: `${at}` }];
      });
      const sendBegun = performance.now();
      await backEnd.sendAll(wishes, WINDOW);
      const deadline = performance.now() + END_MS_MAX;
      for (;;) {
        for (const { client } of [backEnd, ...started.values()]) ledger.take(client);
        if (ledger.open === 0) break;
        assert.ok(performance.now() < deadline, ledger.describeOpen());
        await backEnd.client.news(1000);
      }
      assert.equal(ledger.accepted, COMMANDS);
      // azure-iot-device asks by HTTP again before it has the answer to the last request, and answers cross.
      const asking = shares
        .filter(({ transport }) => transport.requests)
        .flatMap(({ devices: some }) => some.map(idOf));
      const figures = ledger.check((deviceId) => !asking.includes(deviceId));
      t.diagnostic(`${figures}; all receipts after ${Math.round(performance.now() - sendBegun)} ms`);
    },
    `${MESSAGES} messages and ${COMMANDS} commands: ${who}`,
  );
}

/**
 * Python's calls block, each on a thread of its own; requests over HTTP overtake each other; the Java SDK's threads put
 * messages that wait together on the wire in any order.
 */
function inOrder(sdk: DeviceSdk, transport: DeviceTransport): boolean {
  return sdk.language === 'JavaScript' && transport.requests !== true;
}

const idOf = ({ deviceId }: Device): string => deviceId;
