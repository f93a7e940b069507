/**
 * Memory per idle connection: the hub's MQTT doors, plain and over TLS, beside bare sockets of the same runtime. Each
 * server is a fresh process, and what counts is what each further connection adds to its resident memory:
 *
 * - `--base` connections are open before the first reading, and stay: what is loaded, compiled and touched once is paid.
 * - Resident is also what the process has freed and not given back: with it connections cost nothing where they use what
 *   was freed before, and too much where their opening leaves some. So before each reading it is used up, by a filling
 *   of known size (`fill`), which is subtracted.
 * - Each reading is behind full garbage collections that are asked for over the inspector, the same for all.
 *
 * `heap` is the runtime's own count of live objects, as a check: it knows neither free memory nor native objects. Linux only.
 *
 *     npm run bench -- idle-connections [--connections 4000] [--rounds 1] [--only hub-plain,bare-plain] [--compare REVISION] [--json FILE]
 *     npm run bench -- idle-connections --only hub-plain,hub-plain-twins --rounds 3
 *
 * Devices come as stock SDKs do: CleanSession 0, subscribed to commands (not with `--no-subscribe`); those of `hub-plain-twins` to
 * answers and changes of twins and to methods as well. `--seconds N` is how
 * long the CPU time of idleness is measured; `--snapshot DIR` writes two heap snapshots of each server, at both readings
 * (taking one needs memory: the figures of such a run are not for use).
 */
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { parseArgs } from 'node:util';
import type { Endpoints } from '../src/api/endpoints.ts';
import { Inspector } from './inspector.ts';
import { connectPacket } from './load/mqtt-packets.ts';
import { cpuSeconds, machine, residentMiB } from './process-facts.ts';
import { printTable, show, spread, writeResult } from './report.ts';
import { makeCertificate } from './servers/certificate.ts';
import { createDevices } from './servers/hub.ts';
import { checkoutOf } from './servers/revision.ts';
import { freePort, freePorts, startProgram, stopProgram } from './servers/server.ts';

const kinds = ['bare-plain', 'hub-plain', 'hub-plain-twins', 'bare-tls', 'hub-tls'] as const;
type Kind = (typeof kinds)[number];
const usual = kinds.filter((kind) => kind !== 'hub-plain-twins');
/** Beside commands. */
const twinFilters = ['$iothub/twin/res/#', '$iothub/twin/PATCH/properties/desired/#', '$iothub/methods/POST/#'];

const { values } = parseArgs({
  allowNegative: true,
  options: {
    connections: { type: 'string', default: '4000' },
    base: { type: 'string', default: '2000' },
    rounds: { type: 'string', default: '1' },
    only: { type: 'string', default: usual.join(',') },
    subscribe: { type: 'boolean', default: true },
    seconds: { type: 'string', default: '5' },
    compare: { type: 'string', multiple: true, default: [] },
    snapshot: { type: 'string' },
    json: { type: 'string' },
  },
});
const connections = Number(values.connections);
const baseConnections = Number(values.base);
const idleSeconds = Number(values.seconds);
const wanted = kinds.filter((kind) => values.only.split(',').includes(kind));
/** Other revisions of the hub, measured in the same rounds. */
const compared = values.compare.map(checkoutOf);
/** Connections that are opened at the same time. */
const OPENING = 64;
/** An address has few ports for outgoing connections, and others use them too; all of 127/8 is this machine. */
const CONNECTIONS_PER_ADDRESS = 5000;
/** Of this process alone. */
const network = `127.${1 + ((process.pid >> 8) & 127)}.${process.pid & 255}`;
/** Pieces of about the size of a socket's native part: more than any of the servers has free. */
const FILLING = { pieces: 40_000, bytes: 432 };
const root = path.dirname(import.meta.dirname);

interface Login {
  readonly clientId: string;
  readonly username: string;
  readonly password: string;
}

interface Server {
  readonly pid: number;
  readonly port: number;
  readonly inspectorPort: number;
  /** Absent = plain. */
  readonly ca?: string;
  readonly logins: readonly Login[];
  stop(): Promise<void>;
}

