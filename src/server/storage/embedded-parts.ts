import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import type { Settings } from '../config/config.ts';
import type { DataFolder } from '../data/data-folder.ts';
import type { KeptRunningTime } from '../data/running-time.ts';
import type { ServerLog } from '../observe/log.ts';

export interface EmbeddedParts {
  readonly settings: Settings;
  readonly folder: DataFolder;
  /** By which events age. */
  readonly runningTime: KeptRunningTime;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: ServerLog;
}
