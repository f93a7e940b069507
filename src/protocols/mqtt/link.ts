import type { PeerCertificate } from '../../core/identity/types.ts';

/** What a session does to its connection. */
export interface Link {
  /** False: the peer does not keep up; the session's `drained` will be called. */
  write(bytes: Buffer): boolean;
  /** No more `receive` until `resume`. */
  pause(): void;
  resume(): void;
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
  readonly certificate?: PeerCertificate;
}
