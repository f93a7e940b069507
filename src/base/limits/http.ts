/** HTTP, and what our own client of the API reads. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB, MiB, SECOND_MS } from './units.ts';

export const httpLimits = {
  /** Largest body of a management request: one bulk request of 100 full identities fits. */
  requestBytesMax: 1 * MiB,
  /** All header lines of one HTTP request together; a device's message properties travel in them. */
  httpHeaderBytesMax: 16 * KiB,
  /** From the first byte of an HTTP request to its last: a slow sender does not hold a connection for longer. */
  httpRequestMs: 60 * SECOND_MS,
  /**
   * Values of one JSON body of the management API, and how deep they may be nested: counted on the bytes, because a fault of each
   * value costs a hundred times as much as its two bytes. A bulk request of 100 full identities has 4,000.
   */
  httpJsonValuesMax: 16_384,
  httpJsonDepthMax: 64,
  /** The same of a command whose body is JSON: 64 KiB of the shortest values. */
  httpCommandValuesMax: 40_000,
  /** The same of a batch of messages: 5,000 with ten properties each. */
  httpBatchValuesMax: 160_000,
  /** Characters that a refusal says about one fault of a body: a fault may name all that is wrong with it. */
  httpFaultCharsMax: 256,
  /** Header lines of one HTTP request: 100 properties and what clients, proxies and SDKs add. */
  httpHeadersMax: 256,
  /** Requests of one HTTP connection that wait for the one before them; no SDK sends a second one before its answer. */
  httpPipelinedMax: 32,
  /** Requests after which the runtime ends an HTTP connection; 0 = never: a connection keeps nothing of those before. */
  httpRequestsPerConnectionMax: 0,
  /** How often the runtime looks for HTTP requests that take too long; they may take this much longer. */
  httpCheckMs: 1 * SECOND_MS,
  /** Bytes that an HTTP connection reads ahead of its parser, and writes ahead of its peer. */
  httpSocketBytesMax: 64 * KiB,
  /** HTTP requests in hand whose caller is known: of all, of one device with its modules, and of the holders of one policy. */
  httpRequestsMax: 4096,
  httpRequestsPerDeviceMax: 32,
  httpRequestsPerPolicyMax: 256,
  /** Bytes of their bodies: of all devices or of all back ends, of one device, of the holders of one policy. */
  httpBodiesBytesMax: 64 * MiB,
  httpBodiesBytesPerDeviceMax: 4 * MiB,
  httpBodiesBytesPerPolicyMax: 32 * MiB,
  /** Bytes of bodies that are taken apart in one turn of the loop, of all callers; the last one may go beyond it. */
  httpBodyBytesPerTurn: 64 * KiB,
  /** Messages of one batch by HTTP: each is a record of some hundred bytes, however short its body. */
  httpBatchMessagesMax: 5000,
  /** Bodies, properties and trails of the commands in one answer; a list that would be longer is cut and says so. */
  commandListBytesMax: 4 * MiB,
  /** Commands in a list of dead letters that names no other number. */
  commandListDefault: 100,
  /** Silence between two requests of one HTTP connection; longer than the pools of the SDKs keep theirs idle. */
  httpKeepAliveMs: 120 * SECOND_MS,
  /** Largest answer that our client of the management API reads: a page of 1000 devices is about 1 MiB. */
  apiAnswerBytesMax: 16 * MiB,
} as const;
