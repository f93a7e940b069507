/**
 * What monitoring has of one device: its connections, and why it was refused. Read from the end of the stored stream, so it is
 * there after a restart and with several listener threads; asked for as a reader of that stream is.
 */
import { z } from 'zod';
import {
  type ConnectionEventsJson,
  connectionEventsSchema,
  type RefusalsJson,
  refusalsSchema,
} from '../../api/device-events.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import { type Operation, operationTable } from '../../core/identity/operations.ts';
import type { Principal } from '../../core/identity/types.ts';
import { type Explanation, explainedCheck, explainedCode } from './explained-refusals.ts';
import { openMonitoring, readMonitoringEnd, type ToldEvent, toldEvent } from './monitoring-end.ts';
import { deviceOfRecord } from './portal/stream/shown-event.ts';
import { type ApiRoute, route } from './route.ts';

const query = z.object({
  deviceId: z.string().min(1).max(limits.identityIdCharsMax),
  top: z.coerce.number().int().min(1).max(limits.deviceEventsMax).default(limits.deviceEventsDefault),
});

export function deviceEventsRoutes(hub: Pick<Hub, 'name' | 'events'>): readonly ApiRoute[] {
  const look = new Look(hub);
  return [
    route({
      method: 'GET',
      url: '/mooring/v1/refusals',
      summary: 'Why a device, or who claims to be it, was refused lately, each explained, newest first',
      tag: 'monitoring',
      query,
      answers: { 200: refusalsSchema },
      handle: async ({ principal, query: { deviceId, top } }) => {
        const { found, lookedSince } = await look.find(principal, deviceId, refusalTypes, top);
        return { status: 200, body: { refusals: found.map(refusalOf), ...lookedSince } satisfies RefusalsJson };
      },
    }),
    route({
      method: 'GET',
      url: '/mooring/v1/connections',
      summary: 'When a device connected and disconnected, and why, newest first',
      tag: 'monitoring',
      query,
      answers: { 200: connectionEventsSchema },
      handle: async ({ principal, query: { deviceId, top } }) => {
        const { found, lookedSince } = await look.find(principal, deviceId, connectionTypes, top);
        return {
          status: 200,
          body: { events: found.map(connectionOf), ...lookedSince } satisfies ConnectionEventsJson,
        };
      },
    }),
  ];
}

const refusalTypes: ReadonlySet<unknown> = new Set(['authenticationFailed', 'operationRefused', 'throttled']);
const connectionTypes: ReadonlySet<unknown> = new Set(['connected', 'disconnected']);

/** Reads the end of the monitoring stream, for one caller after the other: each reads some megabytes. */
class Look {
  readonly #hub: Pick<Hub, 'name' | 'events'>;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(hub: Pick<Hub, 'name' | 'events'>) {
    this.#hub = hub;
  }

  /** @throws HubError IotHubUnauthorizedAccess, AmqpAddressNotFound (there is no monitoring), ThrottlingException */
  async find(principal: Principal, deviceId: string, types: ReadonlySet<unknown>, top: number) {
    const stream = await openMonitoring(this.#hub, principal);
    if (this.#waiting >= limits.deviceEventsWaitingMax) {
      throw new HubError('ThrottlingException', 'Too many others look into the monitoring stream.');
    }
    this.#waiting++;
    const read = async () => {
      const found: ToldEvent[] = [];
      const lookedSince = await readMonitoringEnd(stream, limits.deviceEventsLookedMax, (event) => {
        if (deviceOfRecord(event.bytes, event.from, event.to) !== deviceId) return;
        const told = toldEvent(event);
        if (told !== undefined && types.has(told.type)) found.push(told);
        if (found.length > top) found.shift();
      });
      return { found: found.reverse(), lookedSince };
    };
    const own = this.#last.then(read);
    this.#last = own.catch(() => {});
    return own.finally(() => {
      this.#waiting--;
    });
  }
}

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

function placeOf({ moduleId, protocol, peer }: ToldEvent) {
  return {
    ...(text(moduleId) !== undefined && { moduleId: text(moduleId) }),
    ...(text(protocol) !== undefined && { protocol: text(protocol) }),
    ...(text(peer) !== undefined && { peer: text(peer) }),
  };
}

function refusalOf(told: ToldEvent): RefusalsJson['refusals'][number] {
  const type = told.type as 'authenticationFailed' | 'operationRefused' | 'throttled';
  const code = text(type === 'authenticationFailed' ? told.check : told.code) ?? 'unknown';
  const [operation, reason] = [text(told.operation), text(told.reason)];
  const backEnd = backEndOf(told);
  return {
    time: text(told.last) ?? text(told.time) ?? '',
    count: typeof told.count === 'number' ? told.count : 1,
    type,
    code: told.effect === 'slowed' ? 'slowed' : code,
    ...(operation !== undefined && { operation }),
    ...(reason !== undefined && { reason }),
    by: backEnd === undefined ? 'device' : 'backEnd',
    ...(backEnd !== undefined && { policyName: backEnd }),
    ...placeOf(told),
    ...explanationOf(told, code, backEnd),
  };
}

/** The policy of the back end that asked for something of the device; undefined = it was the device, or who speaks for it. */
export function backEndOf({ policyName, operation }: ToldEvent): string | undefined {
  const name = text(operation);
  if (name === undefined || !Object.hasOwn(operationTable, name)) return undefined;
  const { self } = operationTable[name as Operation];
  return self ? undefined : text(policyName);
}

/** @param code the check that failed, or the code of the refusal */
export function explanationOf(told: ToldEvent, code: string, backEnd: string | undefined): Explanation {
  if (told.effect === 'slowed') return slowed(told);
  if (told.type === 'authenticationFailed' || code === 'unknown') return explainedCheck(code);
  return explainedCode(code, text(told.operation), text(told.reason), backEnd);
}

function slowed({ limit }: ToldEvent): Explanation {
  const name = text((limit as ToldEvent | undefined)?.name) ?? 'a limit';
  return {
    sentence: `The device is read more slowly than it sends, because of ${name}.`,
    remedy: `Have it send less, or raise ${name}.`,
  };
}

function connectionOf(told: ToldEvent): ConnectionEventsJson['events'][number] {
  const optional = ['reason', 'detail', 'credential', 'correlationId'].flatMap((name) => {
    const value = text(told[name]);
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    time: text(told.time) ?? '',
    type: told.type as 'connected' | 'disconnected',
    ...Object.fromEntries(optional),
    ...placeOf(told),
  };
}
