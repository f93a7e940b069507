import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Settlement } from '../types.ts';
import type { GatewayStore } from './store.ts';

type Final = Exclude<Settlement, 'abandon'>;

/**
 * How devices have settled commands of late: where the hub has not heard of it because the link was lost, it delivers the command again,
 * and is told without asking the device twice. What could not be told is on the disk.
 */
export class Outcomes {
  readonly #store: GatewayStore;
  readonly #clock: Clock;
  readonly #recent = new Map<string, Final>();
  readonly #sql;

  constructor(store: GatewayStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    this.#sql = {
      find: store.prepare('select outcome from settled where device = ? and command = ?'),
      keep: store.prepare('insert or replace into settled (device, command, outcome, expires) values (?, ?, ?, ?)'),
      forget: store.prepare('delete from settled where device = ? and command = ?'),
      expire: store.prepare('delete from settled where expires < ?'),
    };
  }

  /** @param name of the command, the same for each delivery @param isTold whether the hub may have heard of it */
  settled(device: string, name: string, settlement: Settlement, isTold: boolean): void {
    if (settlement === 'abandon') return;
    const key = `${device} ${name}`;
    this.#recent.delete(key);
    this.#recent.set(key, settlement);
    if (this.#recent.size > limits.gatewayRecentOutcomesMax) {
      for (const oldest of this.#recent.keys()) {
        this.#recent.delete(oldest);
        break;
      }
    }
    if (isTold) return;
    const expires = this.#clock.now() + limits.gatewayOutcomeMs;
    const keep = (): void => {
      this.#sql.expire.run(this.#clock.now());
      this.#sql.keep.run(device, name, settlement, expires);
    };
    this.#store.write(keep).catch(() => {});
  }

  /** How a command that is delivered again was settled; undefined = its device is to be asked. */
  find(device: string, name: string): Final | undefined {
    const recent = this.#recent.get(`${device} ${name}`);
    if (recent !== undefined) return recent;
    const row = this.#sql.find.get(device, name) as { outcome: Final } | undefined;
    if (row !== undefined) this.#store.write(() => void this.#sql.forget.run(device, name)).catch(() => {});
    return row?.outcome;
  }
}
