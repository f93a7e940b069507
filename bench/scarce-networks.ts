/**
 * Bytes on the wire: what each way into the hub costs a device on a scarce link. Real clients talk to real listeners through a proxy on
 * loopback that counts (`scarce/counting-proxy.ts` says what TCP/IP adds). `--write` puts the figures into `docs/scarce-networks.md`.
 *
 *     node scripts/run.mjs --script bench/scarce-networks.ts [--write]
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startHub } from '../test/drivers/hub.ts';
import { adapters } from './scarce/adapters.ts';
import { coapSubjects } from './scarce/coap.ts';
import { type Counted, countTcp, countUdp } from './scarce/counting-proxy.ts';
import { doors } from './scarce/doors.ts';
import { picture } from './scarce/picture.ts';
import type { Subject } from './scarce/subject.ts';
import { makeCertificate } from './servers/certificate.ts';

/** Messages one after the other, whose mean is told. */
const MESSAGES = 10;
const KEEP_ALIVES = 3;
/** Until tickets, window updates and bare acknowledgements have come. */
const SETTLE_MS = 250;
/** How long mappings of mobile networks' address translators are said to last at least, for connections and for datagrams. */
const NAT_SECONDS = { tcp: 240, udp: 60 } as const;

/** A probe and its answer. */
const TCP_PROBE_BYTES = 2 * 52;

interface Cost {
  readonly protocol: number;
  /** With TCP/IP or UDP/IP. */
  readonly all: number;
}

interface Figures {
  readonly subject: Subject;
  readonly first: Cost;
  readonly resumed: Cost | undefined;
  readonly small: Cost;
  readonly large: Cost;
  /** One exchange. */
  readonly keepAlive: Cost | undefined;
}

const root = path.dirname(import.meta.dirname);
const page = path.join(root, 'docs/scarce-networks.md');
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, SETTLE_MS));

