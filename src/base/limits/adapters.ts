/** Adapters and their hosts. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB, MiB, SECOND_MS } from './units.ts';

export const adaptersLimits = {
  /** Adapters of one hub: each is a process. */
  adaptersMax: 16,
  /** Characters of an adapter's name, and of what names a device outside (a topic, a Dev EUI). */
  adapterNameCharsMax: 32,
  adapterAddressCharsMax: 200,
  /** Open connections of a listener of an adapter, and of one address there, unless the adapter asks for other bounds. */
  adapterConnectionsMax: 1000,
  adapterConnectionsPerAddressMax: 100,
  /** Until a TLS handshake at such a listener is done. */
  adapterHandshakeMs: 10 * SECOND_MS,
  /** What waits in the socket of a peer that does not read, before the connection is ended. */
  adapterOutputBytesMax: 1 * MiB,
  /** How long a connection that the adapter has ended may take to read its last bytes. */
  adapterLingerMs: 2 * SECOND_MS,
  /** How often silence and output of an adapter's connections are looked at. */
  adapterSweepMs: 1 * SECOND_MS,
  /** Datagrams of all peers and of one address in a second, unless the adapter asks for other bounds; and addresses told apart in it. */
  adapterDatagramsPerSecond: 20_000,
  adapterDatagramsPerAddressPerSecond: 1000,
  adapterDatagramAddressesMax: 10_000,
  /** Before the key exchange of a TLS client that proves a pre-shared key: a ClientHello and a ClientKeyExchange are a few hundred. */
  adapterPskHandshakeBytesMax: 64 * KiB,
  /** Facts that an adapter keeps, and the bytes of one. */
  adapterMemoryKeysMax: 10_000,
  adapterMemoryValueBytesMax: 64 * KiB,
  adapterMemoryKeyCharsMax: 256,
  /** Names of numbers that an adapter counts by itself. */
  adapterMetricsMax: 100,
  /** Sessions of one adapter at a time. */
  adapterSessionsMax: 100_000,
} as const;
