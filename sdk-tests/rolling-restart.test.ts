/**
 * Three nodes behind a balancer are restarted one after the other while azure-iot-device sends: each device is away for a short time, and
 * @azure/event-hubs reads everything that was accepted.
 *
 *     scripts/postgres-for-tests.sh node scripts/kafka-for-tests.ts npm run sdk-tests -- rolling-restart
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from './support/client.ts';
import { openRegistry, startStockNodes, whyNot } from './support/hub.ts';

const NODES = 3;
const DEVICES = Number(process.env.MOORING_TEST_ROLLING_DEVICES ?? 12);
const PROCESSES = Number(process.env.MOORING_TEST_ROLLING_PROCESSES ?? 1);
/** Messages of a device under way. */
const WINDOW = Number(process.env.MOORING_TEST_ROLLING_WINDOW ?? 2);
/** Between an acceptance and the next message of a lane; 0 = as many as go. */
const PAUSE_MS = Number(process.env.MOORING_TEST_ROLLING_PAUSE_MS ?? 20);
/** A bound for a machine that is not busy with anything else. */
const AWAY_MS_MAX = Number(process.env.MOORING_TEST_ROLLING_AWAY_MS ?? 15_000);
const SETTLE_MS = 3000;

const hasStorage = process.env.MOORING_TEST_KAFKA !== undefined && process.env.MOORING_TEST_POSTGRES !== undefined;
const missing = hasStorage ? await whyNot() : 'no Kafka and PostgreSQL: scripts/kafka-for-tests.ts';
if (!hasStorage) process.stderr.write(`NOT TESTED: a rolling restart under stock devices (${missing})\n`);

interface Steady {
  readonly deviceId: string;
  readonly next: number;
  readonly failed: readonly number[];
  readonly longestMs: number;
  readonly disconnects: number;
  readonly errors: readonly string[];
}

describe('three nodes, restarted one after the other', { skip: missing }, () => {
  test(`${DEVICES} devices send meanwhile: none is away for long, and nothing that was accepted is lost`, async (t) => {
    await using hub = await startStockNodes(NODES);
    const registry = await openRegistry(hub);
    const ids = Array.from({ length: DEVICES }, (_, at) => `r-${at}`);
    const devices = await registry.createDevices(hub, ids);
    await registry.stop();
    const clients = Array.from({ length: PROCESSES }, (_, nth) => {
      const own = devices.filter((_, at) => at % PROCESSES === nth);
      const job = { devices: own, window: WINDOW, pauseMs: PAUSE_MS };
      return Client.start('devices-steady.mjs', hub.endpoints.caFile, job);
    });
    t.after(() => Promise.all(clients.map((client) => client.stop())));
    await Promise.all(clients.map((client) => client.next('ready')));
    for (const client of clients) await client.must('open');
    const accepted = async (): Promise<number> => {
      const counts = await Promise.all(clients.map((client) => client.must('accepted')));
      return counts.reduce((sum: number, count: number) => sum + count, 0);
    };
    await Promise.all(clients.map((client) => client.must('start')));
    const begun = performance.now();
    await sleep(SETTLE_MS);
    for (let nth = 1; nth <= hub.count; nth++) {
      await hub.restartNode(nth);
      await sleep(SETTLE_MS);
    }
    const total = await accepted();
    const rate = Math.round((total * 1000) / (performance.now() - begun));
    const states = (await Promise.all(clients.map((client) => client.must('stop')))).flat() as readonly Steady[];

    await using disposer = new AsyncDisposableStack();
    const reader = Client.start('events-numbers.mjs', hub.endpoints.caFile, {
      connectionString: hub.endpoints.connectionStrings.eventHubs,
    });
    disposer.defer(() => reader.stop());
    const { numbers } = await reader.next('numbers', 180_000);
    const sum = (of: (state: Steady) => number): number => states.reduce((all, state) => all + of(state), 0);
    const lost = states.flatMap(({ deviceId, next, failed }) => {
      const found = new Set(numbers[deviceId]);
      const open = new Set(failed);
      return Array.from({ length: next }, (_, n) => n)
        .filter((n) => !found.has(n) && !open.has(n))
        .map((n) => `${deviceId}/${n}`);
    });
    const longest = states.map(({ longestMs }) => longestMs).sort((a, b) => a - b);
    const [half, last] = [longest[longest.length >> 1], longest.at(-1) as number];
    t.diagnostic(
      `${DEVICES} devices, ${rate} messages/s, ${total} accepted, ${lost.length} lost; without an acceptance for ${half} ms at the median, ` +
        `${last} ms at most; ${sum(({ disconnects }) => disconnects)} disconnects told, ${sum(({ failed }) => failed.length)} sends failed ` +
        `(${[...new Set(states.flatMap(({ errors }) => errors))].join('; ')})`,
    );
    assert.deepEqual(lost.slice(0, 10), []);
    assert.ok(last <= AWAY_MS_MAX, `${last} ms`);
  });
});
