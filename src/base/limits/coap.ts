/** CoAP. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB, MiB, SECOND_MS } from './units.ts';

export const coapLimits = {
  /** A datagram that the hub reads: a block of 1,024 bytes, its options and the protection around it. A larger one is ignored. */
  coapDatagramBytesMax: 4 * KiB,
  /** Options of one message; the clients of the field send fewer than ten. */
  coapOptionsMax: 48,
  /** Bytes of one option: RFC 7252 (table 4) allows 255 for each that the hub knows, RFC 8613 as many for its own. */
  coapOptionBytesMax: 255,
  /** A message on a stream; announced by the hub's CSM, and RFC 8323's own base value (5.3.1). What is larger comes in blocks. */
  coapStreamMessageBytesMax: 1152,
  /** Bytes that a peer may leave unread on a stream before it is cut off. */
  coapStreamUnsentBytesMax: 256 * KiB,
  /** Silence after which a stream counts as dead: a device that waits sends a Ping, or an empty message, more often. */
  coapStreamSilenceMs: 30 * 60 * SECOND_MS,
  /** Bytes of the options that tell the properties of a command: with a block of 512 bytes they fit into one message. */
  coapCommandOptionBytesMax: 512,
  /** RFC 7252 section 4.8: ACK_TIMEOUT, MAX_RETRANSMIT and, derived from them, EXCHANGE_LIFETIME. */
  coapAcknowledgeMs: 2 * SECOND_MS,
  coapRetransmissions: 4,
  coapExchangeMs: 247 * SECOND_MS,
  /** A request that is not answered by then gets an empty acknowledgement; half of the time after which clients repeat it. */
  coapSeparateMs: 1 * SECOND_MS,
  /** Endpoints that are remembered: those that have proved themselves and were heard within an exchange's lifetime. */
  coapEndpointsMax: 20_000,
  /** Endpoints of one device: one that comes from many ports forgets its own oldest one, and pushes out nobody else's. */
  coapEndpointsPerDeviceMax: 64,
  /** How long an Echo shows that an address was its sender's. */
  coapEchoMs: 30 * SECOND_MS,
  /** Requests of one endpoint whose duplicates are known. RFC 7252 (NSTART) lets a client have one open at a time. */
  coapSeenPerEndpointMax: 32,
  /** A request of an endpoint that is kept, so that the options of the next one are known again. */
  coapKeptRequestBytesMax: 512,
  /** Answers to GET that are kept for a duplicate; longer ones are read again. */
  coapKeptAnswerBytesMax: 128,
  /** Requests of one endpoint that are worked on at a time; more are dropped, and come again. */
  coapWorkingPerEndpointMax: 16,
  /** Notifications and answers of the hub's that await the acknowledgement of one endpoint. */
  coapUnacknowledgedPerEndpointMax: 16,
  /** Requests of addresses that have not proved anything, whose credentials are judged at a time: of all, and of one address. */
  coapJudgedMax: 512,
  /** Of all, those without protection: a wrong key is judged slowly on purpose, and is not to hold up devices that use OSCORE. */
  coapJudgedPlainMax: 256,
  coapJudgedPerAddressMax: 128,
  /** The largest block: 2 ** (6 + 4) = 1,024 bytes (RFC 7959), which fits into what every link carries in one piece. */
  coapBlockExponentMax: 6,
  /** Bodies in blocks that devices have begun, all together, and of one device. */
  coapUploadBytesMax: 32 * MiB,
  coapUploadsPerDeviceMax: 4,
  /** A body whose next block does not come for so long is forgotten. */
  coapUploadMs: 60 * SECOND_MS,
  /** Bodies longer than a block that are kept for the blocks behind the first one, all together, and of one device. */
  coapBodyBytesMax: 32 * MiB,
  coapBodiesPerDeviceMax: 4,
  coapBodyMs: 60 * SECOND_MS,
  /** Files that devices fetch, and files that they upload, of which a part is here; the oldest part that is read makes room. */
  coapFilesMax: 256,
  /** Observations of one device. */
  coapObserversPerDeviceMax: 8,
  /** Notifications that wait behind each other for one observer: as many as methods and commands wait for its device, twice. */
  coapNotificationsWaitingMax: 32,
  /** Devices whose OSCORE contexts are kept; one that is not kept shows once more that it is alive (RFC 8613 B.1.2). */
  coapOscoreContextsMax: 20_000,
  /** Requests that may overtake each other (RFC 8613 section 3.2.2). */
  coapOscoreWindow: 32,
  /** How often a seal that a kept context does not open makes the adapter ask whether the device has a new key. */
  coapOscoreKeyCheckMs: 1 * SECOND_MS,
  /** Numbers of the adapter's own that are reserved on the disk at a time. */
  coapOscoreNumbersReserved: 4096,
  /** How long a GET of commands waits for one. */
  coapCommandWaitMs: 3 * SECOND_MS,
  /** Methods of one device that wait for the device to hear of them. */
  coapMethodsPerDeviceMax: 16,
} as const;
