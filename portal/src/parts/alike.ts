/** Many events of one caller that does the same thing again and again, as one with their count, first and last time. */
import type { MonitoringEvent } from './monitoring.ts';

/** Longer ago, and it is another occasion. */
const PAUSE_MS = 60_000;

/** What one caller does many times; undefined = each of its kind is told by itself. */
export function alikeKey({ type, operation, policyName, session }: MonitoringEvent): string | undefined {
  if (type === 'operationDone') return JSON.stringify([type, operation, policyName, session]);
  return /^identity(Created|Changed|Deleted|Enabled|Disabled)$/.test(type) ? type : undefined;
}

const firstOf = (event: MonitoringEvent): string => event.first ?? event.time;
const countOf = ({ count = 1 }: MonitoringEvent): number => count;

/** @param events newest first, each as the hub tells it, which may have summed some already @returns newest first */
export function summed(events: readonly MonitoringEvent[]): readonly MonitoringEvent[] {
  const told: MonitoringEvent[] = [];
  /** By key: where the group stands to which an older one may belong. */
  const places = new Map<string, number>();
  for (const event of events) {
    const key = alikeKey(event);
    const place = key === undefined ? undefined : places.get(key);
    const group = place === undefined ? undefined : told[place];
    if (place === undefined || group === undefined || Date.parse(firstOf(group)) - Date.parse(event.time) > PAUSE_MS) {
      if (key !== undefined) places.set(key, told.length);
      told.push(event);
      continue;
    }
    const { deviceId, moduleId, ...rest } = group;
    const isSame = deviceId === event.deviceId && moduleId === event.moduleId;
    told[place] = {
      ...(isSame ? group : rest),
      count: countOf(group) + countOf(event),
      first: firstOf(event),
    };
  }
  return told;
}
