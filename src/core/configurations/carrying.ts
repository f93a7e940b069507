/**
 * Carries configurations out: takes one step of the store after the other for as long as there is something to do. What is to be done
 * stands in the store, so that it goes on where it was after a crash, and whichever node does it.
 */
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { IdentityKey } from '../identity/types.ts';
import { type ModuleMakerParts, makeModules } from './modules.ts';
import type { ConfigurationStore, Step } from './ports.ts';

export interface CarryingParts extends ModuleMakerParts {
  readonly store: ConfigurationStore;
  /** Whether changes of twins are kept as events. */
  readonly withEvents: boolean;
  /** How often it looks for what another node has left behind; absent = there is no other. */
  readonly lookMs?: number;
  /** Something could not be set on that twin. */
  readonly notApplied: (key: IdentityKey, why: string) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** Since the start. */
export interface ConfigurationTotals {
  /** Identities looked at, because something of theirs has changed. */
  readonly marked: number;
  /** Identities looked at by walks over the fleet. */
  readonly walked: number;
  /** Twins that were changed. */
  readonly changed: number;
  /** Twins that could not be. */
  readonly refused: number;
}

export interface Carrying {
  readonly totals: ConfigurationTotals;
  /** Resolves when no step runs, and none will. */
  close(): Promise<void>;
}

export function carryConfigurations(parts: CarryingParts): Carrying {
  const { store, clock, log } = parts;
  const totals = { marked: 0, walked: 0, changed: 0, refused: 0 };
  let isAgain = true;
  let isClosed = false;
  let retry: Cancel | undefined;
  let look: Cancel | undefined;
  let resume: (() => void) | undefined;
  let working: Promise<void> | undefined;
  /** Modules that a device has no place for: told once, and not with each change of the device. */
  const told = new Map<string, string>();

  const wake = (): void => {
    isAgain = true;
    if (isClosed || retry !== undefined) return;
    working ??= work().finally(() => {
      working = undefined;
      // What was told in the meantime found it at work still.
      if (isAgain && !isClosed && retry === undefined) wake();
    });
  };
  const later = (): void => {
    isAgain = true;
    if (isClosed) return;
    retry ??= clock.after(limits.configurationRetryMs, () => {
      retry = undefined;
      wake();
    });
  };

  async function work(): Promise<void> {
    while (isAgain && !isClosed) {
      isAgain = false;
      try {
        if ((await stepOn()) === 'busy') return later();
      } catch (error) {
        log.warn({ error }, 'configurations are not carried out; it is tried again');
        return later();
      }
    }
  }

  /** Until there is nothing to do, or another node is at it. */
  async function stepOn(): Promise<Step['kind']> {
    while (!isClosed) {
      const begun = clock.monotonic();
      const { withEvents } = parts;
      const step = await store.step({ countMax: limits.configurationsAtOnce, time: clock.now(), withEvents });
      totals.marked += step.marked;
      totals.walked += step.walked;
      totals.changed += step.changed;
      totals.refused += step.refused.length;
      for (const { key, message } of step.refused) parts.notApplied(key, message);
      for (const { deviceId, modules } of step.missing) await make(deviceId, modules);
      if (step.missing.length > 0) await store.settle(step.missing);
      if (step.kind === 'idle' && step.isEmpty) await store.rest();
      if (step.kind !== 'more') return step.kind;
      if (step.walked > 0 && !isClosed) await pause((clock.monotonic() - begun) * limits.configurationWalkPause);
    }
    return 'idle';
  }

  async function make(deviceId: string, modules: Step['missing'][number]['modules']): Promise<void> {
    const outcomes = await makeModules(parts, deviceId, modules);
    const full = modules.filter((_, at) => outcomes[at].kind === 'full').map(({ moduleId }) => moduleId);
    const before = told.get(deviceId);
    told.delete(deviceId);
    if (full.length === 0) return;
    if (told.size >= limits.configurationsToldMax) told.clear();
    told.set(deviceId, full.join('/'));
    if (before === full.join('/')) return;
    for (const moduleId of full) {
      parts.notApplied({ deviceId, moduleId }, `The device ${deviceId} holds as many modules as allowed.`);
    }
  }

  /** The tables are shared with all that devices and back ends ask for. */
  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = clock.after(ms, resolve);
      resume = () => {
        cancel();
        resolve();
      };
    });
  }

  /** What other nodes have left behind is heard of by none. */
  const lookAround = (): void => {
    if (parts.lookMs === undefined) return;
    look = clock.after(parts.lookMs, () => {
      store.waiting(1).then(
        ({ marks, walks }) => {
          if (marks > 0 || walks) wake();
          if (!isClosed) lookAround();
        },
        (error) => {
          log.warn({ error }, 'whether configurations wait is not known');
          if (!isClosed) lookAround();
        },
      );
    });
  };

  const unwatch = store.watch(wake);
  wake();
  lookAround();
  return {
    totals,
    async close() {
      unwatch();
      isClosed = true;
      retry?.();
      look?.();
      resume?.();
      await working;
    },
  };
}
