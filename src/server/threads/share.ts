/** What `compose.ts` needs of this room: how many listener threads there are, and the hub shared with them. */
import { availableParallelism } from 'node:os';
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import { canSharePorts, type TlsSource } from '../../protocols/shared/listener.ts';
import type { StoredLog } from '../../stores/event-log/stored-log.ts';
import type { Shutdown } from '../lifecycle.ts';
import { EventLogHost } from './event-log-host.ts';
import { ListenerThreads, type ThreadsParts } from './threads.ts';
import { SharedTls } from './tls.ts';

/** Up to two cores one: the journal is then written from the listeners' own loop. Else one core is left for the rest. */
export function threadsByDefault(): number {
  const cores = availableParallelism();
  return cores <= 2 ? 1 : cores - 1;
}

/** The wanted number, or 1 where the platform cannot spread connections over threads. */
export async function usableThreads(wanted: number | undefined, log: Log): Promise<number> {
  const threads = wanted ?? threadsByDefault();
  if (threads === 1 || (await canSharePorts())) return threads;
  if (wanted !== undefined) log.warn({ threads: wanted }, 'listeners cannot share a port on this platform: one thread');
  return 1;
}

export { FurtherLogs } from './further-logs.ts';

/** The logs as listener threads see them. */
export function hostLogs(
  logs: readonly StoredLog[],
  { clock, shutdown }: { readonly clock: Clock; readonly shutdown: Shutdown },
): readonly EventLogHost[] {
  return logs.map((log) => {
    const host = new EventLogHost(log, clock);
    log.followFacts(() => host.changed());
    shutdown.add(`threads of ${log.name}`, () => host.close());
    return host;
  });
}

/** Starts the listener threads. They end before what they use is closed. */
export async function startThreads(
  parts: Omit<ThreadsParts, 'tls'> & { readonly tls: TlsSource },
  { clock, random, shutdown }: { readonly clock: Clock; readonly random: Random; readonly shutdown: Shutdown },
): Promise<ListenerThreads> {
  const tls = new SharedTls(parts.tls, { clock, random });
  shutdown.add('ticket keys', () => tls.close());
  const threads = await ListenerThreads.start({ ...parts, tls });
  shutdown.add('listener threads', () => threads.stop());
  return threads;
}
