/** What every part of the server is given. */
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { Shutdown } from './lifecycle.ts';
import type { ServerLog } from './observe/log.ts';

export interface Surroundings {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: ServerLog;
  readonly shutdown: Shutdown;
}
