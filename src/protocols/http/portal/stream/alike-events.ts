/**
 * Monitoring events for people: what one caller does many times in a row (a thousand deletes) is one entry with its count, first and last
 * time. Only what pages are told is summed: the monitoring stream itself has each of them.
 */

import type { ToldEvent } from '../../monitoring-end.ts';

interface Entry {
  event: ToldEvent;
  count: number;
  readonly first: unknown;
  isOfOneDevice: boolean;
}

/** Longer ago, and it is another occasion. */
const PAUSE_MS = 60_000;

const identityTypes: ReadonlySet<unknown> = new Set([
  ...['identityCreated', 'identityChanged', 'identityDisabled', 'identityEnabled', 'identityDeleted'],
]);

/** Whether events of this type are summed; of others the JSON need not be read. */
export const mayBeAlike = (type: unknown): boolean => type === 'operationDone' || identityTypes.has(type);

const keyOf = ({ type, operation, policyName, session }: ToldEvent): string | undefined =>
  mayBeAlike(type) ? JSON.stringify([type, operation, policyName, session]) : undefined;

export class AlikeEvents {
  /** In order of their newest event. */
  readonly #entries = new Set<Entry>();
  readonly #groups = new Map<string, Entry>();

  get size(): number {
    return this.#entries.size;
  }

  /** @param isFull counts it only where there is an entry for it @returns whether it is counted */
  add(event: ToldEvent, isFull = false): boolean {
    const key = keyOf(event);
    const group = key === undefined ? undefined : this.#groups.get(key);
    if (group !== undefined && millis(event) - millis(group.event) <= PAUSE_MS) {
      const { deviceId, moduleId } = group.event;
      group.isOfOneDevice &&= deviceId === event.deviceId && moduleId === event.moduleId;
      group.event = event;
      group.count++;
      this.#entries.delete(group);
      this.#entries.add(group);
      return true;
    }
    if (isFull) return false;
    const entry: Entry = { event, count: 1, first: event.time, isOfOneDevice: true };
    this.#entries.add(entry);
    if (key !== undefined) this.#groups.set(key, entry);
    return true;
  }

  /** All, oldest first; none is left. */
  take(): readonly ToldEvent[] {
    const told = [...this.#entries].map(shown);
    this.#entries.clear();
    this.#groups.clear();
    return told;
  }
}

function shown({ event, count, first, isOfOneDevice }: Entry): ToldEvent {
  if (count === 1) return event;
  const { deviceId, moduleId, ...common } = event;
  return { ...(isOfOneDevice ? event : common), count, first, last: event.time };
}

const millis = ({ time }: ToldEvent): number => Date.parse(String(time));
