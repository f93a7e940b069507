/** The whole hub at a glance: what flows, what is wrong, and what to do about it. */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { ask } from '../api.ts';
import { Chart, type ChartSource, type Columns } from '../parts/chart.tsx';
import { Choices } from '../parts/controls.tsx';
import { type MonitoringEvent, MonitoringLine } from '../parts/monitoring.tsx';
import { Badge, Empty, Failure, type Mood, useAnswer } from '../parts/words.tsx';
import { go, href, usePlace } from '../router.ts';
import { followTopic } from '../stream.ts';
import { bytesText, countText, rateText } from '../text.ts';

interface Overview {
  readonly health: {
    readonly ready: boolean;
    readonly status: 'ok' | 'warn' | 'fail';
    readonly checks: readonly {
      readonly name: string;
      readonly status: 'ok' | 'warn' | 'fail';
      readonly reason?: string;
      readonly remedy?: string;
    }[];
  };
  readonly devices: {
    readonly total: number;
    readonly enabled: number;
    readonly disabled: number;
    readonly connected: number;
  };
  readonly disk?: { readonly freeBytes: number; readonly totalBytes: number; readonly eventsBytes?: number } | null;
  readonly retention?: { readonly days?: number; readonly monitoringDays?: number; readonly bytes?: number } | null;
}

/** What happens now; each is null where the hub does not know it. */
export interface Stats {
  readonly time: number;
  readonly connected: number | null;
  readonly inPerSecond: number | null;
  readonly outPerSecond: number | null;
  readonly refusedPerSecond: number | null;
  readonly latencyMs: number | null;
}

interface History {
  readonly stepSeconds: number;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (number | null)[])[];
}

const spans = [
  { value: 'hour', label: 'Hour', ms: 3_600_000 },
  { value: 'day', label: 'Day', ms: 86_400_000 },
  { value: 'week', label: 'Week', ms: 604_800_000 },
] as const;
type Span = (typeof spans)[number]['value'];

const LIVE_POINTS_MAX = 3600;
const EVENTS_SHOWN = 12;
const REFRESH_MS = 10_000;

const charts = [
  {
    label: 'Messages per second',
    lines: [
      { label: 'in', colour: 1, column: 'inPerSecond' },
      { label: 'out', colour: 3, column: 'outPerSecond' },
    ],
    text: rateText,
  },
  { label: 'Connected devices', lines: [{ label: 'devices', colour: 4, column: 'connected' }], text: rateText },
  {
    label: 'Time until a message is stored',
    lines: [{ label: 'ms', colour: 2, column: 'latencyMs' }],
    text: (value: number) => `${rateText(value)} ms`,
  },
  {
    label: 'Refusals per second',
    lines: [{ label: 'refused', colour: 5, column: 'refusedPerSecond' }],
    text: rateText,
  },
] as const;

export function Overview() {
  const { query } = usePlace();
  const span = spans.find(({ value }) => value === query.get('span')) ?? spans[0];
  const overview = useAnswer(
    'overview',
    async (signal) => (await ask<Overview>('GET', '/portal/overview', { signal })).data,
  );
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) overview.again();
    }, REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  const stats = useStats();
  const { data, error } = overview;
  return (
    <>
      <div class="head">
        <div class="row">
          <h1 tabIndex={-1}>Overview</h1>
          {data && <HealthBadge status={data.health.status} />}
        </div>
        <Choices<Span>
          label="Time span of the charts"
          value={span.value}
          choices={spans}
          choose={(value) => go(href('/', { span: value === 'hour' ? undefined : value }))}
        />
      </div>
      <Failure error={error} again={overview.again} />
      {data?.devices.total === 0 && (
        <div class="card">
          <Empty title="This hub has no device yet">
            <p>Make one, and see its first message within a minute.</p>
            <a class="button primary" href="/first-run">
              Connect a device
            </a>
          </Empty>
        </div>
      )}
      <Tiles data={data} stats={stats} />
      {data && <Health checks={data.health.checks} />}
      <Charts ms={span.ms} stats={stats} key={span.value} />
      <Happenings />
    </>
  );
}

function useStats(): Stats | undefined {
  const [stats, setStats] = useState<Stats>();
  useEffect(() => followTopic('stats', (_name, data) => setStats(data as Stats)), []);
  return stats;
}

const moods = { ok: 'ok', warn: 'warn', fail: 'bad' } as const satisfies Record<string, Mood>;
const healthWords = { ok: 'all well', warn: 'needs a look', fail: 'failing' } as const;

function HealthBadge({ status }: { readonly status: 'ok' | 'warn' | 'fail' }) {
  return <Badge mood={moods[status]}>{healthWords[status]}</Badge>;
}

