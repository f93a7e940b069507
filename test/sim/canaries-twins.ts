/** Bugs of twins and methods; see `canaries.ts`. */
import { HubError } from '../../src/core/errors.ts';
import type { WatchedPresence } from '../../src/core/presence/ports.ts';
import type { TwinStore } from '../../src/core/twins/ports.ts';
import type { Canary } from './canary.ts';
import type { Plan } from './plan.ts';

const withTwins: Partial<Plan> = { twinBackEnds: 2 };
const reconnecting: Partial<Plan> = { ...withTwins, breakEveryMs: 3000 };
const crashing: Partial<Plan> = { ...withTwins, crashEveryMs: 3000 };

export const twinCanaries: readonly Canary[] = [
  {
    name: 'lose a desired change of several',
    plan: withTwins,
    twins: (store) => ({
      ...store,
      async desiredSince(...parameters) {
        const changes = await store.desiredSince(...parameters);
        if (changes?.patches === undefined) return changes;
        return { ...changes, patches: changes.patches.filter(({ version }) => version % 5 !== 0) };
      },
    }),
  },
  {
    name: 'tell nobody of a desired change',
    plan: withTwins,
    twins: (store) => ({
      ...store,
      watchOwnWrites: (listener) => store.watchOwnWrites((note) => note.version % 2 === 0 || listener(note)),
    }),
  },
  {
    name: 'tell of a desired change twice',
    plan: withTwins,
    twins: (store) => ({
      ...store,
      desiredSince: (key, generationId, version, countMax) =>
        store.desiredSince(key, generationId, version % 5 === 0 ? version - 1 : version, countMax),
    }),
  },
  {
    name: 'tell of what was before to a device that comes back',
    plan: reconnecting,
    twins: (store) => ({
      ...store,
      async desiredVersion(...parameters) {
        const version = await store.desiredVersion(...parameters);
        return version === undefined ? undefined : Math.max(1, version - 1);
      },
    }),
  },
  {
    name: 'begin behind a change that came with the subscription',
    plan: reconnecting,
    twins: (store) => ({
      ...store,
      // As if it were read when the first change is told of.
      desiredVersion: async (...parameters) => ((await store.desiredVersion(...parameters)) ?? 0) + 1,
    }),
  },
  { name: 'answer a report before it is durable', plan: crashing, twins: answeringEarly },
  {
    name: 'tell of no event of a report',
    plan: withTwins,
    twins: (store) => ({
      ...store,
      report: (reports, terms) => store.report(reports, { ...terms, withEvents: reports.length % 3 !== 2 }),
    }),
  },
  {
    name: 'forget an event of a twin before it is stored',
    plan: { ...crashing, diskFaultRate: 0.03 },
    twins: (store) => ({
      ...store,
      async events(countMax) {
        const events = await store.events(countMax);
        await store.dropEvents(events.map(({ sequence }) => sequence));
        return events;
      },
    }),
  },
  { name: 'tell of an event of a twin twice', plan: withTwins, twins: droppedLate },
  {
    name: 'ask a device again whose connection has ended',
    plan: reconnecting,
    presence: (presence) => ({
      ...presence,
      invoke: (...parameters) =>
        presence.invoke(...parameters).catch((error: unknown) => {
          const hasGone = error instanceof HubError && error.code === 'DeviceConnectionClosedRemotely';
          throw hasGone ? new HubError('DeviceNotOnline') : error;
        }),
    }),
  },
  { name: 'ask a device twice', plan: withTwins, presence: askingTwice },
  {
    name: "answer with another device's answer",
    plan: withTwins,
    presence: (presence) => {
      let last: unknown;
      return {
        ...presence,
        async invoke(...parameters) {
          const answer = await presence.invoke(...parameters);
          const before = last ?? answer;
          last = answer;
          return before;
        },
      };
    },
  },
];

/** It is on its way to the disk when the device is answered. */
function answeringEarly(store: TwinStore): TwinStore {
  return {
    ...store,
    async report(reports, terms) {
      const kept = await Promise.all(reports.map(({ key, generationId }) => store.load(key, generationId)));
      const reported = new Map<string, number>();
      const outcomes = reports.map(({ key }, at) => {
        const version = (reported.get(key.deviceId) ?? kept[at]?.twin.reported.version ?? 0) + 1;
        reported.set(key.deviceId, version);
        return { kind: 'done', version } as const;
      });
      if (kept.includes(undefined)) return store.report(reports, terms);
      store.report(reports, terms).catch(() => {});
      return outcomes;
    },
  };
}

function droppedLate(store: TwinStore): TwinStore {
  let calls = 0;
  return {
    ...store,
    dropEvents: (sequences) => store.dropEvents(++calls % 10 === 0 ? sequences.slice(1) : sequences),
  };
}

function askingTwice(presence: WatchedPresence): WatchedPresence {
  let calls = 0;
  return {
    ...presence,
    async invoke(...parameters) {
      if (++calls % 5 === 0) presence.invoke(...parameters).catch(() => {});
      return presence.invoke(...parameters);
    },
  };
}
