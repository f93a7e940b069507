/** The adapter lorawan. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB, SECOND_MS } from './units.ts';

export const lorawanLimits = {
  /** Body of one webhook: an uplink that many gateways have heard has some ten. */
  lorawanBodyBytesMax: 128 * KiB,
  /** Headers of one webhook, in all. */
  lorawanHeaderBytesMax: 16 * KiB,
  /** A server has so long for a request: ChirpStack itself gives up after five seconds. */
  lorawanRequestMs: 10 * SECOND_MS,
  /** Requests whose messages wait for the hub; more are answered 503. */
  lorawanRequestsMax: 1000,
  /** Networks in the settings. */
  lorawanNetworksMax: 32,
  /** Devices of one network: the default, and the most that an operator may set. */
  lorawanDevices: 1000,
  lorawanDevicesMax: 50_000,
  /** Ids of messages that are remembered, so that one which a server sends again is not stored twice. */
  lorawanIdsRemembered: 10_000,
  /** Characters of an id that a server gives: more are cut. */
  lorawanIdCharsMax: 128,
  /** Payload of one LoRaWAN frame, by the regional parameters. */
  lorawanPayloadBytesMax: 242,
  /** Time for one call of a server's API. */
  lorawanCallMs: 10 * SECOND_MS,
  /** What is read of its answer. */
  lorawanAnswerBytesMax: 64 * KiB,
  /** Pause before a call that has failed for now is tried again; it doubles up to the second one. */
  lorawanRetryMsMin: 1 * SECOND_MS,
  lorawanRetryMsMax: 30 * SECOND_MS,
  /** Downlinks of one device that wait to be acknowledged. */
  lorawanDownlinksPerDeviceMax: 16,
  /** Sessions that are opened at once when the adapter starts. */
  lorawanReopenAtOnce: 16,
} as const;
