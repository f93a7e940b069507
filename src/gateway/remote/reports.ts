import { limits } from '../../base/limits.ts';
import { Refused } from '../refused.ts';
import type { JsonObject } from '../types.ts';
import type { GatewayStore } from './store.ts';

/** Reported properties that wait for the hub: of each device one merge patch, into which later ones are merged. */
export class Reports {
  readonly #store: GatewayStore;
  /** Devices that have one. */
  readonly #waiting: Set<string>;
  readonly #sql;

  constructor(store: GatewayStore) {
    this.#store = store;
    this.#sql = {
      devices: store.prepare('select device from report'),
      find: store.prepare('select patch from report where device = ?'),
      keep: store.prepare('insert or replace into report (device, patch) values (?, ?)'),
      remove: store.prepare('delete from report where device = ? and patch = ?'),
    };
    this.#waiting = new Set((this.#sql.devices.all() as { device: string }[]).map(({ device }) => device));
  }

  get devices(): readonly string[] {
    return [...this.#waiting];
  }

  has(device: string): boolean {
    return this.#waiting.has(device);
  }

  find(device: string): JsonObject | undefined {
    const row = this.#sql.find.get(device) as { patch: string } | undefined;
    return row && (JSON.parse(row.patch) as JsonObject);
  }

  /** Resolves when it is on the disk. @throws Refused tooLarge, queueFull, unreachable (the disk fails) */
  async keep(device: string, patch: JsonObject): Promise<void> {
    if (!this.#waiting.has(device) && this.#waiting.size >= limits.gatewayReportsMax) {
      throw new Refused('queueFull', 'Reported properties of too many devices wait for the hub.');
    }
    await this.#store.write(() => {
      const before = this.find(device);
      const text = JSON.stringify(before === undefined ? patch : merged(before, patch));
      if (Buffer.byteLength(text) > limits.gatewayReportBytesMax) {
        throw new Refused('tooLarge', 'The reported properties that wait for the hub are larger than it takes.');
      }
      this.#sql.keep.run(device, text);
    });
    if (this.find(device) !== undefined) this.#waiting.add(device);
  }

  /** The hub has it, or never takes it. A later one that was merged into it meanwhile stays. */
  async done(device: string, patch: JsonObject): Promise<void> {
    await this.#store.write(() => {
      this.#sql.remove.run(device, JSON.stringify(patch));
      if (this.find(device) === undefined) this.#waiting.delete(device);
    });
  }
}

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A merge patch that does what the first and then the second do. */
export function merged(first: JsonObject, second: JsonObject): JsonObject {
  const entries = new Map(Object.entries(first));
  for (const [name, value] of Object.entries(second)) {
    const before = entries.get(name);
    entries.set(name, isObject(before) && isObject(value) ? merged(before, value) : value);
  }
  return Object.fromEntries(entries);
}

/** The merge patch that makes the second of the first. */
export function difference(first: JsonObject, second: JsonObject): JsonObject {
  const patch = new Map<string, unknown>();
  for (const name of Object.keys(first)) if (!Object.hasOwn(second, name)) patch.set(name, null);
  for (const [name, value] of Object.entries(second)) {
    const before = Object.hasOwn(first, name) ? first[name] : undefined;
    if (isObject(before) && isObject(value)) {
      const inner = difference(before, value);
      if (Object.keys(inner).length > 0) patch.set(name, inner);
    } else if (JSON.stringify(before) !== JSON.stringify(value)) patch.set(name, value);
  }
  return Object.fromEntries(patch);
}
