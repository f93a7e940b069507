/**
 * What a device sends, as it comes. However many events there are, the page draws four times a second and keeps a bounded number;
 * what it leaves out it says.
 */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { Chart, lastOf, Ring } from '../../parts/chart.tsx';
import { Choices, download } from '../../parts/controls.tsx';
import { type EventForm, EventLine } from '../../parts/event-line.tsx';
import { Empty, Text } from '../../parts/words.tsx';
import { href } from '../../router.ts';
import { decoded, numbersOf, type TelemetryBatch, type TelemetryEvent, useTelemetry } from '../../telemetry.ts';
import { countText, rateText } from '../../text.ts';
import type { TabProps } from '../device.tsx';

const KEPT_MAX = 2000;
const SHOWN_MAX = 100;
const DRAW_MS = 250;
const CHARTS_MAX = 4;
const FIELDS_MAX = 24;
const RATE_MS = 5000;

/** Everything that has come since the tab was opened, as far as it is kept. */
class Arrivals {
  events: TelemetryEvent[] = [];
  count = 0;
  leftOut = 0;
  hasGaps = false;
  readonly fields = new Map<string, Ring>();
  /** When how many came, of the last seconds. */
  readonly #counts: (readonly [at: number, count: number])[] = [];

  take({ events, leftOut, skipped, recent }: TelemetryBatch): void {
    // Of those that the hub did not look at it is not known whose they are.
    const unseen = skipped ? 0 : leftOut;
    this.hasGaps ||= skipped;
    this.count += events.length + unseen;
    this.leftOut += unseen;
    if (!recent) this.#counts.push([performance.now(), events.length + unseen]);
    for (const event of events) {
      const { json } = decoded(event);
      if (json === undefined) continue;
      for (const [path, value] of numbersOf(json)) {
        let ring = this.fields.get(path);
        if (ring === undefined && this.fields.size < FIELDS_MAX) {
          ring = new Ring(1);
          this.fields.set(path, ring);
        }
        ring?.add(event.enqueuedTime, [value]);
      }
    }
    this.events.push(...events);
    if (this.events.length > KEPT_MAX * 1.5) this.events = this.events.slice(-KEPT_MAX);
  }

