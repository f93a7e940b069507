/**
 * Confirmable POST over CoAP, answered when the message is on a disk: 200 clients with one request under way each, per CPU second of all
 * processes behind: the adapter in the hub's machine, plain and with each protection; beside the devices, with its gateway; and alone before a
 * hub in memory. Beside them libcoap's own server, which stores nothing (Debian: libcoap3-bin). A minute and a half for two rounds.
 *
 *     node scripts/run.mjs --script bench/coap.ts [--rounds 3] [--seconds 4] [--clients 200] [--only plain]
 *
 * `--only TEXT`: libcoap's server and those whose name holds the text.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createApiClient } from '../src/api/client.ts';
import { encodeDatagram } from '../src/wire/coap/datagram.ts';
import { codes, types } from '../src/wire/coap/messages.ts';
import { startAdapterHub } from '../test/drivers/adapter-hub.ts';
import { type CoapCarrier, CoapClient, udpCarrier } from '../test/drivers/coap.ts';
import { pskOf } from '../test/drivers/coap-clients.ts';
import { DtlsClient } from '../test/drivers/dtls-client.ts';
import { startHub } from '../test/drivers/hub.ts';
import { OscoreClient } from '../test/drivers/oscore-client.ts';
import { until } from '../test/drivers/until.ts';
import { cpuSeconds, fdatasyncMedianMs, machine, processTreeCpuSeconds } from './process-facts.ts';
import { figure, printTable, show, spread } from './report.ts';
import { freePort } from './servers/server.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '2' },
    seconds: { type: 'string', default: '4' },
    clients: { type: 'string', default: '200' },
    only: { type: 'string', default: '' },
  },
});
const [rounds, seconds, count] = [Number(values.rounds), Number(values.seconds), Number(values.clients)];
const BODY = Buffer.from('{"temperature":21.5}');
const WARM_UP_MS = 1000;
const REPEAT_MS = 2000;

/** One client's next request, again and again. */
interface Lane {
  /** Resolves when it was answered with success. */
  exchange(): Promise<void>;
  close(): void;
}
interface System {
  readonly name: string;
  readonly pids: readonly number[];
  lane(at: number): Promise<Lane>;
}

function succeeded(code: number): void {
  if (code >> 5 !== 2) throw new Error(`answered with ${code}`);
}

/** Repeats the last datagram until something comes, as a confirmable message is: one request is under way at a time. */
function repeating(carrier: CoapCarrier): CoapCarrier {
  let timer: NodeJS.Timeout | undefined;
  return {
    send(bytes) {
      clearInterval(timer);
      timer = setInterval(() => carrier.send(bytes), REPEAT_MS);
      carrier.send(bytes);
    },
    onDatagram: (take) =>
      carrier.onDatagram((bytes) => {
        clearInterval(timer);
        take(bytes);
      }),
    close() {
      clearInterval(timer);
      carrier.close();
    },
  };
}

/** Requests in plain datagrams, encoded once: only message id and token change. */
async function plainLane(port: number, path_: string, query: readonly string[]): Promise<Lane> {
  const carrier = repeating(await udpCarrier(port));
  const template = new CoapClient({ send: () => {}, onDatagram: () => {}, close: () => {} }, query);
  const bytes = encodeDatagram({
    ...template.message(path_, { code: codes.put, payload: BODY, format: 50 }),
    type: types.confirmable,
    token: randomBytes(2),
  });
  let answered: (code: number) => void = () => {};
  carrier.onDatagram((answer) => answered(answer[1]));
  let id = randomBytes(2).readUInt16BE();
  return {
    exchange: () =>
      new Promise((resolve, reject) => {
        id = (id + 1) & 0xffff;
        bytes.writeUInt16BE(id, 2);
        answered = (code) => (code >> 5 === 2 ? resolve() : reject(new Error(`answered with ${code}`)));
        carrier.send(Buffer.from(bytes));
      }),
    close: () => carrier.close(),
  };
}

/** The next number of each device, over its lanes: one that was used is refused. */
const numbers = new Map<string, number>();

