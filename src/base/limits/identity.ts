/** Identities, credentials, and how often they may fail. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB, SECOND_MS } from './units.ts';

export const identityLimits = {
  /** Service: characters of a device or module id. */
  identityIdCharsMax: 128,
  /** Service: characters of a status reason. */
  statusReasonCharsMax: 128,
  /** Service: characters of a message id. */
  messageIdCharsMax: 128,
  /** Service: identities in one bulk request. */
  bulkIdentitiesMax: 100,
  /** Service: devices in one page of the list. */
  listPageMax: 1000,
  /** Service: modules of one device. */
  modulesPerDeviceMax: 50,
  /** Service: parents of an identity in a nested edge. */
  parentScopesMax: 1,
  /** Children of an edge device in one answer to its runtime, each with its modules: what the runtime asks for. */
  scopePageMax: 100,
  /** Characters of the way from an edge device up to the one that asks: ids with their signs between. */
  authChainCharsMax: 1280,
  /** Service: levels of edge devices below each other. */
  edgeNestingMax: 5,
  /** Service: devices of one hub; ours is a setting. */
  devicesMax: 1_000_000,
  /** Decoded bytes of a symmetric key. */
  keyBytesMin: 16,
  keyBytesMax: 64,
  /** Keys that the hub makes itself. */
  keyBytesGenerated: 32,
  /** A SAS token is a few hundred bytes; anything far longer is an attack on the parser. */
  tokenCharsMax: 4 * KiB,
  /** Characters of the place that a token is shown for: a request's path, which may hold a file's name of 1,024 characters. */
  audienceCharsMax: 16 * KiB,
  /** Clock difference between a device and the hub that a token's end tolerates (device reference 1.5). */
  clockSkewMs: 300 * SECOND_MS,
  /** Devices whose rates a thread remembers; one that is forgotten begins with a full second's worth. */
  throttledDevicesMax: 200_000,
  /** Failures of one address or identity that are answered at once; each one after them waits twice as long. */
  failuresAtOnceMax: 5,
  refusalDelayMs: 100,
  refusalDelayMsMax: 5 * SECOND_MS,
  /** One failure is forgiven in this time. */
  failureForgivenMs: 10 * SECOND_MS,
  /** Addresses, and identities, whose failures are remembered. */
  failuresRememberedMax: 10_000,
  /** Refusals whose answers wait at the same time; those of further ones are given at once. */
  slowRefusalsMax: 1000,
  /**
   * Attempts of one address that are judged, or whose refusal has its time to wait, on one thread. With the longest delay an
   * address makes three guesses a second, whatever the number of its connections.
   */
  slowRefusalsPerAddressMax: 16,
  /** Devices that are named in the report of a roll-over of the hub's authority; all of them are counted. */
  unseenDevicesShownMax: 1000,
  /** Service: certificate authorities of one hub. */
  authoritiesMax: 25,
  authorityNameCharsMax: 64,
  /** DER bytes of one certificate that is read: an RSA one of 4096 bits with many names has 2 to 3 KiB. */
  certificateBytesMax: 16 * KiB,
  /** Intermediates between a device and its authority. */
  certificateIntermediatesMax: 5,
  /** Signatures that are checked for one chain, some 100 µs each: crafted chains must not buy more. */
  certificateSignaturesMax: 16,
  /** Intermediates that are remembered for resumed TLS sessions, over all authorities. */
  intermediatesKeptMax: 256,
  /** Identities that a thread keeps ready for authentication. */
  identityCacheMax: 200_000,
  /** Ids that a thread remembers not to exist, so that guessed ones do not reach the store again and again. */
  unknownIdentityCacheMax: 10_000,
  /** Characters of a device scope: an identity's id, a generation id and a scheme. */
  scopeCharsMax: 256,
} as const;