  /** Events per second, of the last seconds. */
  rate(): number {
    const since = performance.now() - RATE_MS;
    while ((this.#counts[0]?.[0] ?? since) < since) this.#counts.shift();
    return this.#counts.reduce((sum, [, count]) => sum + count, 0) / (RATE_MS / 1000);
  }
}

interface Shown {
  readonly events: readonly TelemetryEvent[];
  readonly count: number;
  readonly leftOut: number;
  readonly hasGaps: boolean;
  readonly rate: number;
  readonly fields: readonly string[];
  /** Came since the list stays as it is. */
  readonly newer: number;
}

const nothing: Shown = { events: [], count: 0, leftOut: 0, hasGaps: false, rate: 0, fields: [], newer: 0 };

/** What the list stays at, while charts and counts go on. */
interface Held {
  readonly events: readonly TelemetryEvent[];
  readonly count: number;
}

export function TelemetryTab({ device }: TabProps) {
  const arrivals = useRef<Arrivals>(undefined);
  arrivals.current ??= new Arrivals();
  const all = arrivals.current;
  const [shown, setShown] = useState<Shown>(nothing);
  const [isPaused, setPaused] = useState(false);
  const [filter, setFilter] = useState('');
  const [form, setForm] = useState<EventForm>('json');
  const [open, setOpen] = useState<TelemetryEvent>();
  const [held, setHeld] = useState<Held>();
  const stay = (): void => setHeld({ events: [...all.events], count: all.count });
  useTelemetry(device.deviceId, (batch) => all.take(batch));
  useEffect(() => {
    if (isPaused) return;
    const draw = (): void => {
      if (document.hidden) return;
      setShown({
        events: newest(held?.events ?? all.events, filter),
        count: all.count,
        leftOut: all.leftOut,
        hasGaps: all.hasGaps,
        rate: all.rate(),
        fields: [...all.fields.keys()],
        newer: held === undefined ? 0 : all.count - held.count,
      });
    };
    draw();
    const timer = setInterval(draw, DRAW_MS);
    return () => clearInterval(timer);
  }, [isPaused, filter, held, all]);

  const save = (): void => {
    const lines = all.events.filter((event) => matches(event, filter)).map((event) => JSON.stringify(exported(event)));
    download(`${fileName(device.deviceId)}-telemetry.jsonl`, [`${lines.join('\n')}\n`], 'application/jsonl');
  };
  if (shown.count === 0) {
    return (
      <div class="card">
        <Empty title="No message since this page was opened">
          <p>What the device sends appears here as soon as the hub has stored it.</p>
          <a class="button" href={href('/device', { id: device.deviceId, tab: 'connect' })}>
            Let it send
          </a>
        </Empty>
      </div>
    );
  }
  return (
    <div class="stack">
      <Fields names={shown.fields} arrivals={all} isPaused={isPaused} />
      <section class="card stack" aria-label="Messages">
        <div class="row">
          <button type="button" aria-pressed={isPaused} onClick={() => setPaused(!isPaused)}>
            {isPaused ? 'Go on' : 'Pause'}
          </button>
          <input
            type="search"
            class="grow"
            aria-label="Show messages that contain"
            placeholder="Show messages that contain …"
            value={filter}
            onInput={(event) => setFilter(event.currentTarget.value)}
          />
          <Choices<EventForm>
            label="How bodies are shown"
            value={form}
            choices={[
              { value: 'json', label: 'Tree' },
              { value: 'text', label: 'Raw' },
              { value: 'hex', label: 'Bytes' },
            ]}
            choose={setForm}
          />
          <Choices<'follow' | 'stay'>
            label="Which messages are listed"
            value={held === undefined ? 'follow' : 'stay'}
            choices={[
              { value: 'follow', label: 'Follow newest' },
              { value: 'stay', label: 'Stay here' },
            ]}
            choose={(value) => (value === 'stay' ? stay() : setHeld(undefined))}
          />
          <button type="button" onClick={save}>
            Download
          </button>
        </div>
        <p class="quiet small numeric">
          {shown.newer > 0 && `${countText(shown.newer)} newer than those listed; `}
          {countText(shown.count)} messages, {rateText(shown.rate)} per second
          {shown.leftOut > 0 && `; ${countText(shown.leftOut)} were left out, because more came than a page can show`}
          {shown.hasGaps && '; and some that the hub could not look at, because its devices sent too much'}
          {shown.count > SHOWN_MAX &&
            `; the newest ${SHOWN_MAX} are listed, the newest ${countText(KEPT_MAX)} kept for the download`}
        </p>
        <div class="events">
          {shown.events.map((event) => (
            <EventLine
              key={`${event.partition}/${event.sequenceNumber}`}
              event={event}
              form={form}
              isOpen={open === event}
              toggle={() => {
                // It would move away while it is read.
                setOpen(open === event ? undefined : event);
                if (open !== event && held === undefined) stay();
              }}
            />
          ))}
          {shown.events.length === 0 && <p class="quiet">None of the kept messages contains this.</p>}
        </div>
      </section>
    </div>
  );
}

function newest(events: readonly TelemetryEvent[], filter: string): readonly TelemetryEvent[] {
  const found: TelemetryEvent[] = [];
  for (let at = events.length - 1; at >= 0 && found.length < SHOWN_MAX; at--) {
    const event = events[at] as TelemetryEvent;
    if (matches(event, filter)) found.push(event);
  }
  return found;
}

function matches(event: TelemetryEvent, filter: string): boolean {
  if (filter === '') return true;
  const wanted = filter.toLowerCase();
  if (decoded(event).text?.toLowerCase().includes(wanted)) return true;
  return event.properties.some(([name, value]) => `${name}=${value}`.toLowerCase().includes(wanted));
}

function exported(event: TelemetryEvent): object {
  const { body, bodyEncoding, enqueuedTime, ...rest } = event;
  const { text, json } = decoded(event);
  const shown = json !== undefined ? { body: json } : text !== undefined ? { bodyText: text } : { bodyBase64: body };
  void bodyEncoding;
  return { ...rest, time: new Date(enqueuedTime).toISOString(), ...shown };
}

/** An id as part of a file's name. */
const fileName = (id: string): string => id.replace(/[^A-Za-z0-9._-]/g, '_').replace(/^\.+/, '_');

/** How far back the charts show; of what came since the page was opened. */
type Span = 'minute' | 'five' | 'hour' | 'all';
const spanMs: Readonly<Record<Span, number>> = {
  minute: 60_000,
  five: 300_000,
  hour: 3_600_000,
  all: Number.POSITIVE_INFINITY,
};

/** Numbers of the bodies as charts; the user chooses which, and how far back. */
function Fields(props: { readonly names: readonly string[]; readonly arrivals: Arrivals; readonly isPaused: boolean }) {
  const { names, arrivals, isPaused } = props;
  const [off, setOff] = useState<ReadonlySet<string>>(new Set());
  const [span, setSpan] = useState<Span>('all');
  const on = names.filter((name) => !off.has(name)).slice(0, CHARTS_MAX);
  if (names.length === 0) return null;
  const toggle = (name: string): void => {
    const next = new Set(off);
    if (!next.delete(name)) next.add(name);
    setOff(next);
  };
  return (
    <section class="stack tight" aria-label="Charts of numbers">
      <div class="row">
        <div class="row" role="group" aria-label="Fields to draw">
          {names.map((name) => (
            <button key={name} type="button" class="chip" aria-pressed={on.includes(name)} onClick={() => toggle(name)}>
              <Text value={name} />
            </button>
          ))}
        </div>
        <span class="push">
          <Choices<Span>
            label="How far back the charts show"
            value={span}
            choices={[
              { value: 'minute', label: '1 min' },
              { value: 'five', label: '5 min' },
              { value: 'hour', label: '1 h' },
              { value: 'all', label: 'All' },
            ]}
            choose={setSpan}
          />
        </span>
      </div>
      <div class="grid fields">
        {on.map((name, at) => (
          <FieldChart
            key={name}
            name={name}
            colour={(at % 5) + 1}
            ring={arrivals.fields.get(name)}
            spanMs={spanMs[span]}
            isPaused={isPaused}
          />
        ))}
      </div>
    </section>
  );
}

function FieldChart(props: {
  readonly name: string;
  readonly colour: number;
  readonly ring: Ring | undefined;
  readonly spanMs: number;
  readonly isPaused: boolean;
}) {
  const { name, colour, ring, spanMs, isPaused } = props;
  const lines = useMemo(() => [{ label: 'value', colour }], [colour]);
  const source = useMemo(() => {
    const all = ring === undefined || spanMs === Number.POSITIVE_INFINITY ? ring : lastOf(ring, spanMs);
    if (all === undefined || !isPaused) return all;
    const columns = all.columns();
    return { columns: () => columns, follow: () => () => {} };
  }, [ring, spanMs, isPaused]);
  if (source === undefined) return null;
  return (
    <figure class="card">
      <h3>
        <Text value={name} />
      </h3>
      <Chart label={`Chart of ${name}`} lines={lines} source={source} height={140} />
    </figure>
  );
}