async function sealedLane(port: number, id: string, key: string): Promise<Lane> {
  const client = new CoapClient(repeating(await udpCarrier(port)));
  const oscore = new OscoreClient(client, id, pskOf(key), numbers.get(id));
  return {
    async exchange() {
      const { answer } = await oscore.request('telemetry', { code: codes.post, payload: BODY, format: 50 });
      succeeded(answer.code);
      client.received.length = 0;
    },
    close() {
      numbers.set(id, oscore.number);
      client.close();
    },
  };
}

async function dtlsLane(port: number, id: string, key: string): Promise<Lane> {
  const socket = await udpCarrier(port);
  let take: (bytes: Buffer) => void = () => {};
  const dtls = new DtlsClient({ identity: id, key: pskOf(key), send: (datagram) => socket.send(datagram) });
  socket.onDatagram((datagram) => {
    dtls.receive(Buffer.from(datagram));
    for (const bytes of dtls.received.splice(0)) take(bytes);
  });
  dtls.begin();
  const timer = setInterval(() => dtls.resend(), REPEAT_MS);
  await until('the handshake is complete', () => dtls.isEstablished);
  clearInterval(timer);
  const carrier: CoapCarrier = {
    send: (bytes) => dtls.send(bytes),
    onDatagram: (taken) => {
      take = taken;
    },
    close: () => socket.close(),
  };
  const client = new CoapClient(repeating(carrier));
  return {
    async exchange() {
      succeeded((await client.request('telemetry', { code: codes.post, payload: BODY, format: 50 })).code);
      client.received.length = 0;
    },
    close: () => client.close(),
  };
}

async function measure(system: System): Promise<{ perSecond: number; perCpuSecond: number; loadCores: number }> {
  const lanes = await Promise.all(Array.from({ length: count }, (_, at) => system.lane(at)));
  let isOver = false;
  let exchanges = 0;
  const cpu = (): number => system.pids.reduce((sum, pid) => sum + processTreeCpuSeconds(pid), 0);
  const running = lanes.map(async (lane) => {
    for (; !isOver; exchanges++) await lane.exchange();
  });
  await sleep(WARM_UP_MS);
  const before = { at: performance.now(), exchanges, cpu: cpu(), load: cpuSeconds(process.pid) };
  await sleep(seconds * 1000);
  const took = (performance.now() - before.at) / 1000;
  const done = exchanges - before.exchanges;
  const used = cpu() - before.cpu;
  const load = cpuSeconds(process.pid) - before.load;
  isOver = true;
  await Promise.all(running);
  for (const lane of lanes) lane.close();
  return { perSecond: done / took, perCpuSecond: done / used, loadCores: load / took };
}

