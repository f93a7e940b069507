/**
 * Tells devices of desired properties that another node has changed and not told of, because it has died, or has not heard from the
 * database that its change was carried out. Each device that this node holds is looked at once in `desiredLookMs`, in batches that are
 * spread over that time. Who was told already is not told again: that decides `core/twins/pushes.ts`.
 */
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { PresenceRoom } from '../../core/presence/presence.ts';
import type { HeldSession } from '../../core/presence/session.ts';
import type { TwinStore } from '../../core/twins/ports.ts';
import { DESIRED } from '../../core/twins/types.ts';

export interface DesiredLookParts {
  readonly presence: Pick<PresenceRoom, 'sessions' | 'held' | 'notify'>;
  readonly twins: Pick<TwinStore, 'desiredNewer'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Looks until the returned function ends it. */
export function lookAtDesired({ presence, twins, clock, log }: DesiredLookParts): () => void {
  let isClosed = false;
  let cancel: Cancel = () => {};
  let end = (): void => {};
  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      end = resolve;
      cancel = clock.after(ms, resolve);
    });

  async function look(some: readonly HeldSession[]): Promise<void> {
    const byName = new Map(some.map((session) => [nameOf(session), session]));
    const asked = some.map(({ key, generationId, desiredVersion: version }) => ({ key, generationId, version }));
    for (const { key, generationId, version } of await twins.desiredNewer(asked)) {
      await presence.notify(key, { kind: DESIRED, value: { generationId, version } });
      const session = byName.get(nameOf({ key, generationId }));
      if (session !== undefined) session.desiredVersion = version;
    }
  }

  let rest = presence.sessions();
  /** The next ones of this round; who comes meanwhile is at its end. */
  const next = (): readonly HeldSession[] => {
    const some: HeldSession[] = [];
    while (some.length < limits.desiredLookAtOnce) {
      const { value, done } = rest.next();
      if (done) {
        rest = presence.sessions();
        break;
      }
      some.push(value);
    }
    return some;
  };

  async function run(): Promise<void> {
    while (!isClosed) {
      await pause(limits.desiredLookMs / Math.max(1, Math.ceil(presence.held() / limits.desiredLookAtOnce)));
      if (isClosed) return;
      let some = next();
      // The batch before was the last one, and full.
      if (some.length === 0) some = next();
      await look(some).catch((error: unknown) =>
        log.warn({ error }, 'versions of twins could not be looked at; it is tried again'),
      );
    }
  }

  void run();
  return () => {
    isClosed = true;
    cancel();
    end();
  };
}

const nameOf = ({ key, generationId }: Pick<HeldSession, 'key' | 'generationId'>): string =>
  JSON.stringify([key.deviceId, key.moduleId, generationId]);
