import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { IdentityKey } from '../identity/types.ts';

/** What routes may ask of a twin: `tags` and `properties`; undefined = the identity has none. */
export type TwinLoader = (key: IdentityKey) => Promise<object | undefined>;

interface Kept {
  readonly key: IdentityKey;
  twin: object | undefined;
  /** By the monotonic clock; -1 = it was never read. */
  readAt: number;
  reading: Promise<void> | undefined;
}

/**
 * Twins that routes ask for. One that is known is answered at once, and read again behind that when it is old: telemetry never waits for
 * a database. Reads are few at a time, however many devices send: then a twin grows older.
 */
export class TwinCache {
  readonly #load: TwinLoader;
  readonly #clock: Pick<Clock, 'monotonic'>;
  /** The one that was asked for longest ago first. */
  readonly #kept = new Map<string, Kept>();
  #reads = 0;
  #waiting: (() => void)[] = [];

  constructor(load: TwinLoader, clock: Pick<Clock, 'monotonic'>) {
    this.#load = load;
    this.#clock = clock;
  }

  /** Whether the twin is known, or that there is none. */
  knows(key: IdentityKey): boolean {
    return (this.#kept.get(nameOf(key))?.readAt ?? -1) >= 0;
  }

  /** What is known of it; reads it again where that is old. */
  peek(key: IdentityKey): object | undefined {
    const kept = this.#of(key);
    const isOld = kept.readAt < 0 || this.#clock.monotonic() - kept.readAt > limits.routeTwinAgeMs;
    if (isOld && kept.reading === undefined && this.#reads < limits.routeTwinReadsMax) void this.#read(kept);
    return kept.twin;
  }

  /** Resolves when it is known, or cannot be read. */
  async ready(key: IdentityKey): Promise<void> {
    const kept = this.#of(key);
    if (kept.readAt >= 0) return;
    while (kept.reading === undefined && this.#reads >= limits.routeTwinReadsMax) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    await (kept.reading ?? this.#read(kept));
  }

  #of(key: IdentityKey): Kept {
    const name = nameOf(key);
    let kept = this.#kept.get(name);
    if (kept === undefined) {
      const { deviceId, moduleId } = key;
      kept = {
        key: moduleId === undefined ? { deviceId } : { deviceId, moduleId },
        twin: undefined,
        readAt: -1,
        reading: undefined,
      };
      if (this.#kept.size >= limits.routeTwinsMax) {
        for (const oldest of this.#kept.keys()) {
          this.#kept.delete(oldest);
          break;
        }
      }
      this.#kept.set(name, kept);
    }
    return kept;
  }

  /** Does not reject. */
  #read(kept: Kept): Promise<void> {
    this.#reads++;
    kept.reading = this.#load(kept.key)
      .then(
        (twin) => {
          kept.twin = twin;
        },
        // What is known stays; it is asked for again in a while.
        () => {},
      )
      .then(() => {
        kept.readAt = this.#clock.monotonic();
        kept.reading = undefined;
        this.#reads--;
        this.#waiting.shift()?.();
      });
    return kept.reading;
  }
}

const nameOf = ({ deviceId, moduleId }: IdentityKey): string =>
  moduleId === undefined ? deviceId : `${deviceId}\n${moduleId}`;
