/** Twins and direct methods. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB, MiB, SECOND_MS } from './units.ts';

export const twinsLimits = {
  /** Service: names and values of the desired or the reported properties of a twin, and of its tags. */
  twinSectionBytesMax: 32 * KiB,
  twinTagsBytesMax: 8 * KiB,
  /** Service: objects and arrays inside each other, below a section. */
  twinDepthMax: 10,
  /** Service: UTF-8 bytes of one name and of one text of a twin, and the largest integer (the least is one further from 0). */
  twinNameBytesMax: 1 * KiB,
  twinStringBytesMax: 4 * KiB,
  twinIntegerMax: 4_503_599_627_370_495,
  /** JSON text of one reported patch: a full section with room for quotes and escapes. */
  twinReportedBytesMax: 128 * KiB,
  /**
   * Values and names of one patch that are made into objects: a full section has 8,000 with the shortest names. A back end sends the
   * hub's metadata back, which has three for each.
   */
  twinValuesMax: 16 * KiB,
  twinRequestValuesMax: 96 * KiB,
  /** Characters of reported patches that are kept behind a twin's document before they are merged into it: half a page of the tables. */
  twinTailCharsMax: 2 * KiB,
  /** Changes of desired properties that a twin remembers, for devices that are told of them one after the other. */
  twinPatchesKept: 32,
  /** Changes of desired properties that are read at a time for one device. */
  twinPushesAtOnce: 4,
  /**
   * A node looks at the desired version of each device that it holds once in so long, because another may have died between a change and
   * its word of it; so many at a time. At 10 µs for each, 50,000 devices cost less than 2 % of a core.
   */
  desiredLookMs: 30 * SECOND_MS,
  desiredLookAtOnce: 100,
  /** Bytes of documents that a step over many twins has in its hands at a time: some milliseconds of the loop. */
  twinBytesTogetherMax: 256 * KiB,
  /** Events of twins that are written to the event log at a time, and the time until they are tried again when it fails. */
  twinEventsAtOnce: 256,
  twinEventsRetryMs: 1 * SECOND_MS,
  /** How far before the change itself an event is looked for that may be in the log already: the clock may have been set. */
  twinEventsSearchMs: 60 * SECOND_MS,
  /** How old an end of the log may be behind which they are looked for, where the log has a clock of its own. */
  twinEventsEndMs: 10 * SECOND_MS,
  /**
   * What the reported patches of one call of the store cost, some milliseconds of its thread: a patch of some values is one, a large
   * one, or one for which the document must be read, more.
   */
  twinReportsCostPerCall: 256,
  /** Characters of a patch that cost as much as a small patch. */
  twinReportCharsPerCost: 128,
  twinReportReadingCost: 32,
  /** Characters of twins' documents that are put together in one turn of the loop: a millisecond or two. */
  twinCharsPerTurn: 64 * KiB,
  /** Characters of reported patches that wait for the store. */
  twinReportsCharsMax: 16 * MiB,
  /** Service: characters of a method's name, bytes of its payload and of the answer's. */
  methodNameCharsMax: 100,
  methodBytesMax: 128 * KiB,
  /** Values of a request that invokes a method, with its payload: 128 KiB of the shortest. */
  methodValuesMax: 100_000,
  /** Nesting of a device's answer: far deeper than anyone writes by hand. */
  methodDepthMax: 64,
  /** Service: how long a device may take to answer, and how long the hub waits for it to connect. */
  methodResponseMsDefault: 30 * SECOND_MS,
  methodResponseMsMin: 5 * SECOND_MS,
  methodResponseMsMax: 300 * SECOND_MS,
  methodConnectMsMax: 300 * SECOND_MS,
  /** How long before the end of these times the hub answers: a client that waits for exactly as long must have it by then. */
  methodAnswerEarlyMs: 300,
  /** How often it is looked whether a device that a method waits for has connected at another node. */
  methodArrivalLookMs: SECOND_MS / 2,
  /** Methods of one device that are under way, also while they wait for it to connect: less than `deviceCallsMax`. */
  methodsPerDeviceMax: 24,
  /** Methods of the hub that are under way, and the bytes of their payloads. */
  methodsMax: 10_000,
  methodsBytesMax: 64 * MiB,
  /** The same of the holders of one policy: what waits for minutes leaves room for other back ends. */
  methodsPerPolicyMax: 4096,
  methodsBytesPerPolicyMax: 32 * MiB,
} as const;
