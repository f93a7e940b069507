/** Draws the results in `bench/results` for `docs/performance.md`: one bar per server, a line from the worst to the best round. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { figure, type Spread, spread } from './report.ts';

interface Bar {
  readonly label: string;
  readonly value: Spread;
}

type Rounds = Readonly<Record<string, readonly Readonly<Record<string, number>>[]>>;

interface Result {
  readonly bench: string;
  readonly when: string;
  readonly revision: string;
  readonly settings: { readonly tls: boolean; readonly ratePerSecond?: number; readonly events?: number };
  /** telemetry-out */
  readonly rounds?: Rounds;
  /** telemetry-in */
  readonly results?: readonly {
    readonly shape: { readonly connections: number; readonly inFlight: number; readonly payloadBytes: number };
    readonly rounds: Rounds;
  }[];
}

const WIDTH = 760;
const LABEL_WIDTH = 150;
const VALUE_WIDTH = 200;
const ROW_HEIGHT = 30;
const HEAD_HEIGHT = 46;

const root = path.dirname(import.meta.dirname);
const results = path.join(root, 'bench/results');
const target = path.join(root, 'docs/performance');

mkdirSync(target, { recursive: true });
for (const name of readdirSync(results).filter((file) => file.endsWith('.json'))) {
  const result = JSON.parse(readFileSync(path.join(results, name), 'utf8')) as Result;
  for (const [at, plot] of plotsOf(result).entries()) {
    const file = path.join(target, `${path.basename(name, '.json')}${at === 0 ? '' : `-${at + 1}`}.svg`);
    writeFileSync(file, plot);
    process.stdout.write(`${path.relative(root, file)}\n`);
  }
}

function plotsOf(result: Result): readonly string[] {
  if (result.bench !== 'telemetry-in' && result.bench !== 'telemetry-out') return [];
  const { bench, when, revision, settings, rounds, results: shapes } = result;
  const way = settings.tls ? ', TLS' : '';
  const source = `${when.slice(0, 10)}, ${revision}`;
  if (bench === 'telemetry-out' && rounds !== undefined) {
    const title = `Events read per CPU second of the server${way}`;
    return [draw(title, source, barsOf(rounds, 'perServerCpuSecond'))];
  }
  if (shapes === undefined) return [];
  return shapes.map(({ shape: { connections, inFlight, payloadBytes }, rounds: of }) => {
    const load = `${connections} connections x ${inFlight} in flight x ${payloadBytes} bytes${way}`;
    if (settings.ratePerSecond === undefined) {
      return draw(`Messages per CPU second of the server: ${load}`, source, barsOf(of, 'perServerCpuSecond'));
    }
    return draw(`Cores at ${settings.ratePerSecond} messages/s: ${load}`, source, barsOf(of, 'serverCores'));
  });
}

function barsOf(rounds: Rounds, key: string): readonly Bar[] {
  return Object.entries(rounds).map(([label, of]) => ({ label, value: spread(of.map((round) => round[key])) }));
}

function draw(title: string, source: string, bars: readonly Bar[]): string {
  const height = HEAD_HEIGHT + bars.length * ROW_HEIGHT + 8;
  const most = Math.max(...bars.map(({ value }) => value.max));
  const scale = (value: number): number => (value / most) * (WIDTH - LABEL_WIDTH - VALUE_WIDTH);
  const rows = bars.map(({ label, value }, row) => {
    const top = HEAD_HEIGHT + row * ROW_HEIGHT;
    const middle = top + ROW_HEIGHT / 2;
    const [from, to] = [LABEL_WIDTH + scale(value.min), LABEL_WIDTH + scale(value.max)];
    return [
      `<text x="${LABEL_WIDTH - 8}" y="${middle + 4}" text-anchor="end">${escaped(label)}</text>`,
      `<rect x="${LABEL_WIDTH}" y="${top + 5}" width="${scale(value.median).toFixed(1)}" height="${ROW_HEIGHT - 10}" fill="${row === 0 ? '#2f6f9f' : '#a9b7c2'}"/>`,
      `<line x1="${from.toFixed(1)}" x2="${to.toFixed(1)}" y1="${middle}" y2="${middle}" stroke="#222" stroke-width="1.5"/>`,
      `<text x="${(Math.max(to, LABEL_WIDTH + scale(value.median)) + 8).toFixed(1)}" y="${middle + 4}">${figure(value.median)} (${figure(value.min)}..${figure(value.max)})</text>`,
    ].join('\n');
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12" fill="#222">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text x="8" y="18" font-size="14">${escaped(title)}</text>`,
    `<text x="8" y="35" fill="#666">median of the rounds, line = worst to best; ${escaped(source)}</text>`,
    ...rows,
    '</svg>\n',
  ].join('\n');
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
