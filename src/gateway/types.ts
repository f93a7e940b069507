/**
 * What the author of an adapter sees (`mooring/gateway`). An adapter reads and writes a protocol of its own; everything else is its
 * host's: listeners, proof of identities, settlement, storing while the hub is away, restarts. The same module runs inside the hub's
 * machine and beside the devices, and nothing in it says where it is. `apiVersion` 1 grows by optional members only.
 */
import type { StandardSchema } from './schema.ts';
import type { Listeners } from './sockets.ts';

/** The default export of an adapter's module. */
export interface AdapterDefinition<Settings = unknown> {
  /** Lower-case letters, digits and `-`, 32 characters at most: in settings, metrics, the log and monitoring events. */
  readonly name: string;
  readonly apiVersion: 1;
  /** One sentence for `mooring gateway describe`. */
  readonly summary?: string;
  /** What the operator may set, checked before `create`. Any Standard Schema; `z` of `mooring/gateway` makes one. */
  readonly settings: StandardSchema<Settings>;
  create(host: Host, settings: Settings): Adapter;
}

/** One adapter that runs. Whatever it throws ends it alone: its host starts it again, with growing pauses. */
export interface Adapter {
  /** Opens listeners, or begins to poll. Resolves when devices can reach it. */
  start(): Promise<void>;
  /** Takes nothing new and finishes what runs; what is left when `grace` is aborted is cut off. Listeners are closed by the host. */
  stop?(grace: AbortSignal): Promise<void>;
}

/** How the adapter knows who speaks. `device` is a device id, or `device/module`. */
export type Proof =
  /** The device has shown its own key, in base64, as its password. */
  | { readonly kind: 'key'; readonly device: string; readonly key: string }
  /** A SAS token of the device, as it would send it to the hub. */
  | { readonly kind: 'token'; readonly device: string; readonly token: string }
  /** A client certificate, DER, leaf first, whose key the peer has proved to hold (`Connection.certificates`). Its CN is the device. */
  | { readonly kind: 'certificate'; readonly device: string; readonly chain: readonly Uint8Array[] }
  /** The peer has proved to hold what `Host.sharedKey` answers for that identity. */
  | { readonly kind: 'psk'; readonly device: string }
  /**
   * The adapter says who it is: by a table of its own, or because a server vouches (LoRaWAN). Only for devices that the operator lets
   * this adapter vouch for (`vouchFor` beside its settings); with `create` there, a device that does not exist is made on sight.
   */
  | { readonly kind: 'vouched'; readonly device: string };

/** What an adapter has of the program that it runs in. */
export interface Host {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly clock: HostClock;
  readonly limits: HostLimits;
  readonly listeners: Listeners;
  readonly memory: Memory;
  /** False while the hub cannot be reached: `'stored'` works, `'hub'` is refused with `unreachable`. Inside the hub always true. */
  readonly hubReachable: boolean;
  /** Tells the operator how the adapter is; the last word counts. A host counts sessions and messages, and sees crashes, by itself. */
  health(status: 'ok' | 'warn' | 'fail', text: string): void;
  /**
   * The 32 bytes that prove an identity by a pre-shared key: HMAC-SHA256 of `mooring psk` under the device's primary key. Undefined =
   * no such device, or it is disabled or has no key. Kept for a short time, and so answered while the hub is away.
   * @param peer Address of the peer without its port
   * @throws Refused unreachable where the hub cannot say now: whoever asks tries again
   */
  sharedKey(device: string, peer?: string): Promise<Uint8Array | undefined>;
  /**
   * The connection of one identity. One socket may have many. @throws Refused unauthorized, disabled, throttled, unreachable, invalid
   */
  connect(proof: Proof, handlers: Handlers, options?: ConnectOptions): Promise<DeviceSession>;
}

export interface ConnectOptions {
  /** Address of the peer without its port, as `Connection.peer` says: in monitoring, and failed proofs of one address are slowed. */
  readonly peer?: string;
  /** What names the device outside, 200 characters at most: a Dev EUI, a topic, a CoAP endpoint. In monitoring and the passport. */
  readonly address?: string;
  /** Closes the session after this silence of the device, for protocols without connections. Absent = never. */
  readonly idleSeconds?: number;
  /** Commands that the device is given at a time; absent = 1, which keeps their order. */
  readonly commandsAtOnce?: number;
  /** Model id of the device (DTDL). */
  readonly modelId?: string;
}

/** The connection of one identity. A second one of the same identity ends the first (`replaced`). */
export interface DeviceSession {
  readonly device: string;
  /** Aborted when the session ends; its reason is a `CloseReason`. */
  readonly signal: AbortSignal;
  /**
   * Sends a message. `'hub'` resolves when the hub has it on its disk; `'stored'` when it is on a disk, the hub's or the host's: this is
   * what lets a device forget it. Messages of a session keep their order, and are answered in it. Absent = `'stored'`.
   * @throws Refused tooLarge, invalid, throttled, queueFull, unreachable, closed: nothing was taken, and the device is to be told
   */
  send(message: Telemetry, until?: 'hub' | 'stored'): Promise<void>;
  /** False = stop reading the socket, answer 5.03, or withhold the acknowledgement, until `drained`. */
  readonly writable: boolean;
  drained(): Promise<void>;
  /** @throws Refused unreachable, closed */
  twin(): Promise<Twin>;
  /**
   * Reports properties: a merge patch, null deletes. Resolves with their version, or undefined where the patch is stored until the hub
   * can be reached. @throws Refused invalid, tooLarge, throttled, queueFull, closed
   */
  report(patch: JsonObject): Promise<number | undefined>;
  /** Absent = the host has no way to the hub's files. */
  readonly files?: DeviceFiles | undefined;
  /** Ends it; what has been sent is still taken. */
  close(): Promise<void>;
}

