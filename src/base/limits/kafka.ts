import { KiB, MiB, SECOND_MS } from './units.ts';

export const kafkaLimits = {
  /** How long a broker may take for the connection, its TLS and its login together. */
  kafkaConnectMs: 10 * SECOND_MS,
  /** How long a leader waits for its replicas before it says that it does not know (error 7). */
  kafkaAcknowledgeMs: 5 * SECOND_MS,
  /** How long the hub waits for the answer to a request beyond what the broker itself may wait. */
  kafkaAnswerMs: 3 * SECOND_MS,
  /** An answer that says to be longer is not believed: the largest fetch, and a batch that is larger than was asked for. */
  kafkaAnswerBytesMax: 32 * MiB,
  /** Bytes of one message of a login; a server's first message of SCRAM has about 100. */
  kafkaLoginBytesMax: 4 * KiB,
  /** A server that asks for more rounds of SCRAM would keep the hub's processor busy; servers have 4,096 to 16,384 by default. */
  kafkaScramRoundsMax: 1_000_000,
} as const;
