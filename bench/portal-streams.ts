/**
 * What pages that look on cost the hub: the same telemetry at a fixed rate, with nobody who follows it, with three plain clients of the
 * event hub, and with three pages of the portal, each with the overview, all telemetry, one device and monitoring. Told is the hub's
 * CPU time per message.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { runLoad } from './load/load.ts';
import { cpuSeconds, machine } from './process-facts.ts';
import { countingReader } from './readers/counting.ts';
import { figure, printTable, type RoundOptions, show, spread, writeResult } from './report.ts';
import { createConsumerGroups, type RunningHub, startHub } from './servers/hub.ts';
import { placeOf } from './telemetry-out.ts';

export interface PortalStreamsOptions extends RoundOptions {
  readonly threads: number;
  /** Messages per second of all devices. */
  readonly ratePerSecond: number;
  readonly payloadBytes: number;
}

const FOLLOWERS = 3;
const DEVICES = 20;
const kinds = ['nobody', 'plain clients', 'portals'] as const;
type Kind = (typeof kinds)[number];

export async function portalStreams(options: PortalStreamsOptions): Promise<void> {
  const found = new Map<Kind, number[]>(kinds.map((kind) => [kind, []]));
  for (let round = 0; round < options.rounds; round++) {
    for (const kind of kinds) {
      const micros = await measure(kind, options);
      found.get(kind)?.push(micros);
      process.stdout.write(`round ${round + 1}, ${kind}: ${figure(micros)} µs of the hub per message\n`);
    }
  }
  const of = (kind: Kind): number => spread(found.get(kind) ?? []).median;
  printTable([
    ['followed by', 'µs of CPU per message', 'against plain clients'],
    ...kinds.map((kind) => [kind, show(spread(found.get(kind) ?? [])), figure(of(kind) / of('plain clients'))]),
  ]);
  const { directory: _, jsonFile, ...settings } = options;
  const result = { machine: machine(), settings, micros: Object.fromEntries(found) };
  process.stdout.write(`${writeResult('portal-streams', result, jsonFile)}\n`);
}

async function measure(kind: Kind, options: PortalStreamsOptions): Promise<number> {
  mkdirSync(options.directory, { recursive: true });
  const directory = mkdtempSync(path.join(options.directory, 'portal-'));
  const hub = await startHub({ connections: DEVICES, tls: false, directory, bag: '' });
  const gone = new AbortController();
  try {
    if (kind === 'portals') await Promise.all(Array.from({ length: FOLLOWERS }, () => openPortal(hub, gone.signal)));
    if (kind === 'plain clients') await openReaders(hub);
    const cpu = { begin: 0, end: 0 };
    const load = await runLoad({
      target: { host: hub.host, port: hub.port, inFlight: 20, payloadBytes: options.payloadBytes },
      logins: hub.logins,
      threads: options.threads,
      warmupSeconds: options.warmupSeconds,
      seconds: options.seconds,
      ratePerSecond: options.ratePerSecond,
      mark(end) {
        cpu[end] = cpuSeconds(hub.pid);
      },
    });
    return ((cpu.end - cpu.begin) / load.acknowledged) * 1e6;
  } finally {
    gone.abort();
    await hub.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Each reads everything as it comes, in a consumer group of its own, until the hub ends, and hears of that as an error. */
async function openReaders(hub: RunningHub): Promise<void> {
  const names = Array.from({ length: FOLLOWERS }, (_, at) => `bench-${at}`);
  await createConsumerGroups(hub, names);
  for (const consumerGroup of names) {
    countingReader({ ...placeOf(hub, false), consumerGroup }, Number.POSITIVE_INFINITY).catch(() => {});
  }
}

async function openPortal(hub: RunningHub, signal: AbortSignal): Promise<void> {
  const base = `http://localhost:${hub.endpoints.ports.admin}`;
  const opened = await fetch(`${base}/portal/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: base },
    body: JSON.stringify({ connectionString: hub.endpoints.connectionStrings.iothubowner }),
  });
  const { csrf } = (await opened.json()) as { csrf: string };
  const cookie = (opened.headers.get('set-cookie') ?? '').split(';')[0];
  const topics = ['overview', 'telemetry', 'monitoring', 'device:bench-0'];
  const query = topics.map((topic) => `topic=${encodeURIComponent(topic)}`).join('&');
  const stream = await fetch(`${base}/portal/stream?${query}`, { headers: { cookie, 'x-mooring-csrf': csrf }, signal });
  if (!stream.ok || stream.body === null) throw new Error(`the portal answers ${stream.status}`);
  const read = async (body: ReadableStream<Uint8Array>): Promise<void> => {
    for await (const _ of body);
  };
  read(stream.body).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
