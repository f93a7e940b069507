import type { Files } from '../../core/files/room.ts';
import { type Guard, type Guarded, guardedElsewhere } from '../../core/identity/guard.ts';
import type { EveryCall, ThreadLink } from './calls.ts';
import { inTurns } from './in-turns.ts';

type Passed = Omit<Files, 'watchNotifications'>;

const calls: EveryCall<Passed> = {
  beginUpload: true,
  endUpload: true,
  takeNotification: true,
  settleNotification: true,
};

/** Lets a listener thread use `files`. The returned function ends it. */
export function serveFiles(link: ThreadLink, files: Files): () => void {
  link.serve('files', files);
  return files.watchNotifications(() => link.tell('fileNotifications', undefined));
}

/** Files as doors of a listener thread see them: behind the main thread's guard. */
export function filesStandIn(link: ThreadLink, guard: Guard): Guarded<Files> {
  const listeners = new Set<{ readonly call: () => void }>();
  link.on('fileNotifications', () => {
    for (const { call } of listeners) call();
  });
  return guardedElsewhere<Files>({
    ...inTurns(guard, link.remote<Passed>('files', calls), ['takeNotification', 'settleNotification']),
    watchNotifications(listener) {
      const entry = { call: listener };
      listeners.add(entry);
      return () => listeners.delete(entry);
    },
  });
}
