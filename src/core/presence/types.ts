import type { IdentityKey, Origin } from '../identity/types.ts';

/** Why the hub ended a connection, or saw it end. The monitoring stream and the log use these words. */
export type DisconnectReason =
  | 'by-client'
  | 'connection-lost'
  | 'keep-alive'
  | 'taken-over'
  | 'token-expired'
  | 'disabled'
  | 'deleted'
  | 'credentials-changed'
  | 'authority-removed'
  | 'protocol-error'
  | 'storage-failed'
  | 'hub-stopping';

/** What a door tells presence when a device has authenticated. */
export interface ConnectionClaim {
  readonly key: IdentityKey;
  readonly generationId: string;
  readonly protocol: NonNullable<Origin['protocol']>;
  readonly credential: NonNullable<Origin['credential']>;
  /** `DevicePrincipal.authority`: the connection ends when that authority is removed. */
  readonly authority?: string;
  /** `DevicePrincipal.credentials`: the connection ends when none of them stands any more. */
  readonly credentials?: string;
  /** Peer address without its port. */
  readonly peer: string;
  /** What names the device outside, behind an adapter: a Dev EUI, a topic. */
  readonly address?: string | undefined;
  /**
   * The member of the node that serves the connection, if that is not its own loop: a thread. Connections of one member
   * share a writer, which keeps their order.
   */
  readonly member?: string;
  /**
   * Ends the connection. Called at most once, never after `release`. The promise, where there is one, resolves when what
   * the connection had handed over is durable or has failed, or nothing of it can come any more; it rejects when that is not
   * known. Without one it shares its writer with the node's own loop.
   */
  drop(reason: DisconnectReason): Promise<void> | void;
  /** Something may wait for the device (a command): look. */
  wake?(): void;
  /** Something has happened that the device is to be told. A kind that is not known is ignored. */
  notify?(note: Note): void;
  /** Asks the device. @throws HubError OperationNotAvailable for a kind that is not known */
  invoke?(call: Call, signal: AbortSignal): Promise<unknown>;
}

/** What a connection is told. Plain data, for it crosses threads and nodes: the receiving one may be of another version. */
export interface Note {
  /** Whose note it is, and so what `value` is. */
  readonly kind: string;
  readonly value?: unknown;
}

/** What a connection is asked for; plain data, as its answer. */
export interface Call {
  readonly kind: string;
  readonly value?: unknown;
}