const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-scarce-'));
const hub = await startHub();
const { certificate, key } = await makeCertificate();
const certificateFile = path.join(folder, 'certificate.pem');
const keyFile = path.join(folder, 'key.pem');
writeFileSync(certificateFile, certificate);
writeFileSync(keyFile, key, { mode: 0o600 });
const tls = { certificateFile, keyFile, ca: certificate };
const beside = [await adapters(tls), await coapSubjects(tls)];
try {
  const all: Figures[] = [];
  for (const subject of [...(await doors(hub)), ...beside.flatMap(({ subjects }) => subjects)]) {
    process.stderr.write(`${subject.name}, ${subject.protection}\n`);
    all.push(await measure(subject));
  }
  const table = tableOf(all);
  process.stdout.write(`${table}\n`);
  if (process.argv.includes('--write')) {
    const between = /(<!-- figures -->\n)[\s\S]*(\n<!-- end -->)/;
    writeFileSync(
      page,
      readFileSync(page, 'utf8').replace(between, (_, begin, end) => `${begin}\n${table}\n${end}`),
    );
    writeFileSync(path.join(root, 'docs/performance/scarce-networks.svg'), pictureOf(all));
  }
} finally {
  for (const each of beside) await each.stop();
  await hub[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
}

async function measure(subject: Subject): Promise<Figures> {
  const proxy = await (subject.transport === 'tcp' ? countTcp : countUdp)(subject.port);
  try {
    let at = proxy.counted();
    const since = (times: number): Cost => {
      const now = proxy.counted();
      const cost = costOf(at, now, times);
      at = now;
      return cost;
    };
    const opened = await subject.open(proxy.port, undefined);
    await settle();
    const first = since(1);
    const messages = async (bytes: number): Promise<Cost> => {
      for (let count = 0; count < MESSAGES; count++) await opened.send(bytes);
      await settle();
      return since(MESSAGES);
    };
    // The first message of a connection may say what later ones need not.
    await opened.send(20);
    await settle();
    since(1);
    const small = await messages(20);
    const large = await messages(200);
    let keepAlive: Cost | undefined;
    if (opened.keepAlive === 'tcp') keepAlive = { protocol: 0, all: TCP_PROBE_BYTES };
    else if (opened.keepAlive !== undefined) {
      for (let count = 0; count < KEEP_ALIVES; count++) {
        await opened.keepAlive();
        await settle();
      }
      keepAlive = since(KEEP_ALIVES);
    }
    const session = opened.session();
    await opened.close();
    await settle();
    since(1);
    let resumed: Cost | undefined;
    if (session !== undefined) {
      const again = await subject.open(proxy.port, session);
      await settle();
      resumed = since(1);
      await again.close();
    }
    return { subject, first, resumed, small, large, keepAlive };
  } finally {
    await proxy.close();
  }
}

function costOf(before: Counted, after: Counted, times: number): Cost {
  const protocol = after.up + after.down - before.up - before.down;
  return { protocol: protocol / times, all: (protocol + after.headers - before.headers) / times };
}

/** Of one hour without messages; 0 where there is nothing to keep. @param everySeconds between two exchanges */
function idleHour({ keepAlive }: Figures, everySeconds: number): number {
  return keepAlive === undefined ? 0 : (3600 / everySeconds) * keepAlive.all;
}

function tableOf(all: readonly Figures[]): string {
  const cell = (cost: Cost | undefined): string =>
    cost === undefined ? '–' : `${round(cost.all)} (${round(cost.protocol)})`;
  const rows = all.map((figures) => {
    const { subject, first, resumed, small, large } = figures;
    const { silenceSecondsMax, transport } = subject;
    const longest =
      silenceSecondsMax === undefined ? '0' : `${round(idleHour(figures, silenceSecondsMax))} (${silenceSecondsMax} s)`;
    const nat = Math.min(NAT_SECONDS[transport], silenceSecondsMax ?? Number.POSITIVE_INFINITY);
    const behindNat = figures.keepAlive === undefined ? '0' : `${round(idleHour(figures, nat))} (${nat} s)`;
    return `| ${subject.name} | ${subject.protection} | ${[first, resumed, small, large].map(cell).join(' | ')} | ${longest} | ${behindNat} |`;
  });
  return [
    '| way in | protection | first connect | resumed | message, 20 bytes | message, 200 bytes | idle hour at most silent | idle hour behind NAT |',
    '|---|---|---|---|---|---|---|---|',
    ...rows,
  ].join('\n');
}

function round(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** A day of a meter that says 20 bytes every 15 minutes: it stays reachable, or sleeps between. */
function pictureOf(all: readonly Figures[]): string {
  const count = 96;
  const bars = all.flatMap((figures) => {
    const { subject, first, resumed, small } = figures;
    const name = `${subject.name}, ${subject.protection === 'none' ? 'plain' : subject.protection}`;
    const nat = Math.min(NAT_SECONDS[subject.transport], subject.silenceSecondsMax ?? Number.POSITIVE_INFINITY);
    const kept = { label: `${name}, kept`, parts: [first.all, count * small.all, 24 * idleHour(figures, nat)] };
    // Datagrams need no connection, and what protects them outlives the device's sleep.
    const connects = subject.transport === 'udp' ? first.all : first.all + (count - 1) * (resumed ?? first).all;
    const asleep = { label: `${name}, asleep between`, parts: [connects, count * small.all, 0] };
    return figures.keepAlive === undefined ? [asleep] : [kept, asleep];
  });
  bars.sort((a, b) => sum(a.parts) - sum(b.parts));
  const title = 'Bytes of a day: a message of 20 bytes every 15 minutes';
  const note =
    'both ways, with TCP/IP or UDP/IP; "kept": reachable behind NAT at any time; "asleep between": connects for each message, resumed where it can be';
  return picture(title, note, ['connecting', 'messages', 'keeping it'], bars);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
