/** What enrichments add to events on their way to endpoints. */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { RoutedEvent, RoutedRecord } from './ports.ts';
import type { TwinLoader } from './twin-cache.ts';
import type { RouteSet } from './types.ts';

/** Whose event the record is that lies from `start` to `end`; undefined = nobody's. */
export type SenderReader = (bytes: Buffer, start: number, end: number) => IdentityKey | undefined;

export interface EnrichmentsParts {
  /** The routes in force. */
  current(): RouteSet;
  readonly hubName: string;
  readonly senderOf: SenderReader;
  readonly loadTwin: TwinLoader;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Told of events that would be too large with their enrichments, and go without them. */
  leftOut(endpoint: string, events: number): void;
}

export interface Enrichments {
  /**
   * The records with what is added to them for an endpoint: all, or the first ones where what is added is much; one at least.
   * @throws Error (rejection) a twin that is asked for cannot be read now: to be tried again
   */
  enriched(endpoint: string, records: readonly RoutedRecord[]): Promise<readonly RoutedEvent[]>;
}

/** A value that is the same for all events, or where it stands in the twin of each event's sender. */
interface Added {
  readonly key: string;
  /** Of a path: its text, which is added where it leads nowhere, as the emulated service does. */
  readonly text: string;
  readonly path?: readonly string[];
}

interface Kept {
  readonly twin: object | undefined;
  /** By the monotonic clock. */
  readonly readAt: number;
}

/** What is added to the events of one sender. */
interface Addition {
  readonly enrichments: RoutedEvent['enrichments'];
  /** In UTF-8, of keys and values. */
  readonly bytes: number;
}

const NOTHING: RoutedEvent['enrichments'] = [];

export function createEnrichments(parts: EnrichmentsParts): Enrichments {
  const { current, hubName, senderOf, loadTwin, clock } = parts;
  let set: RouteSet | undefined;
  const plans = new Map<string, readonly Added[]>();
  /** The one that was read longest ago first. */
  const kept = new Map<string, Kept>();

  const planOf = (endpoint: string): readonly Added[] => {
    const now = current();
    if (now !== set) plans.clear();
    set = now;
    const name = endpoint.toLowerCase();
    let plan = plans.get(name);
    if (plan === undefined) {
      const own = now.enrichments.filter(({ endpoints }) => endpoints.some((each) => each.toLowerCase() === name));
      plan = own.map(({ key, value }) => addedOf(key, value, hubName));
      plans.set(name, plan);
    }
    return plan;
  };

  const read = async (key: IdentityKey, name: string): Promise<object | undefined> => {
    const found = kept.get(name);
    if (found !== undefined && clock.monotonic() - found.readAt <= limits.routeTwinAgeMs) return found.twin;
    const twin = await loadTwin(key);
    kept.delete(name);
    kept.set(name, { twin, readAt: clock.monotonic() });
    for (const oldest of kept.keys()) {
      if (kept.size <= limits.routeTwinsMax) break;
      kept.delete(oldest);
    }
    return twin;
  };

  /** Twins of the senders, by their names; some at a time. */
  const twinsOf = async (
    senders: ReadonlyMap<string, IdentityKey>,
  ): Promise<ReadonlyMap<string, object | undefined>> => {
    const twins = new Map<string, object | undefined>();
    const waiting = senders.entries();
    const some = async (): Promise<void> => {
      for (const [name, key] of waiting) twins.set(name, await read(key, name));
    };
    await Promise.all(Array.from({ length: Math.min(senders.size, limits.routeTwinReadsMax) }, some));
    return twins;
  };

  /** Of each record, by its place. What is added for one sender is made once. */
  const additionsOf = async (
    plan: readonly Added[],
    records: readonly RoutedRecord[],
  ): Promise<(at: number) => Addition> => {
    if (plan.every(({ path }) => path === undefined)) {
      const same = additionOf(plan, undefined);
      return () => same;
    }
    const senders = new Map<string, IdentityKey>();
    const names = records.map(({ bytes, start, end }) => {
      const sender = senderOf(bytes, start, end);
      if (sender === undefined) return '';
      const name = nameOf(sender);
      senders.set(name, sender);
      return name;
    });
    const twins = await twinsOf(senders);
    const made = new Map<string, Addition>();
    return (at) => {
      const addition = made.get(names[at]) ?? additionOf(plan, twins.get(names[at]));
      made.set(names[at], addition);
      return addition;
    };
  };

  return {
    async enriched(endpoint, records) {
      const plan = planOf(endpoint);
      if (plan.length === 0) return records.map((record) => ({ ...record, enrichments: NOTHING }));
      const additionAt = await additionsOf(plan, records);
      const events: RoutedEvent[] = [];
      let [added, leftOut] = [0, 0];
      for (const [at, record] of records.entries()) {
        const { enrichments, bytes } = additionAt(at);
        const isTooLarge = record.end - record.start + bytes > limits.enrichedEventBytesMax;
        if (isTooLarge) leftOut += 1;
        else added += bytes;
        if (added > limits.enrichmentsBytesMax) break;
        events.push({ ...record, enrichments: isTooLarge ? NOTHING : enrichments });
      }
      if (leftOut > 0) parts.leftOut(endpoint, leftOut);
      return events;
    },
  };
}

function additionOf(plan: readonly Added[], twin: object | undefined): Addition {
  const enrichments = plan.map((each) => [each.key, textOf(each, twin)] as const);
  const bytes = enrichments.reduce((sum, [key, text]) => sum + Buffer.byteLength(key) + Buffer.byteLength(text), 0);
  return { enrichments, bytes };
}

function addedOf(key: string, value: string, hubName: string): Added {
  if (value === '$iothubname') return { key, text: hubName };
  if (!value.startsWith('$twin.')) return { key, text: value };
  return { key, text: value, path: value.split('.').slice(1) };
}

function textOf({ text, path }: Added, twin: object | undefined): string {
  if (path === undefined) return text;
  let value: unknown = twin;
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return text;
    value = (value as Record<string, unknown>)[name];
  }
  if (value === null || value === undefined) return text;
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

const nameOf = ({ deviceId, moduleId }: IdentityKey): string =>
  moduleId === undefined ? deviceId : `${deviceId}\n${moduleId}`;
