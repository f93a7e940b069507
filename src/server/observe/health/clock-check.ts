import type { Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import type { EventLog } from '../../../core/events/ports.ts';
import type { KeptRunningTime } from '../../data/running-time.ts';
import { fine, type HealthCheck } from './health.ts';

/** Whose clock gives events their time. */
export type EventTimes = 'hub' | 'brokers';

const terms = {
  hub: {
    remedy: 'See that this machine gets the time by NTP before the hub starts. Events do not age by the clock.',
    meaning: (until: string) => `until then every event gets its time, ${until}`,
  },
  brokers: {
    remedy: 'See that this machine and the brokers get the time by NTP.',
    meaning: (until: string) => `a broker gave it its time, ${until}`,
  },
} as const;

/**
 * A clock that jumped, or that is behind what events were stamped with: tokens, certificates and times depend on it. It goes by what
 * this node has heard of the newest events: probes come several times a second, and brokers that are away are no fault of a clock.
 */
export function clockCheck(
  time: Pick<KeptRunningTime, 'recentJump'>,
  log: Pick<EventLog, 'lastKnown' | 'partitionCount'>,
  clock: Clock,
  times: EventTimes = 'hub',
): HealthCheck {
  const { remedy, meaning } = terms[times];
  return {
    name: 'clock',
    isQuiet: true,
    look() {
      const heard = Array.from({ length: log.partitionCount }, (_, partition) => log.lastKnown(partition).lastTime);
      const newest = Math.max(...heard);
      const behindMs = newest - clock.now();
      if (behindMs >= limits.clockJumpMs) {
        const until = new Date(newest).toISOString();
        return {
          status: 'warn',
          reason: `the clock is ${inWords(behindMs)} behind the newest event: ${meaning(until)}`,
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
