/**
 * What configurations cost, by REST from the outside, of the whole process and every thread of it: a PATCH of a twin where there are
 * none, 20 and 100 of them, which it leaves as they are or which it moves the device between; and a walk over the fleet that
 * changes every twin.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HttpsLane } from './load/https-lane.ts';
import { cpuSeconds, machine } from './process-facts.ts';
import { printTable, show, spread, writeResult } from './report.ts';
import { callHub, createDevices, ownerToken, type RunningHub, startHub } from './servers/hub.ts';

export interface ConfigurationsOptions {
  readonly devices: number;
  readonly rounds: number;
  readonly directory: string;
  readonly jsonFile?: string;
}

interface Round {
  readonly configurations: number;
  /** CPU microseconds of the hub for each PATCH, with all that comes of it. */
  readonly beside: number;
  readonly between: number;
}

const COUNTS = [0, 20, 100];
const PATCHES = 1000;
const UNDER_WAY = 16;
const VERSION = 'api-version=2021-04-12';
const POLL_MS = 20;

export async function configurations(options: ConfigurationsOptions): Promise<void> {
  mkdirSync(options.directory, { recursive: true });
  const directory = mkdtempSync(path.join(options.directory, 'configurations-'));
  const hub = await startHub({ connections: 0, tls: false, directory, bag: '' });
  try {
    await createDevices(hub.endpoints, hub.caText, options.devices, '');
    const lanes = await Promise.all(
      Array.from({ length: UNDER_WAY }, () => HttpsLane.open(hub.endpoints.ports.https as number, hub.caText)),
    );
    const rounds: Round[] = [];
    let made = 0;
    // The first PATCHes of a process are not those of later.
    await patches(hub, lanes, options.devices, 'warm', () => ({ warm: 1 }));
    for (const count of COUNTS) {
      for (; made < count; made++) await create(hub, `c${made}`, `tags.site = 's${made}'`, made);
      await everywhere(hub);
      for (let round = 0; round < options.rounds; round++) {
        const beside = await patches(hub, lanes, options.devices, `b${count}-${round}`, (n) => ({ other: n + round }));
        const between = await patches(hub, lanes, options.devices, `w${count}-${round}`, (n) => ({
          site: `s${(n + round * 7) % Math.max(count, 1)}`,
        }));
        rounds.push({ configurations: count, beside, between });
      }
    }
    const walks: number[] = [];
    for (let round = 0; round < options.rounds; round++) {
      // A hub has a hundred at most. That it is gone is answered with 204.
      await callHub(hub, 'DELETE', `/configurations/c${round}?${VERSION}`, '').catch(() => {});
      await everywhere(hub);
      const begun = cpuSeconds(hub.pid);
      await create(hub, `all${round}`, '*', round);
      await everywhere(hub);
      walks.push(options.devices / (cpuSeconds(hub.pid) - begun));
    }
    for (const lane of lanes) lane.close();
    const of = (count: number, what: 'beside' | 'between'): string =>
      show(spread(rounds.filter((round) => round.configurations === count).map((round) => round[what])));
    printTable([
      ['configurations', 'CPU µs / PATCH beside them', 'CPU µs / PATCH between them'],
      ...COUNTS.map((count) => [String(count), of(count, 'beside'), of(count, 'between')]),
    ]);
    process.stdout.write(
      `walk over ${options.devices} devices that changes each: ${show(spread(walks))} devices / CPU s\n`,
    );
    const result = { devices: options.devices, rounds, walks, machine: machine() };
    process.stdout.write(`${writeResult('configurations', result, options.jsonFile)}\n`);
  } finally {
    await hub.stop();
    rmSync(directory, { recursive: true });
  }
}

async function create(hub: RunningHub, id: string, targetCondition: string, value: number): Promise<void> {
  const content = { deviceContent: { [`properties.desired.of.${id}`]: value } };
  const body = { id, content, targetCondition, priority: value };
  await callHub(hub, 'PUT', `/configurations/${id}?${VERSION}`, JSON.stringify(body));
}

/** Until the fleet has been looked at. */
async function everywhere(hub: RunningHub): Promise<void> {
  for (;;) {
    const all = JSON.parse(await callHub(hub, 'GET', `/configurations?${VERSION}`, '')) as { evaluated: boolean }[];
    if (all.every(({ evaluated }) => evaluated)) return;
    await sleep(POLL_MS);
  }
}

/** CPU microseconds for each of `PATCHES`, all that comes of them included. */
async function patches(
  hub: RunningHub,
  lanes: readonly HttpsLane[],
  devices: number,
  what: string,
  tagsOf: (n: number) => object,
): Promise<number> {
  const head = `Authorization: ${ownerToken(hub.endpoints)}\r\nContent-Type: application/json\r\n`;
  const before = cpuSeconds(hub.pid);
  let next = 0;
  await Promise.all(
    lanes.map(async (lane) => {
      while (next < PATCHES) {
        const n = next++;
        const body = JSON.stringify({ tags: { ...tagsOf(n), round: what } });
        const { status } = await lane.ask(`PATCH /twins/bench-${n % devices}?${VERSION}`, head, body);
        if (status !== 200) throw new Error(`PATCH is answered with ${status}`);
      }
    }),
  );
  // What is marked is looked at within milliseconds.
  await sleep(200);
  return ((cpuSeconds(hub.pid) - before) * 1e6) / PATCHES;
}
