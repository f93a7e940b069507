/** Charts of the hub: the past that it keeps, and behind it what comes while the page is open. */
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { ask } from '../../api.ts';
import { Chart, type ChartSource, type Columns } from '../../parts/chart.tsx';
import { Failure, useAnswer } from '../../parts/words.tsx';
import { rateText } from '../../text.ts';
import type { History, Stats, Values } from './stats.ts';

export const spans = [
  { value: 'hour', label: 'Hour', ms: 3_600_000 },
  { value: 'day', label: 'Day', ms: 86_400_000 },
  { value: 'week', label: 'Week', ms: 604_800_000 },
] as const;
export type Span = (typeof spans)[number]['value'];

const msText = (value: number): string => `${rateText(value)} ms`;

const charts: readonly {
  readonly label: string;
  readonly lines: readonly { readonly label: string; readonly colour: number; readonly value: keyof Values }[];
  readonly text: (value: number) => string;
}[] = [
  {
    label: 'Messages per second',
    lines: [
      { label: 'in', colour: 1, value: 'messagesIn' },
      { label: 'out', colour: 3, value: 'messagesOut' },
    ],
    text: rateText,
  },
  { label: 'Connected devices', lines: [{ label: 'devices', colour: 4, value: 'connected' }], text: rateText },
  {
    label: 'Time until a message is stored',
    lines: [
      { label: 'half of them', colour: 1, value: 'latencyP50' },
      { label: '99 of 100', colour: 2, value: 'latencyP99' },
    ],
    text: msText,
  },
  { label: 'Refusals per second', lines: [{ label: 'refused', colour: 5, value: 'refused' }], text: rateText },
];

const POINTS = 360;
const LIVE_MAX = 3600;
type Row = readonly (number | null)[];

/** One chart's rows: time in seconds, then its values. */
class Behind implements ChartSource {
  readonly #names: readonly (keyof Values)[];
  readonly #ms: number;
  #past: readonly Row[] = [];
  #live: Row[] = [];
  readonly #listeners = new Set<() => void>();

  constructor(names: readonly (keyof Values)[], ms: number) {
    this.#names = names;
    this.#ms = ms;
  }

  begin({ from, stepMs, series }: History): void {
    const count = series[this.#names[0] as keyof Values].length;
    this.#past = Array.from({ length: count }, (_none, at) => [
      (from + at * stepMs) / 1000,
      ...this.#names.map((name) => series[name][at] ?? null),
    ]);
    // Steps that are not over yet have no value: the line goes on to what is told live.
    const last = this.#past.findLastIndex((row) => row.some((value, column) => column > 0 && value !== null));
    this.#past = this.#past.slice(0, last + 1);
    const end = this.#past.at(-1)?.[0] ?? 0;
    this.#live = this.#live.filter(([time]) => (time ?? 0) > end);
    this.#tell();
  }

  add(stats: Stats): void {
    this.#live.push([stats.time / 1000, ...this.#names.map((name) => stats[name])]);
    if (this.#live.length > LIVE_MAX * 1.2) this.#live = this.#live.slice(-LIVE_MAX);
    this.#tell();
  }

  columns(): Columns {
    const since = (Date.now() - this.#ms) / 1000;
    const all = [...this.#past, ...this.#live].filter(([time]) => (time ?? 0) >= since);
    // A hub that has just been started has no past: the chart begins with what is known.
    const first = all.findIndex((row) => row.some((value, column) => column > 0 && value !== null));
    const rows = all.slice(Math.max(0, first));
    return [0, ...this.#names].map((_name, column) => rows.map((row) => row[column] ?? null));
  }

  follow(changed: () => void): () => void {
    this.#listeners.add(changed);
    return () => void this.#listeners.delete(changed);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

export function Charts({ ms, stats }: { readonly ms: number; readonly stats: Stats | undefined }) {
  const sources = useMemo(
    () =>
      charts.map(
        ({ lines }) =>
          new Behind(
            lines.map(({ value }) => value),
            ms,
          ),
      ),
    [ms],
  );
  const history = useAnswer(`history ${ms}`, async (signal) => {
    const now = Date.now();
    const query = { from: String(now - ms), to: String(now), points: String(POINTS) };
    const { data } = await ask<History>('GET', '/portal/history', { query, signal });
    for (const source of sources) source.begin(data);
    return data;
  });
  const last = useRef<Stats>(undefined);
  useEffect(() => {
    if (stats === undefined || last.current === stats) return;
    last.current = stats;
    for (const source of sources) source.add(stats);
  }, [stats, sources]);
  return (
    <section class="stack" aria-label="Charts">
      <Failure error={history.error} again={history.again} />
      <div class="grid wide">
        {charts.map(({ label, lines, text }, at) => (
          <figure key={label} class="card">
            <h2>{label}</h2>
            <Chart label={label} lines={lines} source={sources[at] as ChartSource} text={text} height={170} />
          </figure>
        ))}
      </div>
    </section>
  );
}
