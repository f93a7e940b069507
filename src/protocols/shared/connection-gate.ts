import type net from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';

export interface ConnectionLimits {
  /** Connections of all ports together, whatever they have proved. */
  readonly connectionsMax: number;
  /** Connections from one address; absent = as many as of all. */
  readonly connectionsPerAddressMax?: number;
  /** Connections on which nobody has proved yet who he is, TLS handshakes included. */
  readonly unprovedConnectionsMax: number;
}

/** What a gate has seen, for metrics. */
export interface ConnectionCounts {
  readonly open: number;
  readonly unproved: number;
  /** Refused because there were too many. */
  readonly refused: number;
  /** Ended, unproved, in favour of newer ones. */
  readonly displaced: number;
}

interface Entry {
  readonly socket: net.Socket;
  readonly address: AddressEntry;
  /** Monotonic milliseconds. */
  readonly since: number;
}

interface AddressEntry {
  readonly name: string;
  open: number;
  unproved: number;
}

/**
 * Bounds how many connections there are, of all ports that share it: in all, of one address, and of those on which nobody
 * has proved yet who he is. Strangers can make no more than the last; so neither memory nor file descriptors, which the
 * event log needs too, are theirs to use up.
 *
 * When the places of the unproved are taken, a newcomer gets that of the oldest if that one has been slow
 * (`unprovedSlowMs`), or comes from an address that has clearly more of them than the newcomer's. Else the newcomer is
 * refused: in a rush of honest devices, whoever waits for his handshake keeps his place and the rush moves on.
 */
export class ConnectionGate {
  readonly #limits: ConnectionLimits;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #addresses = new Map<string, AddressEntry>();
  /** In the order in which they came. */
  readonly #unproved = new Set<Entry>();
  #open = 0;
  #refused = 0;
  #displaced = 0;
  #warnedAt = Number.NEGATIVE_INFINITY;

  constructor(bounds: ConnectionLimits, clock: Clock, log: Log) {
    this.#limits = bounds;
    this.#clock = clock;
    this.#log = log;
  }

  counts(): ConnectionCounts {
    return { open: this.#open, unproved: this.#unproved.size, refused: this.#refused, displaced: this.#displaced };
  }

  /**
   * Lets a new connection in, or destroys it and answers undefined.
   * @returns to be called when somebody has proved on it who he is; calling it again is harmless.
   */
  admit(socket: net.Socket): (() => void) | undefined {
    const name = socket.remoteAddress ?? '';
    const address = this.#addresses.get(name) ?? { name, open: 0, unproved: 0 };
    const { connectionsMax, connectionsPerAddressMax = connectionsMax, unprovedConnectionsMax } = this.#limits;
    if (this.#open >= connectionsMax) return this.#refuse(socket, 'connectionsMax');
    if (address.open >= connectionsPerAddressMax) return this.#refuse(socket, 'connectionsPerAddressMax');
    if (this.#unproved.size >= unprovedConnectionsMax && !this.#makeRoom(address)) {
      return this.#refuse(socket, 'unprovedConnectionsMax');
    }
    const entry: Entry = { socket, address, since: this.#clock.monotonic() };
    this.#addresses.set(name, address);
    this.#open++;
    address.open++;
    address.unproved++;
    this.#unproved.add(entry);
    socket.once('close', () => {
      this.#proved(entry);
      this.#open--;
      if (--address.open === 0) this.#addresses.delete(name);
    });
    return () => this.#proved(entry);
  }

  #proved(entry: Entry): void {
    if (this.#unproved.delete(entry)) entry.address.unproved--;
  }

  #makeRoom(newcomer: AddressEntry): boolean {
    const [oldest] = this.#unproved;
    const isSlow = this.#clock.monotonic() - oldest.since >= limits.unprovedSlowMs;
    const isGreedy = oldest.address.unproved > newcomer.unproved + limits.unprovedUnfairMin;
    if (!isSlow && !isGreedy) return false;
    this.#proved(oldest);
    this.#displaced++;
    this.#warn('unprovedConnectionsMax');
    oldest.socket.destroy();
    return true;
  }

  #refuse(socket: net.Socket, limit: keyof ConnectionLimits): undefined {
    this.#refused++;
    this.#warn(limit);
    socket.destroy();
  }

  /** One line at a time: an attack must not fill the log. */
  #warn(limit: keyof ConnectionLimits): void {
    const now = this.#clock.monotonic();
    if (now - this.#warnedAt < limits.connectionWarningMs) return;
    this.#warnedAt = now;
    this.#log.warn({ limit, max: this.#limits[limit], ...this.counts() }, 'there are too many connections');
  }
}
