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

interface AddressEntry {
  readonly name: string;
  open: number;
  unproved: number;
}

/** Somebody on whom nothing is proved yet. */
interface Stranger {
  readonly socket: net.Socket;
  /** Monotonic milliseconds. */
  readonly since: number;
}

/** What a connection has of the gate. One object and no closures, because there is one for each idle connection. */
export class Place {
  readonly address: AddressEntry;
  readonly #gate: ConnectionGate;

  constructor(gate: ConnectionGate, address: AddressEntry) {
    this.#gate = gate;
    this.address = address;
  }

  /** Somebody has proved who he is. Calling it again is harmless. */
  proved(): void {
    this.#gate.proved(this);
  }

  /** The connection has closed. */
  leave(): void {
    this.#gate.left(this);
  }
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
  readonly #unproved = new Map<Place, Stranger>();
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
   * Lets a new connection in, or destroys it and answers undefined. Its place is to be left when it has closed.
   * @param peer its address, without the port
   */
  admit(socket: net.Socket, peer: string): Place | undefined {
    const address = this.#addresses.get(peer) ?? { name: peer, open: 0, unproved: 0 };
    const { connectionsMax, connectionsPerAddressMax = connectionsMax, unprovedConnectionsMax } = this.#limits;
    if (this.#open >= connectionsMax) return this.#refuse(socket, 'connectionsMax');
    if (address.open >= connectionsPerAddressMax) return this.#refuse(socket, 'connectionsPerAddressMax');
    if (this.#unproved.size >= unprovedConnectionsMax && !this.#makeRoom(address)) {
      return this.#refuse(socket, 'unprovedConnectionsMax');
    }
    const place = new Place(this, address);
    this.#addresses.set(peer, address);
    this.#open++;
    address.open++;
    address.unproved++;
    this.#unproved.set(place, { socket, since: this.#clock.monotonic() });
    return place;
  }

  /** `Place.proved` */
  proved(place: Place): void {
    if (this.#unproved.delete(place)) place.address.unproved--;
  }

  /** `Place.leave` */
  left(place: Place): void {
    const { address } = place;
    this.proved(place);
    this.#open--;
    if (--address.open === 0) this.#addresses.delete(address.name);
  }

  #makeRoom(newcomer: AddressEntry): boolean {
    const [[oldest, { socket, since }]] = this.#unproved;
    const isSlow = this.#clock.monotonic() - since >= limits.unprovedSlowMs;
    const isGreedy = oldest.address.unproved > newcomer.unproved + limits.unprovedUnfairMin;
    if (!isSlow && !isGreedy) return false;
    this.proved(oldest);
    this.#displaced++;
    this.#warn('unprovedConnectionsMax');
    socket.destroy();
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
