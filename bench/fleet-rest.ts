/**
 * Queries over REST of a hub that holds a fleet, and telemetry at QoS 1 beside them: pages of an indexed tag one after the other, a COUNT
 * with GROUP BY over reported properties without an index, and the latency of messages at a fixed rate, alone and beside that COUNT.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { systemClock } from '../src/base/clock.ts';
import { silentLog } from '../src/base/log.ts';
import { systemRandom } from '../src/base/random.ts';
import { openKeyCipher } from '../src/stores/embedded/tables/key-file.ts';
import { openEmbeddedTables } from '../src/stores/embedded/tables/tables.ts';
import { fillFleet } from './load/fleet.ts';
import { Histogram } from './load/histogram.ts';
import { runLoad } from './load/load.ts';
import { machine } from './process-facts.ts';
import { figure, printTable, type RoundOptions, writeResult } from './report.ts';
import { ownerToken, type RunningHub, startHub } from './servers/hub.ts';

export interface FleetRestOptions extends RoundOptions {
  readonly devices: number;
  readonly ratePerSecond: number;
  readonly threads: number;
}

const PAGE = "SELECT * FROM devices WHERE tags.site = 'site-7'";
const COUNT =
  'SELECT properties.reported.firmware AS v, COUNT() AS n FROM devices WHERE properties.reported.battery > 4 GROUP BY properties.reported.firmware';
const CONNECTIONS = 20;
const PAYLOAD_BYTES = 256;

export async function fleetRest(options: FleetRestOptions): Promise<void> {
  mkdirSync(options.directory, { recursive: true });
  const directory = mkdtempSync(path.join(options.directory, 'fleet-rest-'));
  const start = (connections: number): Promise<RunningHub> => {
    const flags = ['--query-indexes', 'tags.site'];
    return startHub({ connections, tls: false, directory, bag: '', flags });
  };
  let hub: RunningHub | undefined;
  try {
    // The hub makes its folder, and its keys, which the fleet is written with.
    await (await start(0)).stop();
    await fill(path.join(directory, 'data'), options.devices);
    hub = await start(CONNECTIONS);
    const client = new QueryClient(hub);
    const page = await client.repeat(PAGE, options);
    const counts = await client.repeat(COUNT, options);
    const alone = await telemetry(hub, options);
    let isOn = true;
    const beside = client.until(COUNT, () => !isOn);
    const busy = await telemetry(hub, options);
    isOn = false;
    const besideCounts = await beside;
    client.close();
    const figures = { page, counts, alone, busy, besideCounts };
    const shown = Object.fromEntries(Object.entries(figures).map(([name, each]) => [name, percentiles(each)]));
    print(options, shown);
    const result = { devices: options.devices, figures: shown, machine: machine() };
    process.stdout.write(`${writeResult('fleet-rest', result, options.jsonFile)}\n`);
  } finally {
    await hub?.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function fill(dataDir: string, devices: number): Promise<void> {
  const cipher = openKeyCipher({
    ...{ file: path.join(dataDir, 'keys', 'tables.key'), random: systemRandom, log: silentLog },
  });
  const file = path.join(dataDir, 'tables', 'hub.db');
  const tables = await openEmbeddedTables({ file, cipher, log: silentLog, clock: systemClock });
  await fillFleet(tables, devices);
  await tables.close();
}

/** Queries over one connection that is kept open, one after the other. */
class QueryClient {
  readonly #hub: RunningHub;
  readonly #agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  readonly #authorization: string;

  constructor(hub: RunningHub) {
    this.#hub = hub;
    this.#authorization = ownerToken(hub.endpoints);
  }

  async repeat(query: string, { warmupSeconds, seconds }: FleetRestOptions): Promise<Histogram> {
    const warm = performance.now() + warmupSeconds * 1000;
    await this.until(query, () => performance.now() > warm);
    const end = performance.now() + seconds * 1000;
    return this.until(query, () => performance.now() > end);
  }

  /** At least one. */
  async until(query: string, isOver: () => boolean): Promise<Histogram> {
    const latency = new Histogram();
    do {
      const begun = performance.now();
      const rows = JSON.parse(await this.#ask(query)) as readonly unknown[];
      latency.record(performance.now() - begun);
      if (rows.length === 0) throw new Error(`${query}: there are no rows`);
    } while (!isOver());
    return latency;
  }

  close(): void {
    this.#agent.destroy();
  }

  #ask(query: string): Promise<string> {
    const { endpoints, caText } = this.#hub;
    const body = JSON.stringify({ query });
    return new Promise((resolve, reject) => {
      const call = https.request(
        {
          ...{ host: 'localhost', port: endpoints.ports.https as number, ca: caText, agent: this.#agent },
          ...{ method: 'POST', path: '/devices/query?api-version=2021-04-12' },
          headers: {
            ...{ authorization: this.#authorization, 'content-type': 'application/json' },
            ...{ 'content-length': Buffer.byteLength(body), 'x-ms-max-item-count': '100' },
          },
        },
        (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => {
            text += chunk;
          });
          response.on('end', () =>
            response.statusCode === 200 ? resolve(text) : reject(new Error(`${response.statusCode} ${text}`)),
          );
        },
      );
      call.on('error', reject);
      call.end(body);
    });
  }
}

async function telemetry(hub: RunningHub, options: FleetRestOptions): Promise<Histogram> {
  const { threads, warmupSeconds, seconds, ratePerSecond } = options;
  const result = await runLoad({
    target: { host: hub.host, port: hub.port, ca: hub.ca, inFlight: 20, payloadBytes: PAYLOAD_BYTES },
    logins: hub.logins,
    ...{ threads, warmupSeconds, seconds, ratePerSecond },
    mark: () => {},
  });
  if (result.unacknowledged > 0) throw new Error(`${result.unacknowledged} messages were not acknowledged`);
  return result.latency;
}

interface Percentiles {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const percentiles = (latency: Histogram): Percentiles => ({
  ...{ count: latency.total, p50Ms: latency.percentile(0.5), p99Ms: latency.percentile(0.99) },
});

function print({ devices, ratePerSecond }: FleetRestOptions, shown: Readonly<Record<string, Percentiles>>): void {
  const names: Readonly<Record<string, string>> = {
    page: 'page of 100 of an indexed tag, REST',
    counts: 'COUNT GROUP BY without an index, REST',
    alone: `QoS 1 at ${ratePerSecond}/s, alone`,
    busy: `QoS 1 at ${ratePerSecond}/s, beside the COUNT`,
    besideCounts: 'COUNT beside QoS 1',
  };
  process.stdout.write(`${devices.toLocaleString('en-US')} twins of 1 KB\n`);
  printTable([
    ['what', 'times', 'p50 ms', 'p99 ms'],
    ...Object.entries(shown).map(([name, { count, p50Ms, p99Ms }]) => [
      ...[names[name], String(count), figure(p50Ms), figure(p99Ms)],
    ]),
  ]);
}
