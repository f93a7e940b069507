import type { Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import type { EventLog } from '../../../core/events/ports.ts';
import type { KeptRunningTime } from '../../data/running-time.ts';
import { fine, type HealthCheck } from './health.ts';

/** A clock that jumped, or that is behind what events were stamped with: tokens, certificates and times depend on it. */
export function clockCheck(
  time: Pick<KeptRunningTime, 'recentJump'>,
  log: Pick<EventLog, 'partition' | 'partitionCount'>,
  clock: Clock,
): HealthCheck {
  const remedy = 'See that this machine gets the time by NTP before the hub starts. Events do not age by the clock.';
  return {
    name: 'clock',
    isQuiet: true,
    async look() {
      const facts = Array.from({ length: log.partitionCount }, (_, partition) => log.partition(partition));
      const newest = Math.max(...(await Promise.all(facts)).map(({ lastTime }) => lastTime));
      const behindMs = newest - clock.now();
      if (behindMs >= limits.clockJumpMs) {
        const until = new Date(newest).toISOString();
        return {
          status: 'warn',
          reason: `the clock is ${inWords(behindMs)} behind the newest event: until then every event gets its time, ${until}`,
          remedy,
        };
      }
      const jump = time.recentJump();
      if (jump === undefined) return fine;
      const way = jump.jumpMs < 0 ? 'back' : 'forward';
      return { status: 'warn', reason: `the clock jumped ${way} by ${inWords(Math.abs(jump.jumpMs))}`, remedy };
    },
  };
}

function inWords(ms: number): string {
  const units = [
    [86_400_000, 'days'],
    [3_600_000, 'hours'],
    [60_000, 'minutes'],
  ] as const;
  const [unit, name] = units.find(([size]) => ms >= 2 * size) ?? [1000, 'seconds'];
  return `${Math.floor(ms / unit)} ${name}`;
}