async function startBare(kind: Kind, folder: string): Promise<Server> {
  const [port, inspectorPort] = await freePorts(2);
  const files: string[] = [];
  let ca: string | undefined;
  if (kind === 'bare-tls') {
    const made = await makeCertificate();
    ca = made.certificate;
    files.push(path.join(folder, 'server.crt'), path.join(folder, 'server.key'));
    writeFileSync(files[0], made.certificate);
    writeFileSync(files[1], made.key, { mode: 0o600 });
  }
  const program = [path.join(root, 'bench/servers/bare-sockets.ts'), String(port), ...files];
  const { child } = await startProgram(process.execPath, [inspect(inspectorPort), ...program], /^ready$/m, 10_000);
  // As long as the hub's, so that the same bytes come.
  const logins = Array.from({ length: baseConnections + connections }, (_, at) => ({
    clientId: `bench-${at}`,
    username: `localhost/bench-${at}/?api-version=2021-04-12`,
    password: 'p'.repeat(140),
  }));
  return { pid: child.pid as number, port, inspectorPort, ca, logins, stop: () => stopProgram(child) };
}

async function startHub(kind: Kind, folder: string, checkout: string): Promise<Server> {
  const inspectorPort = await freePort();
  const dataDir = path.join(folder, 'data');
  const ports = ['mqtt', 'mqtts', 'https', 'amqps', 'amqp', 'admin'].flatMap((name) => [`--${name}-port`, '0']);
  const program = [path.join(checkout, 'src/main.ts'), 'serve', '--data-dir', dataDir, ...ports];
  const { child } = await startProgram(process.execPath, [inspect(inspectorPort), ...program], /^ready\b/m, 30_000);
  const stop = (): Promise<void> => stopProgram(child);
  try {
    const endpoints = JSON.parse(readFileSync(path.join(dataDir, 'endpoints.json'), 'utf8')) as Endpoints;
    const ca = readFileSync(endpoints.caFile, 'utf8');
    const logins = await createDevices(endpoints, ca, baseConnections + connections, '');
    const port = (kind === 'hub-tls' ? endpoints.ports.mqtts : endpoints.ports.mqtt) ?? 0;
    return { pid: child.pid as number, port, inspectorPort, logins, stop, ca: kind === 'hub-tls' ? ca : undefined };
  } catch (error) {
    await stop();
    throw error;
  }
}

function inspect(port: number): string {
  return `--inspect=127.0.0.1:${port}`;
}

/** What a device subscribes to, one after the other. */
function filtersOf(kind: Kind, clientId: string): readonly string[] {
  if (kind.startsWith('bare')) return [];
  const commands = values.subscribe ? [`devices/${clientId}/messages/devicebound/#`] : [];
  return kind === 'hub-plain-twins' ? [...commands, ...twinFilters] : commands;
}

/** Opens a connection as a device does; resolves when it is let in and subscribed. */
function connect(server: Server, at: number, kind: Kind): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const place = {
      port: server.port,
      host: '127.0.0.1',
      localAddress: `${network}.${1 + Math.floor(at / CONNECTIONS_PER_ADDRESS)}`,
      noDelay: true,
    };
    const socket =
      server.ca === undefined ? net.connect(place) : tls.connect({ ...place, ca: server.ca, servername: 'localhost' });
    const login = server.logins[at];
    const filters = filtersOf(kind, login.clientId).values();
    let awaited = 0x20;
    socket.once('error', reject);
    socket.once('close', () => reject(new Error(`connection ${at} was closed before it was let in`)));
    socket.once(server.ca === undefined ? 'connect' : 'secureConnect', () => {
      socket.write(connectPacket({ ...login, cleanSession: false, keepAliveSeconds: 1000 }));
    });
    socket.on('data', (bytes) => {
      if (bytes[0] !== awaited || bytes[bytes.length - 1] > 1)
        reject(new Error(`connection ${at} was answered ${bytes.toString('hex')}`));
      const { value: filter } = filters.next();
      if (filter === undefined) resolve(socket);
      else socket.write(subscribePacket(filter));
      awaited = 0x90;
    });
  });
}

