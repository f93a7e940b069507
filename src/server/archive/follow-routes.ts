/** The routes in force, as an archive follows them where nobody tells: looked at again and again. */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { RouteStore } from '../../core/routes/ports.ts';
import type { RouteSource } from './open-archives.ts';

export async function followRoutes(
  store: RouteStore,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<RouteSource & { close(): void }> {
  let current = await store.load();
  const listeners = new Set<() => void>();
  let cancel = (): void => {};
  const look = async (): Promise<void> => {
    try {
      if ((await store.number()) !== current.number) {
        current = await store.load();
        for (const listener of listeners) listener();
      }
    } catch (error) {
      log.warn({ error }, 'whether archives have changed is not known');
    }
    cancel = clock.after(limits.archiveLookMs, () => void look());
  };
  cancel = clock.after(limits.archiveLookMs, () => void look());
  return {
    current: () => current,
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: () => cancel(),
  };
}
