/**
 * Soak: mixed load over all protocols on one hub for a long time. Memory, file descriptors, active handles and event-loop
 * delay of the hub are sampled; each must be flat: the slope over the second half, times the length of the run, stays
 * within a bound. Linux only. Writes a JSON and an SVG.
 *
 *     node bench/soak.ts [--minutes 60] [--sample 5] [--pace 25] [--directory DIR] [--json FILE] [--svg FILE] [--seed N]
 *
 * `--pace` is the time between two requests of one sender, in milliseconds. Events are read back while the load goes on,
 * every half minute, long before retention takes them. Every ten minutes and at the end the load rests, and everything that
 * was acknowledged is compared with what was read and with what the hub knows.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { MixedLoad } from '../test/reliability/mixed-load.ts';
import { linePlot, type Series } from './plot.ts';
import { cpuSeconds, machine, residentMiB } from './process-facts.ts';
import { figure, printTable, writeResult } from './report.ts';
import { startHub } from './servers/hub.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    sample: { type: 'string', default: '5' },
    pace: { type: 'string', default: '25' },
    directory: { type: 'string', default: os.tmpdir() },
    seed: { type: 'string', default: '1' },
    json: { type: 'string' },
    svg: { type: 'string' },
  },
});
const minutes = Number(values.minutes);
const sampleMs = Number(values.sample) * 1000;
const SHAPE = { mqtt: 10, http: 4, amqp: 4, commands: 4, registry: 3, paceMs: Number(values.pace) };
const CHECK_MS = 600_000;
const READ_MS = 30_000;
/** At work within the run, else the journal itself grows; many times what comes between two readings. */
const RETENTION_BYTES = 64 * 2 ** 20;
const SEGMENT_BYTES = 4 * 2 ** 20;
/** Share of the run that is left out of the slopes: caches fill, code is compiled, the heap finds its size. */
const WARMUP_SHARE = 0.4;

/** One look at the hub. Times are seconds since the load began. */
interface Sample {
  readonly seconds: number;
  readonly residentMiB: number;
  readonly heapMiB: number;
  readonly descriptors: number;
  readonly handles: number;
  readonly timers: number;
  readonly eventLoopP99Ms: number;
  readonly cpuCores: number;
  readonly acknowledged: number;
}

/** What flat means: growth over a whole run at the slope of its later part, at most. */
const bounds = { residentMiB: 40, heapMiB: 20, descriptors: 12, handles: 12, timers: 12, eventLoopP99Ms: 40 } as const;
type Measured = keyof typeof bounds;

await soak();