const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-bench-coap-'));
const flood = { datagramsPerSecondMax: 1e6, datagramsPerAddressPerSecondMax: 1e6 };
const [inside, insideDtls] = [await freePort(), await freePort()];
const insideSettings = { udp: { port: inside, ...flood }, dtls: { port: insideDtls, experimental: true, ...flood } };
const hub = await startHub();
const withAdapter = await startAdapterHub([
  { adapter: 'coap', settings: insideSettings, sharedKeysOf: ['*'], messagesPerSecond: 1e6 },
]);
const children: ReturnType<typeof spawn>[] = [];
try {
  const api = createApiClient({
    connectionString: hub.endpoints.connectionStrings.iothubowner,
    port: hub.endpoints.ports.https as number,
    ca: hub.ca,
  });
  const devices: { id: string; key: string }[] = [];
  for (let at = 0; at < count; at++) {
    const { authentication } = await api.devices.create(`bench-${at}`, {});
    devices.push({ id: `bench-${at}`, key: authentication?.symmetricKey?.primaryKey ?? '' });
  }
  api.close();

  const [udp, foreign] = [await freePort(), await freePort()];
  const settings = { udp: { port: udp, ...flood } };
  writeFileSync(path.join(folder, 'gateway.json'), JSON.stringify({ settings }));
  writeFileSync(path.join(folder, 'login'), hub.endpoints.connectionStrings.iothubowner, { mode: 0o600 });
  writeFileSync(path.join(folder, 'ca.pem'), hub.ca);
  const at = (name: string): string => path.join(folder, name);
  const main = path.join(path.dirname(import.meta.dirname), 'src/main.ts');
  const place = ['--hub', `localhost:${hub.endpoints.ports.amqps}`, '--folder', at('queue')];
  const login = ['--login-file', at('login'), '--ca-file', at('ca.pem'), '--config', at('gateway.json')];
  const gateway = spawn(process.execPath, [main, 'gateway', 'run', 'coap', ...place, ...login], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(gateway);
  let said = '';
  for (const stream of [gateway.stdout, gateway.stderr])
    stream?.on('data', (chunk) => {
      said += chunk;
    });
  await until(`the gateway is ready: ${said}`, () => said.includes('ready') || gateway.exitCode !== null);
  if (gateway.exitCode !== null) throw new Error(said);
  const server = spawn('coap-server-notls', ['-A', '127.0.0.1', '-p', String(foreign)], { stdio: 'ignore' });
  children.push(server);
  await once(server, 'spawn');
  await sleep(300);

  const insideDevices: { id: string; key: string }[] = [];
  for (const { id } of devices) insideDevices.push({ id, key: await withAdapter.addDevice(id) });
  await withAdapter.port('coap');
  const aloneSettings = { udp: { port: 0, ...flood } };
  const alone = spawn(process.execPath, [
    path.join(import.meta.dirname, 'servers', 'coap-alone.ts'),
    JSON.stringify(aloneSettings),
    JSON.stringify(devices.map(({ id, key }) => [id, key])),
  ]);
  children.push(alone);
  const [line] = await once(alone.stdout, 'data');
  const [aloneUdp] = JSON.parse(String(line)) as number[];

  const pids = [alone.pid as number];
  const queryOf = (at: number): string[] => [`device=${devices[at].id}`, `key=${devices[at].key}`];
  const all: readonly System[] = [
    {
      name: 'libcoap, stores nothing',
      pids: [server.pid as number],
      lane: () => plainLane(foreign, 'example_data', []),
    },
    {
      name: 'coap beside the devices, durable, plain',
      pids: [hub.pid, gateway.pid as number],
      lane: (n) => plainLane(udp, 'telemetry', queryOf(n)),
    },
    { name: 'coap alone, plain, keeps nothing', pids, lane: (n) => plainLane(aloneUdp, 'telemetry', queryOf(n)) },
    {
      name: "coap in the hub's machine, durable, plain",
      pids: [withAdapter.hub.pid],
      lane: (n) => plainLane(inside, 'telemetry', [`device=${insideDevices[n].id}`, `key=${insideDevices[n].key}`]),
    },
    {
      name: 'the same, OSCORE',
      pids: [withAdapter.hub.pid],
      lane: (n) => sealedLane(inside, insideDevices[n].id, insideDevices[n].key),
    },
    {
      name: 'the same, DTLS',
      pids: [withAdapter.hub.pid],
      lane: (n) => dtlsLane(insideDtls, insideDevices[n].id, insideDevices[n].key),
    },
  ];
  const systems = all.filter(({ name }, at) => at === 0 || name.includes(values.only));
  const results = new Map<string, { perSecond: number; perCpuSecond: number; loadCores: number }[]>();
  for (let round = 0; round < rounds; round++)
    for (const system of round % 2 === 0 ? systems : systems.toReversed()) {
      process.stderr.write(`${system.name}\n`);
      results.set(system.name, [...(results.get(system.name) ?? []), await measure(system)]);
    }
  const of = (name: string) => results.get(name) ?? [];
  const base = of(systems[0].name);
  printTable([
    ['server', 'answered/s', 'per CPU s', 'x libcoap', 'load gen. cores'],
    ...systems.map(({ name }) => [
      name,
      figure(spread(of(name).map((round) => round.perSecond)).median),
      figure(spread(of(name).map((round) => round.perCpuSecond)).median),
      show(spread(of(name).map((round, index) => round.perCpuSecond / base[index].perCpuSecond))),
      figure(spread(of(name).map((round) => round.loadCores)).median),
    ]),
  ]);
  const { model, cores } = { model: machine(), cores: os.availableParallelism() };
  process.stdout.write(
    `${JSON.stringify(model)}, ${cores} cores; fdatasync ${fdatasyncMedianMs(folder).toFixed(2)} ms\n`,
  );
} finally {
  for (const child of children) {
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'close');
  }
  await hub[Symbol.asyncDispose]();
  await withAdapter[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
}