/** SUBSCRIBE at QoS 1, clause 3.8. @param filter shorter than 120 bytes */
function subscribePacket(filter: string): Buffer {
  return Buffer.from([0x82, filter.length + 5, 0, 1, 0, filter.length, ...Buffer.from(filter), 1]);
}

/** Full collections, in the worker threads too. */
async function collectGarbage(inspector: Inspector): Promise<void> {
  await inspector.call('HeapProfiler.collectGarbage');
  await inspector.callWorkers('HeapProfiler.collectGarbage');
}

interface RemoteObject {
  readonly objectId?: string;
  readonly value?: unknown;
}

async function evaluate(inspector: Inspector, expression: string): Promise<RemoteObject> {
  return (await inspector.call('Runtime.evaluate', { expression })).result as RemoteObject;
}

/** Timers that are armed in the process. Counted as objects: the runtime's own count leaves out most of the hub's. */
async function timersOf(inspector: Inspector): Promise<number> {
  const expression =
    '(() => { const one = setTimeout(() => {}); clearTimeout(one); return one.constructor.prototype; })()';
  const { objectId: prototypeObjectId } = await evaluate(inspector, expression);
  const { objects } = await inspector.call('Runtime.queryObjects', { prototypeObjectId });
  const functionDeclaration = 'function () { return this.filter((timer) => !timer._destroyed).length; }';
  const { objectId } = objects as RemoteObject;
  const { result } = await inspector.call('Runtime.callFunctionOn', { objectId, functionDeclaration });
  return Number((result as RemoteObject).value);
}

/** KiB of live objects. */
async function heapUsed(inspector: Inspector): Promise<number> {
  return Number((await evaluate(inspector, 'process.memoryUsage().heapUsed')).value) / 1024;
}

/** Takes and holds so much small memory that none of what is resident is free. */
async function fill(inspector: Inspector): Promise<void> {
  const pieces = `Array.from({ length: ${FILLING.pieces} }, () => new ArrayBuffer(${FILLING.bytes}))`;
  await evaluate(inspector, `(globalThis.filling ??= []).push(${pieces})`);
}

async function snapshotOf(inspector: Inspector, file: string): Promise<void> {
  const out = createWriteStream(file);
  inspector.onSnapshotChunk = (text) => void out.write(text);
  await inspector.call('HeapProfiler.takeHeapSnapshot');
  await new Promise<void>((resolve) => void out.end(resolve));
}

interface Measured {
  /** Resident memory. */
  readonly kibPerConnection: number;
  /** Live objects of the runtime, a part of it. */
  readonly heapKibPerConnection: number;
  /** CPU seconds per second of the process while all are idle. */
  readonly idleCores: number;
  /** Timers of the process, all together. */
  readonly timers: number;
}

