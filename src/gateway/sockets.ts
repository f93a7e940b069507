/** The listeners that a host opens for an adapter, with their bounds. They are closed by the host when the adapter stops. */
import type { Duplex } from 'node:stream';

export interface Listeners {
  /** @param serve Gets each connection; whatever it throws or rejects with destroys that one alone, and is logged */
  tcp(options: TcpOptions, serve: (connection: Connection) => Promise<void> | void): Promise<Listening>;
  /** @param serve Gets each datagram; what it throws or rejects with is logged. `peer` and `port` are those of the sender */
  udp(options: UdpOptions, serve: (datagram: Datagram) => Promise<void> | void): Promise<DatagramSocket>;
}

export interface Listening {
  readonly host: string;
  /** The one that was opened where 0 was asked for. */
  readonly port: number;
  close(): Promise<void>;
}

export interface ListenOptions {
  /** Address to listen on. Absent = 127.0.0.1. */
  readonly host?: string;
  /** 0 = any that is free. */
  readonly port: number;
}

export interface TcpOptions extends ListenOptions {
  /** Absent = plain TCP. */
  readonly tls?: TlsOptions;
  /** Open connections; absent = 1,000. More are closed at once, and counted. */
  readonly connectionsMax?: number;
  /** Of one address; absent = 100. */
  readonly connectionsPerAddressMax?: number;
  /** Until the TLS handshake is done; absent = 10. */
  readonly handshakeSeconds?: number;
  /** Ends a connection on which nothing was received for so long; absent = never. */
  readonly silenceSeconds?: number;
}

export interface TlsOptions {
  /** `'host'` = what the host has: the hub's own, or what `mooring gateway run` was given. `'none'` = with `sharedKeys` alone. */
  readonly certificate: 'host' | 'none' | { readonly certificateFile: string; readonly keyFile: string };
  /** Asks the client for a certificate, whose key it then has proved to hold; the hub judges the rest. */
  readonly clientCertificates?: boolean;
  /** Lets clients in by pre-shared keys too (TLS 1.2), as `Host.sharedKey` answers them; the identity is the device. */
  readonly sharedKeys?: boolean;
  /** Protocol names to choose from (ALPN). */
  readonly alpn?: readonly string[];
}

/**
 * A connection of a device, a stream of bytes both ways. Reading it no faster than it is served is what slows the device. Once `end` was
 * called, what the peer still sends is ignored, and the connection is closed two seconds later at most.
 */
export interface Connection extends Duplex {
  /** Address of the peer without its port. */
  readonly peer: string;
  readonly peerPort: number;
  /** The client's certificate and the intermediates that it sent, DER, leaf first; empty = none. */
  readonly certificates: readonly Uint8Array[];
  /** The pre-shared identity that the client has proved; undefined = none. */
  readonly pskIdentity?: string;
  readonly alpn?: string;
}

export interface UdpOptions extends ListenOptions {
  /** Of all senders, kept for a second at most; absent = 20,000. More are dropped and counted. */
  readonly datagramsPerSecondMax?: number;
  /** Of one address; absent = 1,000. */
  readonly datagramsPerAddressPerSecondMax?: number;
}

export interface Datagram {
  readonly bytes: Uint8Array;
  readonly peer: string;
  readonly peerPort: number;
}

export interface DatagramSocket extends Listening {
  /** Sends without waiting; what the system does not take is lost, as any datagram may be. */
  send(bytes: Uint8Array, peer: string, peerPort: number): void;
}
