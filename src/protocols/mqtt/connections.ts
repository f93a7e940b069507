import type { Duplex } from 'node:stream';
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { work } from '../../base/work.ts';
import type { Hub } from '../../core/hub.ts';
import { readsShared, type StreamOwner } from '../shared/shared-reads.ts';
import { MqttConnection } from './connection.ts';
import type { Link, Origin } from './link.ts';

/** All MQTT connections of one door, over whatever kind of byte stream they come. */
export interface MqttConnections {
  /** Serves one stream of bytes, which it owns from here. */
  accept(stream: Duplex, origin: Origin): void;
  count(): number;
  /** Lets every connection finish what it began, for at most `withinMs`, and ends it. Resolves when all are gone. */
  drain(withinMs?: number): Promise<void>;
}

export function mqttConnections(hub: Hub): MqttConnections {
  return new Connections(hub);
}

class Connections implements MqttConnections {
  readonly #hub: Hub;
  readonly #open = new Set<Connection>();
  /** Set while connections are open: an idle door does not wake up. */
  #stopPulse: Cancel | undefined;
  #draining = false;
  /** Called when the last connection has gone. */
  #onEmpty: () => void = () => {};

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  /** The stream of one of them has closed. */
  forget(connection: Connection): void {
    this.#open.delete(connection);
    if (this.#open.size === 0) this.#onEmpty();
  }

  get clock(): Clock {
    return this.#hub.clock;
  }

  count(): number {
    return this.#open.size;
  }

  accept(stream: Duplex, origin: Origin): void {
    if (this.#draining) {
      stream.destroy();
      return;
    }
    const connection = new Connection(this, this.#hub, stream, origin);
    this.#open.add(connection);
    if (this.#stopPulse === undefined) this.#pulse();
  }

  async drain(withinMs: number = limits.drainMs): Promise<void> {
    this.#draining = true;
    const empty = new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      if (this.#open.size === 0) resolve();
    });
    const giveUp = this.#hub.clock.after(withinMs, () => {
      for (const connection of this.#open) connection.destroy();
    });
    for (const stream of this.#open) stream.connection.drain();
    await empty;
    giveUp();
    this.#stopPulse?.();
  }

  /** One timer for all connections. */
  #pulse(): void {
    const { clock } = this.#hub;
    this.#stopPulse = clock.after(limits.mqttPulseMs, () => {
      const now = clock.monotonic();
      const wall = clock.now();
      for (const connection of this.#open) connection.pulse(now, wall);
      this.#stopPulse = undefined;
      if (this.#open.size > 0) this.#pulse();
    });
  }
}

/** One stream and its connection. Few fields and no closures, because there is one for each idle device. */
class Connection implements Link, StreamOwner {
  readonly connection: MqttConnection;
  readonly #all: Connections;
  readonly #stream: Duplex;
  /** Monotonic time by which an ended stream must have closed. */
  #lingerUntil: number | undefined;
  #awaitsDrain = false;

  constructor(all: Connections, hub: Hub, stream: Duplex, origin: Origin) {
    this.#all = all;
    this.#stream = stream;
    this.connection = new MqttConnection(hub, this, origin);
    // A stream that fails closes by itself; sockets of the listener are listened to already.
    if (stream.listenerCount('error') === 0) stream.on('error', ignore);
    if (readsShared(stream)) {
      stream.owner = this;
      return;
    }
    stream.on('data', (bytes: Buffer) => this.receive(bytes));
    stream.on('end', () => this.ended());
    stream.on('close', () => this.closed());
  }

  receive(bytes: Buffer): void {
    work.mqttReads++;
    this.connection.receive(bytes);
  }

  ended(): void {
    this.connection.ended();
  }

  closed(): void {
    this.#all.forget(this);
    this.connection.ended();
  }

  pulse(now: number, wall: number): void {
    if (this.#lingerUntil !== undefined && now >= this.#lingerUntil) this.#stream.destroy();
    else this.connection.pulse(now, wall);
  }

  get congested(): boolean {
    return this.#awaitsDrain;
  }

  write(bytes: Buffer, written?: (error?: Error | null) => void): boolean {
    const stream = this.#stream;
    // A stream that is gone has told, or will tell, the connection by its `close`.
    if (!stream.writable || stream.write(bytes, written)) return true;
    if (!this.#awaitsDrain) {
      this.#awaitsDrain = true;
      stream.once('drain', () => {
        this.#awaitsDrain = false;
        this.connection.drained();
      });
    }
    return stream.writableLength <= limits.mqttOutputBytesMax;
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  nextTurn(begin: () => void): void {
    setImmediate(begin);
  }

  end(): void {
    this.#lingerUntil = this.#all.clock.monotonic() + limits.mqttLingerMs;
    this.#stream.end();
    // What the peer still sends is thrown away, so that its own end is seen.
    this.#stream.resume();
  }

  destroy(): void {
    this.#stream.destroy();
  }
}

function ignore(): void {}