async function measure(kind: Kind, checkout: string): Promise<Measured> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-idle-'));
  const isHub = kind.startsWith('hub');
  let server: Server | undefined;
  const sockets: net.Socket[] = [];
  try {
    server = await (isHub ? startHub(kind, folder, checkout) : startBare(kind, folder));
    await openUpTo(baseConnections, sockets, server, kind);
    const first = await reading(server);
    // Nothing is free now, so the next filling shows its own size.
    const before = await reading(server, `${kind}-base`);
    await openUpTo(baseConnections + connections, sockets, server, kind);
    const after = await reading(server, kind);
    const added = (of: keyof Reading): number => (after[of] - before[of] - (before[of] - first[of])) / connections;
    const cpu = cpuSeconds(server.pid);
    await sleep(idleSeconds * 1000);
    const idleCores = (cpuSeconds(server.pid) - cpu) / idleSeconds;
    using inspector = await Inspector.open(server.inspectorPort);
    return {
      kibPerConnection: added('resident'),
      heapKibPerConnection: added('heap'),
      idleCores,
      timers: await timersOf(inspector),
    };
  } finally {
    for (const socket of sockets) socket.destroy();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function openUpTo(count: number, sockets: net.Socket[], server: Server, kind: Kind): Promise<void> {
  let next = sockets.length;
  const worker = async (): Promise<void> => {
    while (next < count) sockets.push(await connect(server, next++, kind));
  };
  await Promise.all(Array.from({ length: OPENING }, worker));
}

/** KiB. */
interface Reading {
  readonly resident: number;
  readonly heap: number;
}

/** @param snapshot name of the file, where snapshots are wanted */
async function reading(server: Server, snapshot?: string): Promise<Reading> {
  using inspector = await Inspector.open(server.inspectorPort);
  await collect(inspector);
  await fill(inspector);
  await collect(inspector);
  const read = { resident: residentMiB(server.pid) * 1024, heap: await heapUsed(inspector) };
  if (values.snapshot !== undefined && snapshot !== undefined) {
    mkdirSync(values.snapshot, { recursive: true });
    await snapshotOf(inspector, path.join(values.snapshot, `${snapshot}.heapsnapshot`));
  }
  return read;
}

/** What a collection frees is given back to the system little by little. */
async function collect(inspector: Inspector): Promise<void> {
  for (let round = 0; round < 3; round++) {
    await collectGarbage(inspector);
    await sleep(300);
  }
  await sleep(700);
}

/** Of each kind, and of the hub's kinds also what they were at other revisions. */
const servers = wanted.flatMap((kind) => [
  { name: kind as string, kind, folder: root },
  ...(kind.startsWith('hub') ? compared.map(({ name, folder }) => ({ name: nameAt(kind, name), kind, folder })) : []),
]);
const rounds: Readonly<Record<string, Measured[]>> = Object.fromEntries(servers.map(({ name }) => [name, []]));
for (let round = 0; round < Number(values.rounds); round++) {
  for (const { name, kind, folder } of round % 2 === 0 ? servers : servers.toReversed()) {
    rounds[name].push(await measure(kind, folder));
  }
}
const rows = servers.map(({ name }) => [
  name,
  show(spread(rounds[name].map(({ kibPerConnection }) => kibPerConnection))),
  show(spread(rounds[name].map(({ heapKibPerConnection }) => heapKibPerConnection))),
  show(spread(rounds[name].map(({ idleCores }) => idleCores))),
  show(spread(rounds[name].map(({ timers }) => timers))),
]);
process.stdout.write(`${connections} idle connections, ${values.subscribe ? '' : 'not '}subscribed to commands\n\n`);
printTable([['server', 'KiB per connection', 'of it heap', 'cores while idle', 'timers in all'], ...rows]);
for (const layer of ['plain', 'tls'] as const) {
  printRatio(`hub-${layer}`, `bare-${layer}`);
  for (const { name } of compared) printRatio(`hub-${layer}`, nameAt(`hub-${layer}`, name));
}
const [plain, withTwins] = [rounds['hub-plain'] ?? [], rounds['hub-plain-twins'] ?? []];
if (plain.length > 0 && withTwins.length > 0) {
  const more = withTwins.map(({ kibPerConnection }, at) => kibPerConnection - plain[at].kibPerConnection);
  process.stdout.write(`subscribed to twin, desired and methods: ${show(spread(more))} KiB more\n`);
}
const { json, ...options } = values;
const file = writeResult('idle-connections', { machine: machine(), options, rounds }, json);
process.stdout.write(`written to ${file}\n`);
process.exit(0);

function nameAt(kind: Kind, revision: string): string {
  return `${kind} of ${revision}`;
}

/** Memory of the one over that of the other, round by round. */
function printRatio(one: string, other: string): void {
  const [over, under] = [rounds[one] ?? [], rounds[other] ?? []];
  if (over.length === 0 || under.length === 0) return;
  const ratios = over.map(({ kibPerConnection }, at) => kibPerConnection / under[at].kibPerConnection);
  process.stdout.write(`${one} / ${other}: ${show(spread(ratios))}\n`);
}
