import type { PeerCertificate } from '../../core/identity/types.ts';

/** What a connection does to its stream. */
export interface Link {
  /** What was written waits for the peer to read. The connection's `drained` is called when it no longer waits. */
  readonly congested: boolean;
  /**
   * @param written is called when the bytes have left, or with an error when they never will.
   * @returns false: more than `limits.mqttOutputBytesMax` wait.
   */
  write(bytes: Buffer, written?: (error?: Error | null) => void): boolean;
  /** No more `receive` until `resume`. */
  pause(): void;
  resume(): void;
  /** Calls back when the other connections have had their turn. */
  nextTurn(begin: () => void): void;
  /** Closes after what was written has left. */
  end(): void;
  /** Closes at once. */
  destroy(): void;
}

/** Where a connection comes from. */
export interface Origin {
  readonly protocol: 'mqtt' | 'mqtt-ws';
  /** Address without its port. */
  readonly peer: string;
  /** The client certificate of the TLS layer; asked for at the CONNECT, and only when that brings no password. */
  certificate?(): PeerCertificate | undefined;
  /** A client has proved who it is. */
  proved?(by?: string): void;
}