/** Files of one device, in parts: those that a back end lets it fetch, its own, and those that it uploads. */
export interface DeviceFiles {
  /**
   * The part that begins at byte `from`: `length` bytes (`HostLimits.filePartBytesMax` at most), fewer at the end of the file, none
   * behind it. How far a device has come is its receipt, which the file's grant shows.
   * @throws Refused notFound, invalid, throttled, unreachable, closed
   */
  read(name: string, from: number, length: number): Promise<FilePart>;
  /** Begins an upload. @throws Refused invalid, throttled (too many are open), unreachable, closed */
  upload(name: string, contentType?: string): Promise<FileUpload>;
}

export interface FilePart {
  readonly bytes: Uint8Array;
  /** Bytes of the whole file. */
  readonly total: number;
  /** Another one = another file: what was read before is not of it. */
  readonly etag: string;
  readonly contentType: string;
}

/** An upload that is open. One that is neither finished nor abandoned ends with the session, and nothing of it stays. */
export interface FileUpload {
  /**
   * The next part, `HostLimits.filePartBytesMax` bytes at most. It resolves when it is on a disk: only then may the next one be written.
   * @throws Refused tooLarge, queueFull (no more room for files), invalid, unreachable, closed
   */
  write(bytes: Uint8Array): Promise<void>;
  /** The file is there, and back ends are told of it. @throws Refused as `write` */
  finish(): Promise<void>;
  abandon(): Promise<void>;
}

/**
 * What reaches the device. Only what has a handler is asked of the hub. What a handler returns or throws settles what it was called
 * for: it cannot be forgotten. `signal` is aborted when the answer no longer counts (lock over, caller gone, session ended).
 */
export interface Handlers {
  /** A throw abandons it: the hub delivers it again, up to its count of deliveries. An abort gives it back without counting. */
  command?(command: Command, signal: AbortSignal): Promise<Settlement>;
  /** A throw is answered with status 500. */
  method?(call: MethodCall, signal: AbortSignal): Promise<MethodAnswer>;
  /** Changed desired properties, in order of version, one at a time. The whole is in `twin()`. */
  desired?(patch: JsonObject, version: number): Promise<void> | void;
  /** The session has ended otherwise than by `close`. Called once. */
  closed?(reason: CloseReason): void;
}

export type Settlement = 'complete' | 'reject' | 'abandon';

export interface Telemetry {
  /** Text is sent as UTF-8. */
  readonly body: Uint8Array | string;
  /** A resend of the same id is dropped where it meets the first one in a host's queue. */
  readonly messageId?: string;
  readonly correlationId?: string;
  /** When the device measured it: `iothub-creation-time-utc`. A queue sets it where it is absent. */
  readonly created?: Date;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly properties?: Readonly<Record<string, string>>;
  /** Where exactly it came from, instead of the session's `address`: a topic, a path. */
  readonly address?: string;
}

export interface Command {
  /** Names this delivery; the same command has another one when it is delivered again. 64 characters at most, no spaces. */
  readonly id: string;
  readonly messageId?: string;
  readonly correlationId?: string;
  readonly body: Uint8Array;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly properties: Readonly<Record<string, string>>;
  /** How often it was abandoned before. */
  readonly deliveryCount: number;
  /** It counts on while the device is away. */
  readonly expires?: Date;
}

export interface MethodCall {
  readonly name: string;
  /** Undefined = the caller gave none. */
  readonly payload: unknown;
}

export interface MethodAnswer {
  /** A whole number; 200 to 299 for success by custom. */
  readonly status: number;
  readonly payload?: unknown;
}

export interface Twin {
  readonly desired: JsonObject;
  readonly desiredVersion: number;
  readonly reported: JsonObject;
}

export type JsonObject = { readonly [name: string]: unknown };

/** Why a session has ended. `lost` = the hub has gone, or the host's connection to it, and the session is not kept over that. */
export type CloseReason =
  | 'closed'
  | 'idle'
  | 'replaced'
  | 'disabled'
  | 'deleted'
  | 'credentials'
  | 'expired'
  | 'stopping'
  | 'lost';

/** Small durable facts of this adapter: tokens of observers, addresses of downlinks, tables of names. Not for messages. */
export interface Memory {
  get(key: string): Promise<unknown>;
  /** Durable when it resolves. @param value Anything that JSON holds @throws Refused tooLarge, queueFull (`HostLimits`) */
  set(key: string, value: unknown): Promise<void>;
  delete(key: string): Promise<void>;
  /** In order of key. */
  list(prefix: string): Promise<readonly (readonly [key: string, value: unknown])[]>;
}

export interface Log {
  debug(text: string, facts?: Facts): void;
  info(text: string, facts?: Facts): void;
  warn(text: string, facts?: Facts): void;
  error(text: string, facts?: Facts): void;
}

/** Values of a line of the log. No secrets. */
export type Facts = Readonly<Record<string, string | number | boolean | undefined>>;

/** Numbers of this adapter, as `mooring_adapter_custom…{adapter, name}`. A name has letters, digits and `_`. */
export interface Metrics {
  count(name: string, by?: number): void;
  gauge(name: string, value: number): void;
}

export interface HostClock {
  /** UTC milliseconds. */
  now(): number;
  /** Milliseconds that never go back. */
  monotonic(): number;
  /** Runs `callback` once; the returned function cancels it. */
  after(delayMs: number, callback: () => void): () => void;
}

export interface HostLimits {
  /** Body and properties of a message together. */
  readonly messageBytesMax: number;
  readonly sessionsMax: number;
  readonly memoryKeysMax: number;
  readonly memoryValueBytesMax: number;
  /** A part of a file that is read or written at once. */
  readonly filePartBytesMax: number;
}
