/** A chart of lines over time, drawn by uPlot in the colours of the page. */
import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { theme, zone } from '../preferences.ts';
import { useStore } from '../store.ts';
import { rateText } from '../text.ts';

export interface Line {
  readonly label: string;
  /** 1 to 5: a colour of the page. */
  readonly colour: number;
}

/** Seconds since 1970, and the values of each line. */
export type Columns = readonly ArrayLike<number | null>[];

export interface ChartSource {
  /** What is to be drawn now. */
  columns(): Columns;
  /** Calls `changed` when it has changed; the chart draws at its own pace. */
  follow(changed: () => void): () => void;
}

const DRAW_MS = 80;

export function Chart(props: {
  readonly label: string;
  readonly lines: readonly Line[];
  readonly source: ChartSource;
  readonly height?: number;
  readonly text?: (value: number) => string;
}) {
  const { lines, source, height = 180, text = rateText } = props;
  const place = useRef<HTMLDivElement>(null);
  const [look, where] = [useStore(theme), useStore(zone)];
  const scheme = useScheme();
  const shape = JSON.stringify(lines);
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    // The value of the variable may name two colours, of which a canvas knows nothing; what an element has is one.
    const colour = (name: string): string => {
      element.style.color = `var(--${name})`;
      const { color } = getComputedStyle(element);
      element.style.color = '';
      return color;
    };
    const axis = { stroke: colour('quiet'), grid: { stroke: colour('line'), width: 1 }, ticks: { show: false } };
    const chart = new uPlot(
      {
        width: Math.max(100, element.clientWidth),
        height,
        padding: [8, 26, 0, 0],
        cursor: { y: false, points: { size: 6 } },
        legend: { live: true },
        series: [
          { label: 'time', value: (_chart: uPlot, at: number | null) => (at === null ? '–' : clockText(at, 1, where)) },
          ...lines.map(({ label, colour: number }) => ({
            label,
            stroke: colour(`series-${number}`),
            width: 1.5,
            points: { show: false },
            value: (_chart: uPlot, value: number | null) => (value === null ? '–' : text(value)),
          })),
        ],
        axes: [
          {
            ...axis,
            size: 30,
            space: 80,
            values: (_chart, at, _axis, _space, step) => at.map((one) => clockText(one, step, where)),
          },
          { ...axis, size: 56, values: (_chart, values) => values.map((value) => text(value)) },
        ],
        scales: { y: { range: (_chart, low, high) => rangeOf(low, high) } },
      },
      source.columns() as unknown as uPlot.AlignedData,
      element,
    );
    let isDirty = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const draw = (): void => {
      timer = undefined;
      if (!isDirty || document.hidden) return;
      isDirty = false;
      chart.setData(source.columns() as unknown as uPlot.AlignedData);
    };
    const changed = (): void => {
      isDirty = true;
      timer ??= setTimeout(() => requestAnimationFrame(draw), DRAW_MS);
    };
    const end = source.follow(changed);
    const size = new ResizeObserver(() => chart.setSize({ width: Math.max(100, element.clientWidth), height }));
    size.observe(element);
    return () => {
      end();
      clearTimeout(timer);
      size.disconnect();
      chart.destroy();
    };
  }, [shape, source, height, look, scheme, where]);
  return <div ref={place} class="chart" role="img" aria-label={props.label} />;
}

/** Whether the system is dark now: what a canvas shows does not follow by itself. */
function useScheme(): boolean {
  const [isDark, setDark] = useState(() => darkSystem().matches);
  useEffect(() => {
    const system = darkSystem();
    const changed = (): void => setDark(system.matches);
    system.addEventListener('change', changed);
    return () => system.removeEventListener('change', changed);
  }, []);
  return isDark;
}

const darkSystem = (): MediaQueryList => matchMedia('(prefers-color-scheme: dark)');

const clocks = new Map<string, Intl.DateTimeFormat>();

/** A time of an axis whose marks are `step` seconds apart. */
function clockText(at: number, step: number, where: 'local' | 'utc'): string {
  const key = `${where} ${step >= 86_400 ? 'day' : step >= 60 ? 'minute' : 'second'}`;
  let clock = clocks.get(key);
  if (clock === undefined) {
    clock = new Intl.DateTimeFormat(undefined, {
      hourCycle: 'h23',
      ...(step >= 86_400 ? { day: 'numeric', month: 'short' } : { hour: '2-digit', minute: '2-digit' }),
      ...(step < 60 && { second: '2-digit' }),
      ...(where === 'utc' && { timeZone: 'UTC' }),
    });
    clocks.set(key, clock);
  }
  return clock.format(at * 1000);
}

/** From zero where that is near, else around the values; a line that does not move still has room. */
function rangeOf(low: number | null, high: number | null): [number, number] {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  if (low >= 0 && (low === high || low < (high - low) * 1.5)) return [0, high === 0 ? 1 : high * 1.1];
  const room = (high - low || Math.abs(high) || 1) * 0.1;
  return [low - room, high + room];
}

/** Columns that are given whole, each time anew. */
export function fixedSource(columns: Columns): ChartSource {
  return { columns: () => columns, follow: () => () => {} };
}

/** The newest points of lines over time, in memory that does not grow. */
export class Ring implements ChartSource {
  readonly pointsMax: number;
  readonly #times: Float64Array;
  readonly #values: Float64Array[];
  #count = 0;
  #at = 0;
  readonly #listeners = new Set<() => void>();

  constructor(lines: number, pointsMax = 10_000) {
    this.pointsMax = pointsMax;
    this.#times = new Float64Array(pointsMax);
    this.#values = Array.from({ length: lines }, () => new Float64Array(pointsMax));
  }

  get size(): number {
    return this.#count;
  }

  /** @param at UTC milliseconds */
  add(at: number, values: readonly (number | undefined)[]): void {
    this.#times[this.#at] = at / 1000;
    for (const [line, column] of this.#values.entries()) column[this.#at] = values[line] ?? Number.NaN;
    this.#at = (this.#at + 1) % this.pointsMax;
    this.#count = Math.min(this.#count + 1, this.pointsMax);
    for (const listener of this.#listeners) listener();
  }

  columns(): Columns {
    return [this.#times, ...this.#values].map((column) => this.#inOrder(column));
  }

  #inOrder(column: Float64Array): Float64Array | (number | null)[] {
    if (this.#count < this.pointsMax) return nulls(column.subarray(0, this.#count));
    const whole = new Float64Array(this.pointsMax);
    whole.set(column.subarray(this.#at), 0);
    whole.set(column.subarray(0, this.#at), this.pointsMax - this.#at);
    return nulls(whole);
  }

  follow(changed: () => void): () => void {
    this.#listeners.add(changed);
    return () => void this.#listeners.delete(changed);
  }
}

/** The last `ms` milliseconds before the newest point. */
export function lastOf(source: ChartSource, ms: number): ChartSource {
  return {
    columns() {
      const [times = [], ...values] = source.columns();
      const since = (times[times.length - 1] ?? 0) - ms / 1000;
      let from = times.length;
      while (from > 0 && (times[from - 1] ?? 0) >= since) from--;
      return [times, ...values].map((column) => Array.prototype.slice.call(column, from));
    },
    follow: (changed) => source.follow(changed),
  };
}

/** uPlot wants null where there is no value; a column without gaps stays as it is. */
function nulls(column: Float64Array): Float64Array | (number | null)[] {
  return column.some(Number.isNaN) ? Array.from(column, (value) => (Number.isNaN(value) ? null : value)) : column;
}
