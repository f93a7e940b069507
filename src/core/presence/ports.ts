import type { IdentityKey, PresenceState } from '../identity/types.ts';
import type { Call, ConnectionClaim, DisconnectReason, Note } from './types.ts';

/** Who is connected where. The newer connection of an identity wins; the older one is dropped as `taken-over`. */
export interface Presence {
  /**
   * Takes the identity's place and returns what the connection releases and reports by. Answered only when everything
   * that an older connection of the identity had handed over is durable or has failed.
   * @throws HubError ThrottlingException (a hub that limits connections), ServiceUnavailable (the place is not known to
   *   have been taken)
   */
  claim(claim: ConnectionClaim): Promise<PresenceTicket>;
  state(key: IdentityKey): Promise<PresenceState>;
  /** Devices (not modules) that are connected now. */
  connectedDevices(): Promise<number>;
  /**
   * Ends the identity's connection, if it has one; for a device also those of its modules.
   * @param unless keeps a connection; asked of the identity's own one only, and its modules then stay
   */
  drop(key: IdentityKey, reason: DisconnectReason, unless?: (claim: ConnectionClaim) => boolean): Promise<void>;
  /** Ends every connection whose certificate is of the authority with this thumbprint. */
  dropAuthority(thumbprint: string, reason: DisconnectReason): Promise<void>;
  /** Tells the identity's connection, if it has one, to look what waits for it. */
  wake(key: IdentityKey): Promise<void>;
  /**
   * Tells the identity's connection something; one connection hears its notes in the order of the calls. False = it has no
   * connection. True says that there is one, not that the note will reach it: it may end meanwhile.
   */
  notify(key: IdentityKey, note: Note): Promise<boolean>;
  /**
   * Asks the identity's connection, and resolves with its answer. The caller sets the time that it waits by `signal`.
   * @throws the signal's reason; HubError DeviceNotOnline (no connection, or it ended before the device heard of the call),
   *   DeviceConnectionClosedRemotely (it ended after that), OperationNotAvailable (it cannot be asked that), ThrottlingException, and what the connection answers
   */
  invoke(key: IdentityKey, call: Call, signal: AbortSignal): Promise<unknown>;
  /** Ends every connection, for a stop of the hub. */
  dropAll(reason: DisconnectReason): Promise<void>;
}

/** Hears of every connection once when it has its place and once when it has lost it, in this order. */
export interface ConnectionWatcher {
  /** @param connection names it among all that ever claim a place here */
  connected(claim: ConnectionClaim, connection: number): void;
  disconnected(claim: ConnectionClaim, connection: number, reason: DisconnectReason, detail?: string): void;
  /** The store has its state now, which could not be written when it was new: who has read it meanwhile has read an older one. */
  storedLate?(key: IdentityKey): void;
}

/** Connections as they come and go. */
export interface WatchedPresence extends Presence {
  /**
   * A connection that is taken over is told as ended before the one that took its place is told as connected; one that is
   * dropped while its claim is still being answered is told as connected first.
   */
  watch(watcher: ConnectionWatcher): void;
  /** Calls with each connection that there is and that something came from or went to since the last such call. */
  heardOf(tell: (claim: ConnectionClaim) => void): void;
}

export interface PresenceTicket {
  /**
   * The connection has ended. Harmless after a newer one has taken its place, and when called twice.
   * @param detail which rule it broke, and with what: for people, short, without anything secret
   */
  release(reason: DisconnectReason, detail?: string): void;
  /** The device said or received something. Cheap: called for each chunk of bytes. */
  touch(): void;
}

/** MQTT session state that outlives a connection: stock SDKs connect with CleanSession=0 and do not subscribe again. */
export interface SubscriptionStore {
  /** The session of this generation of the identity; one of an older generation does not count. */
  load(key: IdentityKey, generationId: string): Promise<readonly Subscription[] | undefined>;
  /** Replaces the session. Durable when the promise resolves. */
  save(key: IdentityKey, generationId: string, subscriptions: readonly Subscription[]): Promise<void>;
  remove(key: IdentityKey): Promise<void>;
}

export interface Subscription {
  readonly filter: string;
  readonly qos: 0 | 1;
}