function Tiles({ data, stats }: { readonly data: Overview | undefined; readonly stats: Stats | undefined }) {
  const rate = (value: number | null | undefined): string =>
    value === undefined || value === null ? '–' : rateText(value);
  const connected = stats?.connected ?? data?.devices.connected;
  const disk = data?.disk;
  return (
    <div class="tiles">
      <Tile name="Connected" value={connected === undefined || connected === null ? '–' : countText(connected)}>
        {data && `of ${countText(data.devices.total)} devices`}
        {data && data.devices.disabled > 0 && `, ${countText(data.devices.disabled)} disabled`}
      </Tile>
      <Tile name="Messages in" value={rate(stats?.inPerSecond)}>
        per second
      </Tile>
      <Tile name="Messages out" value={rate(stats?.outPerSecond)}>
        per second, to readers
      </Tile>
      <Tile name="Stored within" value={rate(stats?.latencyMs)}>
        ms, the last seconds
      </Tile>
      <Tile name="Refused" value={rate(stats?.refusedPerSecond)}>
        per second
      </Tile>
      <Tile name="Disk free" value={disk ? bytesText(disk.freeBytes) : '–'}>
        {disk && `of ${bytesText(disk.totalBytes)}`}
        {disk?.eventsBytes !== undefined && `, events ${bytesText(disk.eventsBytes)}`}
        {data?.retention?.days !== undefined && `, kept ${data.retention.days} days`}
      </Tile>
    </div>
  );
}

function Tile(props: { readonly name: string; readonly value: string; readonly children?: preact.ComponentChildren }) {
  return (
    <div class="card tile">
      <span class="quiet small">{props.name}</span>
      <strong class="numeric">{props.value}</strong>
      <span class="quiet small">{props.children}</span>
    </div>
  );
}

function Health({ checks }: { readonly checks: Overview['health']['checks'] }) {
  const bad = checks.filter(({ status }) => status !== 'ok');
  if (bad.length === 0) return null;
  return (
    <section class="stack" aria-label="Health">
      {bad.map(({ name, status, reason, remedy }) => (
        <div key={name} class={`note ${moods[status]}`}>
          <p>
            <strong>{name}</strong>: {reason}
          </p>
          {remedy !== undefined && <p>{remedy}</p>}
        </div>
      ))}
    </section>
  );
}

/** The history that the hub keeps, and behind it what has come since, as long as the page is open. */
class Behind implements ChartSource {
  readonly names: readonly string[];
  readonly ms: number;
  #rows: (readonly (number | null)[])[] = [];
  readonly #listeners = new Set<() => void>();

  constructor(names: readonly string[], ms: number) {
    this.names = names;
    this.ms = ms;
  }

  begin(history: History): void {
    const at = ['time', ...this.names].map((name) => history.columns.indexOf(name));
    const last = this.#rows;
    const rows = history.rows.map((row) => at.map((column) => (column < 0 ? null : (row[column] ?? null))));
    const end = rows.at(-1)?.[0] ?? 0;
    this.#rows = [...rows, ...last.filter(([time]) => (time ?? 0) > end)];
    this.#tell();
  }

  add(stats: Stats): void {
    const row = ['time', ...this.names].map(
      (name) => (stats as unknown as Record<string, number | null>)[name] ?? null,
    );
    const since = stats.time - this.ms;
    this.#rows.push(row);
    if (this.#rows.length > LIVE_POINTS_MAX || (this.#rows[0]?.[0] ?? 0) < since) {
      this.#rows = this.#rows.filter(([time]) => (time ?? 0) >= since).slice(-LIVE_POINTS_MAX);
    }
    this.#tell();
  }

  columns(): Columns {
    return ['time', ...this.names].map((_name, column) =>
      this.#rows.map((row) => (column === 0 ? (row[0] ?? 0) / 1000 : (row[column] ?? null))),
    );
  }

  follow(changed: () => void): () => void {
    this.#listeners.add(changed);
    return () => void this.#listeners.delete(changed);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

function Charts({ ms, stats }: { readonly ms: number; readonly stats: Stats | undefined }) {
  const sources = useMemo(
    () =>
      charts.map(
        ({ lines }) =>
          new Behind(
            lines.map(({ column }) => column),
            ms,
          ),
      ),
    [ms],
  );
  const history = useAnswer(`history ${ms}`, async (signal) => {
    const to = Date.now();
    const { data } = await ask<History>('GET', '/portal/history', {
      query: { from: String(to - ms), to: String(to) },
      signal,
    });
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

/** The last things that happened between devices and the hub. */
function Happenings() {
  const [events, setEvents] = useState<readonly MonitoringEvent[]>([]);
  const recent = useAnswer(
    'recent',
    async (signal) =>
      (
        await ask<{ events: readonly MonitoringEvent[] }>('GET', '/portal/monitoring', {
          query: { limit: '12' },
          signal,
        })
      ).data,
  );
  useEffect(() => {
    // Many come at once when a fleet reconnects: the page draws four times a second.
    let fresh: MonitoringEvent[] = [];
    const end = followTopic('monitoring', (_name, data) => {
      fresh.push(data as MonitoringEvent);
      if (fresh.length > EVENTS_SHOWN) fresh.shift();
    });
    const timer = setInterval(() => {
      if (fresh.length === 0) return;
      const added = fresh.reverse();
      fresh = [];
      setEvents((before) => [...added, ...before].slice(0, EVENTS_SHOWN));
    }, 250);
    return () => {
      end();
      clearInterval(timer);
    };
  }, []);
  const shown = [...events, ...(recent.data?.events ?? [])].slice(0, EVENTS_SHOWN);
  return (
    <section class="card">
      <h2>What happened last</h2>
      {shown.length === 0 ? (
        <p class="quiet">Nothing yet. Connections, refusals and changes of devices appear here as they happen.</p>
      ) : (
        <ul class="timeline">
          {shown.map((event, at) => (
            <MonitoringLine key={`${event.time} ${event.sequenceNumber ?? at} ${event.type}`} event={event} link />
          ))}
        </ul>
      )}
    </section>
  );
}
