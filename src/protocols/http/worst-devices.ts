/**
 * The devices that an operator looks at first, worst first. What happened is counted in the end of the stream of monitoring, what is
 * so now is asked of the fleet. One answer serves all who ask within some seconds, longer where the fleet is large: looking through it
 * takes a fiftieth of the time at most.
 */
import { z } from 'zod';
import type { WorstDevicesJson } from '../../api/worst-devices.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import type { Principal } from '../../core/identity/types.ts';
import { backEndOf, explanationOf } from './device-events-routes.ts';
import { openMonitoring, readMonitoringEnd, type ToldEvent, toldEvent, typeOfEvent } from './monitoring-end.ts';

export type WorstDevicesHub = Pick<Hub, 'name' | 'events' | 'queries' | 'clock'>;

/** The last thing that happened to a device, and how often such things did. */
interface Happened {
  readonly deviceId: string;
  readonly count: number;
  readonly last: ToldEvent;
}

export class WorstDevices {
  readonly #hub: WorstDevicesHub;
  #last: { goodUntil: number; readonly answer: Promise<WorstDevicesJson> } | undefined;

  constructor(hub: WorstDevicesHub) {
    this.#hub = hub;
  }

  /** @param principal may read events and query the fleet: an answer may be one that another asked for @throws HubError as queries do */
  find(principal: Principal): Promise<WorstDevicesJson> {
    const { clock } = this.#hub;
    const begun = clock.monotonic();
    if (this.#last !== undefined && begun < this.#last.goodUntil) return this.#last.answer;
    const answer = look(this.#hub, principal);
    // While it is looked for all wait for the same one.
    const last = { goodUntil: Number.POSITIVE_INFINITY, answer };
    this.#last = last;
    answer.then(
      () => {
        const now = clock.monotonic();
        last.goodUntil = now + Math.max(limits.worstDevicesKeptMs, (now - begun) * limits.worstDevicesRestFactor);
      },
      () => {
        if (this.#last === last) this.#last = undefined;
      },
    );
    return answer;
  }
}

async function look(hub: WorstDevicesHub, principal: Principal): Promise<WorstDevicesJson> {
  const now = hub.clock.now();
  const [happened, silent, queues] = await Promise.all([
    lookAtEvents(hub, principal),
    worstRows(hub, principal, {
      condition: "status = 'enabled' AND lastActivityTime > '0001-01-01T00:00:00Z'",
      ...{ field: 'lastActivityTime', isLeastWorst: true },
    }),
    worstRows(hub, principal, {
      ...{ condition: 'cloudToDeviceMessageCount > 0', field: 'cloudToDeviceMessageCount', isLeastWorst: false },
    }),
  ]);
  return {
    time: new Date(now).toISOString(),
    ...happened,
    silent: silent
      .map(({ deviceId, value }) => ({ deviceId, lastActivityTime: String(value) }))
      .filter(({ lastActivityTime }) => now - Date.parse(lastActivityTime) >= limits.silentDeviceMsMin),
    queues: queues.map(({ deviceId, value }) => ({ deviceId, count: Number(value) })),
  };
}

/** Ends of connections that nobody wanted. */
const broken: ReadonlySet<unknown> = new Set([
  ...['connection-lost', 'keep-alive', 'protocol-error', 'taken-over', 'storage-failed'],
]);
const refusals: ReadonlySet<unknown> = new Set(['authenticationFailed', 'operationRefused', 'throttled']);
const looked: ReadonlySet<unknown> = new Set(['disconnected', ...refusals]);

async function lookAtEvents(hub: WorstDevicesHub, principal: Principal) {
  const [refused, dropped] = [new Tally(), new Tally()];
  try {
    const stream = await openMonitoring(hub, principal);
    const lookedSince = await readMonitoringEnd(stream, limits.deviceEventsLookedMax, (stored) => {
      if (!looked.has(typeOfEvent(stored))) return;
      const event = toldEvent(stored);
      if (event === undefined) return;
      if (event.type === 'disconnected' && broken.has(event.reason)) dropped.add(event);
      // One that is read more slowly loses nothing.
      if (!refusals.has(event.type) || event.effect === 'slowed' || backEndOf(event) !== undefined) return;
      refused.add(event);
    });
    return {
      refused: refused.worst().map(refusedOf),
      dropped: dropped
        .worst()
        .map(({ last, ...rest }) => ({ ...rest, time: timeOf(last), reason: textOf(last.reason) })),
      ...lookedSince,
    };
  } catch (error) {
    // A hub without monitoring knows nothing of the past.
    if (error instanceof HubError && error.code === 'AmqpAddressNotFound') return { refused: [], dropped: [] };
    throw error;
  }
}

/** How often, of each device; no more of them than there are events. */
class Tally {
  readonly #devices = new Map<string, Happened>();

  add(last: ToldEvent): void {
    const { deviceId, count } = last;
    if (typeof deviceId !== 'string') return;
    const before = this.#devices.get(deviceId)?.count ?? 0;
    this.#devices.set(deviceId, { deviceId, count: before + (typeof count === 'number' ? count : 1), last });
  }

  worst(): Happened[] {
    return [...this.#devices.values()].sort((a, b) => b.count - a.count).slice(0, limits.worstDevicesMax);
  }
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : 'unknown');
const timeOf = ({ last, time }: ToldEvent): string => textOf(last ?? time);

function refusedOf({ deviceId, count, last }: Happened): WorstDevicesJson['refused'][number] {
  const reason = textOf(last.check ?? last.code);
  const { sentence } = explanationOf(last, reason, undefined);
  return { deviceId, count, time: timeOf(last), reason, sentence };
}

interface Rank {
  readonly condition: string;
  /** A member of a row that is a number or a time. */
  readonly field: string;
  readonly isLeastWorst: boolean;
}

interface RankedRow {
  readonly deviceId: string;
  readonly value: string | number;
}

const rankedRows = z.array(z.object({ deviceId: z.string(), value: z.union([z.string(), z.number()]) }));

/**
 * The worst rows of the fleet, without an order of the store's: of the first rows that are found, the last one that is wanted is a bound,
 * and only what is worse is looked for then; a look or two later there are few enough to be sure.
 */
async function worstRows({ queries }: WorstDevicesHub, principal: Principal, rank: Rank): Promise<RankedRow[]> {
  const { condition, field, isLeastWorst } = rank;
  const worseThan = (a: RankedRow, b: RankedRow): number =>
    a.value === b.value ? 0 : a.value < b.value === isLeastWorst ? -1 : 1;
  let found: RankedRow[] = [];
  let bound: RankedRow | undefined;
  for (let looks = 0; looks < limits.worstDevicesLooksMax; looks++) {
    const beyond = bound === undefined ? '' : ` AND ${field} ${isLeastWorst ? '<' : '>'} ${literal(bound.value)}`;
    const query = `SELECT deviceId, ${field} AS value FROM devices WHERE ${condition}${beyond}`;
    const page = await queries.page(principal, query, { countMax: limits.queryPageMax }, never);
    const rows = rankedRows.parse(JSON.parse(page.text));
    // What was found before is found again where it is worse than the bound; it may have become better meanwhile.
    const known = new Map([...found, ...rows].map((row) => [row.deviceId, row]));
    found = [...known.values()].sort(worseThan).slice(0, limits.worstDevicesMax);
    bound = found.at(-1);
    if (page.continuation === undefined || found.length < limits.worstDevicesMax) break;
  }
  return found;
}

/** Several wait for the answer: it is not given up when one of them goes. */
const never = new AbortController().signal;
const literal = (value: string | number): string => (typeof value === 'number' ? String(value) : `'${value}'`);
