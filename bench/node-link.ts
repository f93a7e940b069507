/**
 * What a call from one node to another costs: CPU time of each side, by mutual TLS on loopback, one at a time and 64 under way, and
 * notes that are not answered. The two sides are processes of their own; links and certificates are those of nodes.
 *
 *     node scripts/run.mjs --script bench/node-link.ts [--rounds 5] [--seconds 3]        (1 minute)
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import type net from 'node:net';
import tls from 'node:tls';
import { parseArgs } from 'node:util';
import { systemClock } from '../src/base/clock.ts';
import { silentLog } from '../src/base/log.ts';
import { systemRandom } from '../src/base/random.ts';
import type { Connections } from '../src/core/presence/places.ts';
import { openNodePort } from '../src/server/nodes/node-port.ts';
import { openNodeTls } from '../src/server/nodes/node-tls.ts';
import { connectionsOver, serveConnections } from '../src/server/threads/node-connections.ts';
import { openSocketLink } from '../src/server/threads/socket-link.ts';
import { makeAuthority } from '../src/server/tls/certificates.ts';
import { machine } from './process-facts.ts';
import { printTable, show, spread } from './report.ts';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '3' } },
});
const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
const AUTHORITY = process.env.BENCH_NODE_AUTHORITY;
const NOTES_PER_TURN = 64;
const NOTES_AHEAD = 20_000;

const tlsOf = (authority: string) =>
  openNodeTls({
    secrets: { get: async () => authority },
    ...{ hubName: 'bench', clock: systemClock, random: systemRandom },
  });

/** The other node: answers, and says what that has cost. */
async function serve(authority: string): Promise<void> {
  let heard = 0;
  const connections: Connections = {
    drop: async () => {},
    end: async () => {},
    wake: () => void heard++,
    notify: () => {},
    invoke: async (_place, { value }) => value,
  };
  const port = await openNodePort({
    ...{ port: 0, addresses: ['127.0.0.1'], tls: await tlsOf(authority), clock: systemClock, log: silentLog },
    accept(link, greeted) {
      greeted();
      serveConnections(link, connections);
      link.serve('bench', { heard: async () => heard });
    },
  });
  let before = process.cpuUsage();
  process.on('message', (word) => {
    if (word === 'begin') before = process.cpuUsage();
    else process.send?.(process.cpuUsage(before));
  });
  process.on('disconnect', () => process.exit());
  process.send?.(port.port);
}

type Way = readonly [name: string, underWay: number, isNote?: true];
const ways: readonly Way[] = [
  ['a call, one at a time', 1],
  ['a call, 64 under way', 64],
  ['a note (wake)', 1, true],
];

async function main(): Promise<void> {
  const authority = JSON.stringify(await makeAuthority('bench', Date.now(), systemRandom));
  const child = fork(import.meta.filename, { env: { ...process.env, BENCH_NODE_AUTHORITY: authority } });
  const [port] = (await once(child, 'message')) as [number];
  const socket = tls.connect({ ...(await tlsOf(authority)).client(), host: '127.0.0.1', port }) as net.Socket;
  await once(socket, 'secureConnect');
  socket.setNoDelay(true);
  const link = openSocketLink(socket);
  const there = connectionsOver(link);
  const bench = link.remote<{ heard(): Promise<number> }>('bench', { heard: true });
  const place = { key: { deviceId: 'device-000123' }, connection: 17 };
  const { signal } = new AbortController();
  const results = ways.map(() => ({ own: [] as number[], other: [] as number[], rate: [] as number[] }));

  async function run([, underWay, isNote]: Way): Promise<number> {
    const until = performance.now() + seconds * 1000;
    let count = 0;
    if (isNote) {
      const already = await bench.heard();
      while (performance.now() < until) {
        for (let n = 0; n < NOTES_PER_TURN; n++) there.wake(place);
        count += NOTES_PER_TURN;
        if (count % NOTES_AHEAD < NOTES_PER_TURN) await bench.heard();
        await new Promise((resolve) => setImmediate(resolve));
      }
      if ((await bench.heard()) - already !== count) throw new Error('a note was lost');
      return count;
    }
    const lane = async (): Promise<void> => {
      while (performance.now() < until) {
        await there.invoke(place, { kind: 'method', value: count }, signal);
        count++;
      }
    };
    await Promise.all(Array.from({ length: underWay }, lane));
    return count;
  }

  for (let round = -1; round < rounds; round++) {
    for (const [at, way] of ways.entries()) {
      child.send('begin');
      const before = process.cpuUsage();
      const begun = performance.now();
      const count = await run(way);
      const own = process.cpuUsage(before);
      const wall = (performance.now() - begun) / 1000;
      child.send('end');
      const [other] = (await once(child, 'message')) as [NodeJS.CpuUsage];
      // The first one warms up.
      if (round < 0) continue;
      results[at].own.push((own.user + own.system) / count);
      results[at].other.push((other.user + other.system) / count);
      results[at].rate.push(count / wall);
    }
  }
  process.stdout.write(
    `${JSON.stringify(machine())}\nLinks between nodes: ${rounds} rounds of ${seconds} s, median (min..max)\n\n`,
  );
  printTable([
    ['', 'a second', 'µs of CPU, caller', 'µs of CPU, callee'],
    ...ways.map(([name], at) => [
      name,
      ...[results[at].rate, results[at].own, results[at].other].map((each) => show(spread(each))),
    ]),
  ]);
  socket.destroy();
  child.disconnect();
}

await (AUTHORITY === undefined ? main() : serve(AUTHORITY));
