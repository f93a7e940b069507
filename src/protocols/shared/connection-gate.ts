import type net from 'node:net';
import { addressShare } from '../../base/address.ts';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { isPolicyShare } from '../../core/identity/share-name.ts';

/**
 * Tells that a client has proved who it is. @param by whose share the connection uses (`shareName`); absent where an identity
 * has one connection by itself, as over MQTT
 */
export type Proved = (by?: string) => void;

export interface ConnectionLimits {
  /** Connections of all ports together, whatever they have proved. */
  readonly connectionsMax: number;
  /** Connections from one address; absent = as many as of all. */
  readonly connectionsPerAddressMax?: number;
  /** Connections on which no client has proved yet who it is, TLS handshakes included. */
  readonly unprovedConnectionsMax: number;
  /** Connections of one device with its modules, and of the holders of one policy; absent = as many as of all. */
  readonly connectionsPerDeviceMax?: number;
  readonly connectionsPerPolicyMax?: number;
}

/** What a gate has seen, for metrics. */
export interface ConnectionCounts {
  readonly open: number;
  readonly unproved: number;
  /** Refused because there were too many. */
  readonly refused: number;
  /** Ended in favour of newer ones: unproved, or beyond the share of their identity. */
  readonly displaced: number;
}

interface AddressEntry {
  readonly name: string;
  open: number;
  unproved: number;
}

/** One identity, or the holders of one policy. */
interface Holder {
  readonly name: string;
  /** The oldest first. */
  readonly places: Map<Place, net.Socket>;
}

/** A connection on which nothing is proved yet. */
interface Stranger {
  readonly socket: net.Socket;
  /** Monotonic milliseconds. */
  readonly since: number;
}

/** What a connection has of the gate. One object and no closures, because there is one for each idle connection. */
export class Place {
  readonly address: AddressEntry;
  holder: Holder | undefined;
  hasLeft = false;
  readonly #gate: ConnectionGate;

  constructor(gate: ConnectionGate, address: AddressEntry) {
    this.#gate = gate;
    this.address = address;
  }

  /** A client has proved who it is. Calling it again is harmless. */
  proved(by?: string): void {
    this.#gate.proved(this, by);
  }

  /** The connection has closed, or is about to. Calling it again is harmless. */
  leave(): void {
    this.#gate.left(this);
  }
}

/**
 * Bounds how many connections there are, of all ports that share it: in all, of one address, and of those on which nobody
 * has proved yet who he is. Strangers can make no more than the last; so neither memory nor file descriptors, which the
 * event log needs too, are theirs to use up.
 *
 * When the places are taken, a newcomer gets that of the oldest unproved one if that one has been slow (`unprovedSlowMs`) or
 * silent (`unprovedSilentMs`), or comes from an address that has clearly more of them than the newcomer's. Else the newcomer is
 * refused: in a rush of honest devices, a client that waits for its handshake keeps its place and the rush moves on.
 *
 * Of those who have proved who they are, one identity has its share of connections; of more, its oldest one ends.
 */
export class ConnectionGate {
  readonly #limits: ConnectionLimits;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #addresses = new Map<string, AddressEntry>();
  readonly #holders = new Map<string, Holder>();
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
    const share = addressShare(peer);
    const address = this.#addresses.get(share) ?? { name: share, open: 0, unproved: 0 };
    const { connectionsMax, connectionsPerAddressMax = connectionsMax, unprovedConnectionsMax } = this.#limits;
    if (this.#open >= connectionsMax && !this.#makeRoom(address)) return this.#refuse(socket, 'connectionsMax');
    if (address.open >= connectionsPerAddressMax) return this.#refuse(socket, 'connectionsPerAddressMax');
    if (this.#unproved.size >= unprovedConnectionsMax && !this.#makeRoom(address)) {
      return this.#refuse(socket, 'unprovedConnectionsMax');
    }
    const place = new Place(this, address);
    this.#addresses.set(share, address);
    this.#open++;
    address.open++;
    address.unproved++;
    this.#unproved.set(place, { socket, since: this.#clock.monotonic() });
    return place;
  }

  /** `Place.proved` */
  proved(place: Place, by?: string): void {
    const stranger = this.#unproved.get(place);
    if (stranger === undefined) return;
    this.#unproved.delete(place);
    place.address.unproved--;
    if (by !== undefined) this.#hold(place, stranger.socket, by);
  }

  /** `Place.leave` */
  left(place: Place): void {
    if (place.hasLeft) return;
    place.hasLeft = true;
    const { address } = place;
    this.proved(place);
    this.#letGo(place);
    this.#open--;
    if (--address.open === 0) this.#addresses.delete(address.name);
  }

  #makeRoom(newcomer: AddressEntry): boolean {
    const [first] = this.#unproved;
    if (first === undefined) return false;
    const [oldest, { socket, since }] = first;
    const age = this.#clock.monotonic() - since;
    const isSlow = age >= (socket.bytesRead === 0 ? limits.unprovedSilentMs : limits.unprovedSlowMs);
    const isGreedy = oldest.address.unproved > newcomer.unproved + limits.unprovedUnfairMin;
    if (!isSlow && !isGreedy) return false;
    // At once: its socket closes later, and what it had must be there for the newcomer.
    this.left(oldest);
    this.#displaced++;
    this.#warn('unprovedConnectionsMax');
    socket.destroy();
    return true;
  }

  #hold(place: Place, socket: net.Socket, name: string): void {
    const { connectionsMax, connectionsPerDeviceMax, connectionsPerPolicyMax } = this.#limits;
    const holder = this.#holders.get(name) ?? { name, places: new Map<Place, net.Socket>() };
    const [limit, max = connectionsMax] = isPolicyShare(name)
      ? (['connectionsPerPolicyMax', connectionsPerPolicyMax] as const)
      : (['connectionsPerDeviceMax', connectionsPerDeviceMax] as const);
    if (holder.places.size >= max) {
      const [[oldest, itsSocket]] = holder.places;
      this.left(oldest);
      this.#displaced++;
      this.#warn(limit, name);
      itsSocket.destroy();
    }
    place.holder = holder;
    holder.places.set(place, socket);
    this.#holders.set(name, holder);
  }

  #letGo(place: Place): void {
    const { holder } = place;
    if (holder === undefined) return;
    holder.places.delete(place);
    if (holder.places.size === 0) this.#holders.delete(holder.name);
  }

  #refuse(socket: net.Socket, limit: keyof ConnectionLimits): undefined {
    this.#refused++;
    this.#warn(limit);
    socket.destroy();
  }

  /** One line at a time: an attack must not fill the log. */
  #warn(limit: keyof ConnectionLimits, holder?: string): void {
    const now = this.#clock.monotonic();
    if (now - this.#warnedAt < limits.connectionWarningMs) return;
    this.#warnedAt = now;
    this.#log.warn({ limit, max: this.#limits[limit], holder, ...this.counts() }, 'there are too many connections');
  }
}
