/** AMQP. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB, MiB, SECOND_MS } from './units.ts';

export const amqpLimits = {
  /**
   * Work of one AMQP connection before the others have their turn; a small frame is one unit of it. The smallest ask for an answer
   * each: a chunk of the socket holds two thousand of them, and the runtime reads up to 32 chunks before it looks at the next socket.
   */
  amqpWorkPerTurn: 128,
  /** Bytes of batches that are taken apart in one turn, of all connections of a thread; the last one may go beyond it. */
  amqpBatchBytesPerTurn: 32 * KiB,
  /** Links of one AMQP connection that are woken in one turn because a window or the socket has room again. */
  amqpWakesPerTurn: 64,
  /** AMQP frame that the hub accepts and announces (device reference 3.1). */
  amqpFrameBytesMax: 64 * KiB,
  /** Frames before the connection is authenticated: a token and a few addresses. */
  amqpFrameBytesMaxUnauthenticated: 16 * KiB,
  /** All bytes of a connection before it is authenticated: header, open, a few attaches, a token. */
  amqpUnauthenticatedBytesMax: 64 * KiB,
  /** A gateway speaks for up to 1000 devices over one AMQP connection; some SDKs begin a session for each of them. */
  amqpSessionsMax: 1024,
  /** Links of one AMQP connection, of all its sessions together: up to six for each device behind a gateway. */
  amqpLinksMax: 8192,
  /**
   * Links of one device on an AMQP connection; the SDKs have up to six. Each that receives commands asks the store whenever one
   * may wait.
   */
  amqpLinksPerDeviceMax: 128,
  /** Devices for which one AMQP connection may put a token: one per device behind a gateway. */
  amqpTokensMax: 1024,
  /** Tokens of policies that one AMQP connection may put: one per event hub link. Each link asks all of them. */
  amqpPolicyTokensMax: 256,
  /** Device reference 3.3: what the hub announces for messages by AMQP; the SDKs fill batches up to it. */
  amqpMessageBytesMax: 1 * MiB,
  /** Bytes of messages that have begun and not ended, of all links of one AMQP connection together. */
  amqpPartialBytesMax: 16 * MiB,
  /** Bytes of one attach: names, addresses and filters of the SDKs have some hundred, and a link keeps them. */
  amqpAttachBytesMax: 8 * KiB,
  /**
   * What sessions and links of one AMQP connection may keep in memory: a link of the SDKs keeps 2 to 4 KiB. Before anybody has
   * proved who he is, that of one connection (a gateway of Java begins a session for each of 1,000 devices before its first token) and
   * of all of them together.
   */
  amqpKeptBytesMax: 40 * MiB,
  amqpUnprovedKeptBytesMax: 1280 * KiB,
  amqpUnprovedKeptBytesMaxInAll: 64 * MiB,
  /** Deliveries of one AMQP connection that its peer has not settled: each disposition may name any range of them. */
  amqpUnsettledMax: 4096,
  /** Telemetry messages of one AMQP link that are not durable yet. */
  amqpTelemetryInflightMax: 1024,
  /** Credit of an AMQP telemetry link whose device is held to a rate. */
  amqpThrottledCreditMax: 32,
  /** Messages of one AMQP batch: each is a record of some hundred bytes, however short its body. */
  amqpBatchMessagesMax: 5000,
  /** Commands that one back end's AMQP link may have sent and that are not stored yet. */
  amqpCommandsInflightMax: 256,
  /** Bytes of commands that are not stored yet, of all back ends and of the holders of one policy: a link's 256 may have 64 KiB each. */
  amqpCommandsBytesMax: 64 * MiB,
  amqpCommandsBytesPerPolicyMax: 32 * MiB,
  /** Feedback messages that one back end may hold unsettled over one AMQP link. */
  amqpReceiptBatchesMax: 8,
  /**
   * Questions for receipts and for notifications of files that the links of one policy may have in hand: each is a call of the
   * tables, one connection can have thousands of such links, and all of them look when something has happened.
   */
  amqpTakesPerPolicyMax: 32,
  /** How often AMQP links that wait look for receipts whose time has come. */
  amqpPulseMs: 1 * SECOND_MS,
  /** The same when something has happened: what happens in this time is looked at once. */
  amqpHurryMs: 50,
  /** Refusals of one AMQP connection that the log has a line for: a link that is refused costs its peer some bytes. */
  amqpRefusalsLoggedMax: 16,
  /** Requests to a node of an AMQP connection whose answers wait for the peer's credit. */
  amqpAnswersMax: 64,
  /** Largest request to `$cbs` or `$management`: a token and a few names. */
  amqpRequestBytesMax: 16 * KiB,
  /** How long the hub waits for the peer's answer to its AMQP close before it cuts the stream. */
  amqpCloseMs: 5 * SECOND_MS,
  /**
   * What the values of one AMQP message may take in memory while it is read: a byte on the wire can become a hundred of it. A
   * body is one value, and a hundred properties of 2 KiB take half of it.
   */
  amqpMessageDecodedBytesMax: 1 * MiB,
  /** The same for a batch and all its messages: a full one, 5,000 messages with ten properties each, takes 7 MiB. */
  amqpBatchDecodedBytesMax: 12 * MiB,
  /** The same for the fields of a frame, and for a request to `$cbs` or `$management`: those of the SDKs take 2 to 8 KiB. */
  amqpFrameDecodedBytesMax: 32 * KiB,
  amqpRequestDecodedBytesMax: 64 * KiB,
  /** Nesting of AMQP described types, lists and maps. */
  amqpNestingMax: 16,
  /** Silence after which the hub ends an AMQP connection (device reference 3.1). */
  amqpIdleTimeoutMs: 240 * SECOND_MS,
} as const;
