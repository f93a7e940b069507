/** The whole hub at a glance: what flows, what is wrong, and what to do about it. */
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { api } from '../api.ts';
import { Choices } from '../parts/controls.tsx';
import type { Mood } from '../parts/mood.ts';
import { Badge, Empty, Failure, useAnswer } from '../parts/words.tsx';
import { go, href, usePlace } from '../router.ts';
import { useMay } from '../session.ts';
import { followTopic } from '../stream.ts';
import { bytesText, countText, rateText } from '../text.ts';
import { Charts, type Span, spans } from './overview/charts.tsx';
import { Happenings } from './overview/happenings.tsx';
import type { Health, Stats } from './overview/stats.ts';
import { Worst } from './overview/worst.tsx';

interface Totals {
  readonly totalDeviceCount: number;
  readonly disabledDeviceCount: number;
}

const COUNT_MS = 10_000;

export function Overview() {
  const mayRead = useMay('RegistryRead');
  if (!mayRead) {
    return (
      <>
        <h1 tabIndex={-1}>Overview</h1>
        <p class="note">Your policy may not look at the hub as a whole (RegistryRead).</p>
      </>
    );
  }
  return <Whole />;
}

function Whole() {
  const { query } = usePlace();
  const span = spans.find(({ value }) => value === query.get('span')) ?? spans[0];
  const totals = useAnswer(
    'totals',
    async (signal) => (await api<Totals>('GET', '/statistics/devices', { signal })).data,
  );
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) totals.again();
    }, COUNT_MS);
    return () => clearInterval(timer);
  }, []);
  const stats = useStats();
  return (
    <>
      <div class="head">
        <div class="row">
          <h1 tabIndex={-1}>Overview</h1>
          {stats && <Badge mood={moods[stats.status]}>{healthWords[stats.status]}</Badge>}
        </div>
        <Choices<Span>
          label="Time span of the charts"
          value={span.value}
          choices={spans}
          choose={(value) => go(href('/', { span: value === 'hour' ? undefined : value }))}
        />
      </div>
      <Failure error={totals.error} again={totals.again} />
      {totals.data?.totalDeviceCount === 0 && (
        <div class="card">
          <Empty title="This hub has no device yet">
            <p>Make one, and see its first message within a minute.</p>
            <a class="button primary" href="/first-run">
              Connect a device
            </a>
          </Empty>
        </div>
      )}
      <Tiles totals={totals.data} stats={stats} />
      {stats && <Checks checks={stats.checks} />}
      <Charts ms={span.ms} stats={stats} key={span.value} />
      <Worst />
      <Happenings />
    </>
  );
}

function useStats(): Stats | undefined {
  const [stats, setStats] = useState<Stats>();
  useEffect(
    () =>
      followTopic('overview', (data, name) => {
        if (name === 'overview') setStats(data as Stats);
      }),
    [],
  );
  return stats;
}

const moods = { ok: 'ok', warn: 'warn', fail: 'bad' } as const satisfies Record<string, Mood>;
const healthWords = { ok: 'all well', warn: 'needs a look', fail: 'failing' } as const;

function Tiles({ totals, stats }: { readonly totals: Totals | undefined; readonly stats: Stats | undefined }) {
  const rate = (value: number | null | undefined): string => (value == null ? '–' : rateText(value));
  return (
    <div class="tiles">
      <Tile name="Connected" value={stats?.connected == null ? '–' : countText(stats.connected)}>
        {totals && `of ${countText(totals.totalDeviceCount)} ${totals.totalDeviceCount === 1 ? 'device' : 'devices'}`}
        {totals && totals.disabledDeviceCount > 0 && `, ${countText(totals.disabledDeviceCount)} disabled`}
      </Tile>
      <Tile name="Messages in" value={rate(stats?.messagesIn)}>
        per second{stats?.bytesIn ? `, ${bytesText(Math.round(stats.bytesIn))}` : ''}
      </Tile>
      <Tile name="Messages out" value={rate(stats?.messagesOut)}>
        per second, to readers
      </Tile>
      <Tile name="Stored within" value={stats?.latencyP99 == null ? '–' : `${rateText(stats.latencyP99)} ms`}>
        99 of 100 messages
      </Tile>
      <Tile name="Refused" value={rate(stats?.refused)}>
        per second
      </Tile>
      <Tile name="Disk" value={stats?.diskUsed == null ? '–' : bytesText(stats.diskUsed)}>
        {stats?.diskFree != null && `used, ${bytesText(stats.diskFree)} free`}
      </Tile>
      <Tile name="Events kept" value={stats?.retentionDays === undefined ? '–' : daysText(stats.retentionDays)}>
        {stats?.oldestEventTime != null && `oldest ${agoText(stats.time - stats.oldestEventTime)}`}
        {stats?.oldestEventTime === null && 'none yet'}
      </Tile>
    </div>
  );
}

const daysText = (days: number): string => `${countText(days)} ${days === 1 ? 'day' : 'days'}`;

function agoText(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return 'less than a minute ago';
  if (minutes < 120) return `${minutes} ${minutes === 1 ? 'minute' : 'minutes'} ago`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} hours ago` : `${countText(Math.floor(hours / 24))} days ago`;
}

function Tile(props: { readonly name: string; readonly value: string; readonly children?: ComponentChildren }) {
  return (
    <div class="card tile">
      <span class="quiet small">{props.name}</span>
      <strong class="numeric">{props.value}</strong>
      <span class="quiet small">{props.children}</span>
    </div>
  );
}

/** What is not well, and what to do. */
function Checks({ checks }: { readonly checks: Health['checks'] }) {
  const bad = checks.filter(({ status }) => status !== 'ok');
  if (bad.length === 0) return null;
  return (
    <section class="stack tight" aria-label="Health">
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
