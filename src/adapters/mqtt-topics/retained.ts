/** Retained messages of one user's connections, the last of each topic. In memory: devices publish theirs again when they connect. */
import { limits } from '../../base/limits.ts';
import { filterMatches } from './pattern.ts';

/** Bytes that all users keep together. */
export interface RetainedBytes {
  total: number;
}

export class Retained {
  readonly #inAll: RetainedBytes;
  readonly #messages = new Map<string, Buffer>();
  #bytes = 0;

  constructor(inAll: RetainedBytes) {
    this.#inAll = inAll;
  }

  /** An empty payload removes it (3.3.1.3). False = there is no room, and the previous one has gone. @param payload copied */
  set(topic: string, payload: Buffer): boolean {
    this.#remove(topic);
    if (payload.length === 0) return true;
    const bytes = topic.length + payload.length;
    const { mqttTopicsRetainedMax, mqttTopicsRetainedBytesMax, mqttTopicsRetainedBytesInAllMax } = limits;
    if (this.#messages.size >= mqttTopicsRetainedMax || this.#bytes + bytes > mqttTopicsRetainedBytesMax) return false;
    if (this.#inAll.total + bytes > mqttTopicsRetainedBytesInAllMax) return false;
    this.#messages.set(topic, Buffer.from(payload));
    this.#count(bytes);
    return true;
  }

  matching(filter: string): [topic: string, payload: Buffer][] {
    return [...this.#messages].filter(([topic]) => filterMatches(filter, topic));
  }

  get size(): number {
    return this.#messages.size;
  }

  clear(): void {
    this.#messages.clear();
    this.#count(-this.#bytes);
  }

  #remove(topic: string): void {
    const old = this.#messages.get(topic);
    if (old === undefined) return;
    this.#messages.delete(topic);
    this.#count(-(topic.length + old.length));
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#inAll.total += bytes;
  }
}
