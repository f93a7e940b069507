import type { MonitoringEvent } from '../../src/core/monitoring/types.ts';
import type { World } from './world.ts';

/**
 * What the hub tells of itself agrees with itself: a device is connected and disconnected in turn, numbers of one
 * source only grow, over restarts too, and no command is told to have ended twice.
 */
export class MonitoringChecker {
  /** UTC milliseconds of the newest event, and how many there were, as the stream on disk would know it. */
  lastTime = 0;
  count = 0;
  readonly #world: World;
  readonly #numbers = new Map<string, number>();
  readonly #ended = new Set<string>();
  #connected = new Map<string, string | undefined>();

  constructor(world: World) {
    this.#world = world;
  }

  /** The hub's process is another one: all connections of the former are gone. */
  restarted(): void {
    this.#connected = new Map();
  }

  seen(event: MonitoringEvent): void {
    const { deviceId = 'the hub', sequenceNumber, correlationId } = event;
    // It is stored no earlier than it is told.
    this.count++;
    this.lastTime = Math.max(this.lastTime, this.#world.scheduler.now());
    const before = this.#numbers.get(deviceId) ?? 0;
    this.#world.check(sequenceNumber > before, () => {
      return `monitoring: ${event.type} of ${deviceId} has number ${sequenceNumber} behind ${before}`;
    });
    this.#numbers.set(deviceId, sequenceNumber);
    switch (event.type) {
      case 'connected':
        this.#world.check(!this.#connected.has(deviceId), () => `monitoring: ${deviceId} is told as connected twice`);
        this.#connected.set(deviceId, correlationId);
        break;
      case 'disconnected': {
        const isSame = this.#connected.get(deviceId) === correlationId && this.#connected.delete(deviceId);
        this.#world.check(isSame, () => `monitoring: ${deviceId} ends a connection (${event.reason}) that it has not`);
        break;
      }
      case 'commandExpired':
      case 'commandRejected':
      case 'commandGivenUp': {
        const name = `${deviceId} ${event.messageId}`;
        this.#world.check(!this.#ended.has(name), () => `monitoring: the end of ${name} is told twice`);
        this.#ended.add(name);
        break;
      }
    }
  }
}