async function soak(): Promise<void> {
  const directory = mkdtempSync(path.join(values.directory, 'mooring-soak-'));
  const flags = ['--retention-bytes', String(RETENTION_BYTES), '--segment-bytes', String(SEGMENT_BYTES)];
  const hub = await startHub({ connections: 0, tls: false, directory, bag: '', flags });
  const place = { endpoints: hub.endpoints, ca: hub.caText };
  const samples: Sample[] = [];
  try {
    const load = await MixedLoad.prepare(place, SHAPE, Number(values.seed));
    const begun = performance.now();
    const seconds = (): number => (performance.now() - begun) / 1000;
    let cpu = cpuSeconds(hub.pid);
    let at = begun;
    let nextCheck = CHECK_MS;
    let nextRead = READ_MS;
    await load.start(place, false);
    while (seconds() < minutes * 60) {
      await sleep(sampleMs);
      const now = performance.now();
      const used = cpuSeconds(hub.pid);
      samples.push({
        seconds: seconds(),
        ...(await look(hub.endpoints.ports.admin as number, hub.pid)),
        cpuCores: (used - cpu) / ((now - at) / 1000),
        acknowledged: load.acknowledged(),
      });
      [cpu, at] = [used, now];
      if (seconds() * 1000 < nextRead) continue;
      nextRead += READ_MS;
      const when = `${figure(seconds())} s`;
      load.assertGood(when);
      await load.readEvents(place, when);
      tell(samples, load);
      if (seconds() * 1000 < nextCheck) continue;
      nextCheck += CHECK_MS;
      await load.stop('finish');
      await load.check(place, when);
      await load.start(place, false);
    }
    await load.stop('finish');
    await load.check(place, 'the end');
    report(samples, load);
  } finally {
    await hub.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** One line of progress. */
function tell(samples: readonly Sample[], load: MixedLoad): void {
  const { seconds, residentMiB: resident, heapMiB, cpuCores, acknowledged } = samples[samples.length - 1];
  process.stdout.write(
    `${figure(seconds / 60)} of ${minutes} min: ${acknowledged} acknowledged, ${load.eventsRead} events read back, ` +
      `${figure(resident)} MiB resident, ${figure(heapMiB)} MiB heap, ${figure(cpuCores)} cores\n`,
  );
}

async function look(port: number, pid: number) {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const gauge = (name: string): number => {
    const lines = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? ([0-9.e+-]+)$`, 'gm'))];
    return lines.reduce((sum, match) => sum + Number(match[1]), 0);
  };
  const resources = /^nodejs_active_resources\{type="Timeout"[^}]*\} ([0-9]+)$/m.exec(text);
  return {
    residentMiB: residentMiB(pid),
    heapMiB: gauge('nodejs_heap_size_used_bytes') / 2 ** 20,
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    handles: gauge('nodejs_active_handles_total'),
    timers: Number(resources?.[1] ?? 0),
    eventLoopP99Ms: gauge('nodejs_eventloop_lag_p99_seconds') * 1000,
  };
}

function report(samples: readonly Sample[], load: MixedLoad): void {
  const kept = samples.filter(({ seconds }) => seconds >= WARMUP_SHARE * minutes * 60);
  const measured = Object.keys(bounds) as Measured[];
  const results = measured.map((name) => {
    const all = kept.map((sample) => sample[name]);
    const growth = slope(kept.map((sample) => [sample.seconds, sample[name]])) * minutes * 60;
    return {
      name,
      min: Math.min(...all),
      max: Math.max(...all),
      growth,
      bound: bounds[name],
      flat: growth <= bounds[name],
    };
  });
  printTable([
    ['', 'least', 'most', 'growth over the run', 'may grow'],
    ...results.map(({ name, min, max, growth, bound }) =>
      [name, min, max, growth, bound].map((value) =>
        typeof value === 'string' ? value : figure(Math.abs(value) < 0.005 ? 0 : value),
      ),
    ),
  ]);
  const counts = load.counts;
  process.stdout.write(`acknowledged: ${JSON.stringify(counts)}; ${load.eventsRead} events read back; lost: 0\n`);
  const result = {
    minutes,
    shape: SHAPE,
    machine: machine(),
    counts,
    eventsRead: load.eventsRead,
    lost: 0,
    results,
    samples,
  };
  const json = writeResult('soak', result, values.json);
  const svg = values.svg ?? json.replace(/\.json$/, '.svg');
  mkdirSync(path.dirname(svg), { recursive: true });
  const line = (label: string, of: (sample: Sample) => number): Series => ({
    label,
    points: samples.map((sample) => [sample.seconds / 60, of(sample)]),
  });
  const panels = [
    { title: 'Memory, MiB', series: [line('resident', (s) => s.residentMiB), line('heap used', (s) => s.heapMiB)] },
    {
      title: 'Handles',
      series: [
        line('file descriptors', (s) => s.descriptors),
        line('active handles', (s) => s.handles),
        line('timers', (s) => s.timers),
      ],
    },
    { title: 'Event-loop delay, 99th percentile, ms', series: [line('delay', (s) => s.eventLoopP99Ms)] },
    { title: 'CPU, cores', series: [line('hub', (s) => s.cpuCores)] },
  ];
  writeFileSync(svg, linePlot(`Soak: ${minutes} minutes of mixed load`, 'minutes', panels));
  process.stdout.write(`${json}\n${svg}\n`);
  const steep = results.filter(({ flat }) => !flat);
  if (steep.length === 0) return;
  process.stderr.write(`not flat: ${steep.map(({ name }) => name).join(', ')}\n`);
  process.exitCode = 1;
}

/** Least squares. */
function slope(points: readonly (readonly [number, number])[]): number {
  const count = points.length;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / count;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / count;
  const covariance = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const variance = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return variance === 0 ? 0 : covariance / variance;
}
