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
}

export interface Enrichments {
  /**
   * The records with what is added to them for an endpoint.
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

const NOTHING: RoutedEvent['enrichments'] = [];

export function createEnrichments({ current, hubName, senderOf, loadTwin, clock }: EnrichmentsParts): Enrichments {
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

  return {
    async enriched(endpoint, records) {
      const plan = planOf(endpoint);
      if (plan.every(({ path }) => path === undefined)) {
        const enrichments = plan.length === 0 ? NOTHING : plan.map(({ key, text }) => [key, text] as const);
        return records.map((record) => ({ ...record, enrichments }));
      }
      const names = new Map<RoutedRecord, string>();
      const senders = new Map<string, IdentityKey>();
      for (const record of records) {
        const sender = senderOf(record.bytes, record.start, record.end);
        if (sender === undefined) continue;
        const name = nameOf(sender);
        names.set(record, name);
        senders.set(name, sender);
      }
      const twins = await twinsOf(senders);
      return records.map((record) => {
        const twin = twins.get(names.get(record) ?? '');
        return { ...record, enrichments: plan.map((each) => [each.key, textOf(each, twin)] as const) };
      });
    },
  };
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
