/** What the monitoring stream tells. Plain data; `kinds.ts` describes every kind, `docs/monitoring.md` shows the table. */
import type { AuthenticationCheck, Origin } from '../identity/types.ts';
import type { DisconnectReason } from '../presence/types.ts';

/** Raised when a field changes its meaning or goes; new fields and new kinds do not raise it. */
export const MONITORING_SCHEMA_VERSION = 1;

/** Who and where, as far as it is known. Common to all kinds. */
export interface Concerned extends Origin {
  readonly deviceId?: string;
  readonly moduleId?: string;
  /** Joins the events of one connection, or of one command. */
  readonly correlationId?: string;
}

/** Alike events of one source in one window, as one event: nothing is left out of `count`. Times: UTC milliseconds. */
export interface Summed {
  readonly count: number;
  readonly first: number;
  readonly last: number;
  /** Since when there have been such events, without a whole window that had none. */
  readonly since: number;
  /**
   * What the count is of: one device at one address; all further devices of one address (too many were tried to name
   * each); or everything beyond the addresses that are told apart.
   */
  readonly summedOver: 'source' | 'address' | 'hub';
}

/** `hub-crashed`: the connection was open when the hub was killed; told at the next start. */
export type EndReason = DisconnectReason | 'hub-crashed';

/** Which rule or limit refused, and what was met. */
export interface RefusedBy {
  /** The hub's error code, e.g. `MessageTooLarge`. */
  readonly code: string;
  /** What was attempted, e.g. `telemetry.send`. */
  readonly operation: string;
  /** Name of the limit, its value, and the value that met it, where a limit refused. */
  readonly limit?: { readonly name: string; readonly scope: string; readonly current: number; readonly max: number };
  /** The rule that refused, where it was no limit. */
  readonly reason?: string;
  /** The policy of the back end that asked. */
  readonly policyName?: string;
  /** The identity that a device asked for, where it is not the device itself. */
  readonly target?: string;
}

/** A sender whose connection is not read, or gets no credit, until a limit lets it go on; nothing was refused. */
export interface SlowedBy {
  readonly effect: 'slowed';
  readonly operation: string;
  readonly limit: NonNullable<RefusedBy['limit']>;
}

export interface CommandFacts {
  /** Its sequence number in the device's queue. */
  readonly command: number;
  readonly messageId?: string;
}

export interface FileFacts {
  /** Of the file below the container. */
  readonly file: string;
  readonly bytes: number;
}

export type DetectionKind =
  | 'authentication-failures-of-device'
  | 'authentication-failures-of-address'
  | 'flapping-device'
  | 'silent-device'
  | 'rejected-commands'
  | 'rate-change';

export interface DetectionFacts {
  readonly detection: DetectionKind;
  /** What was observed, and the threshold by setting that it crossed; the unit is the detection's (`docs/monitoring.md`). */
  readonly observed: number;
  readonly threshold: number;
}

/** What a traced message has come to; `docs/monitoring.md` tells of each. */
export type TraceStep = 'received' | 'authorised' | 'refused' | 'stored' | 'not-stored' | 'delivered';

export interface TraceFacts {
  readonly step: TraceStep;
  /** The hub's own id of the message, in its annotation `x-opt-mooring-trace`. */
  readonly traceId: string;
  /** The device's own. */
  readonly messageId?: string;
  /** The trace of its sender that the message names (W3C Trace Context). */
  readonly traceparent?: string;
  /** `authorised`: what for, and when the right was looked at (UTC milliseconds), once for a connection. */
  readonly operation?: string;
  readonly checkedTime?: number;
  /** `stored` and `delivered`: the message's place. */
  readonly partition?: number;
  readonly sequence?: number;
  /** `delivered`: to whom. */
  readonly consumerGroup?: string;
  readonly reader?: string;
  /** `refused`, `not-stored`: why. */
  readonly code?: string;
  readonly reason?: string;
}

/** The closed set of kinds, with what each carries beside `Concerned`. */
export interface MonitoringFacts {
  readonly connected: object;
  /** `lastActivityTime` (UTC milliseconds) where it is not the time of the event: after a crash of the hub. */
  readonly disconnected: {
    readonly reason: EndReason;
    /** Which rule the device broke, and with which topic or filter. */
    readonly detail?: string;
    readonly lastActivityTime?: number;
  };
  readonly authenticationFailed: { readonly check: AuthenticationCheck | 'unknown'; readonly policyName?: string };
  /** `port` is its setting's name; `offered` what the client knows, where it said so. */
  readonly handshakeFailed: { readonly port: string; readonly reason: string; readonly offered?: string };
  readonly operationRefused: RefusedBy;
  /** A caller of the REST API or the portal has changed something. */
  readonly operationDone: { readonly operation: string; readonly policyName: string; readonly session?: string };
  readonly sessionOpened: { readonly policyName: string; readonly session: string };
  readonly sessionEnded: { readonly policyName: string; readonly session: string; readonly reason: string };
  readonly throttled: (RefusedBy & { readonly effect: 'refused' }) | SlowedBy;
  readonly commandExpired: CommandFacts;
  readonly commandRejected: CommandFacts;
  readonly commandGivenUp: CommandFacts;
  readonly fileUploaded: FileFacts;
  /** `sentBytes`: until which byte, from the first on; the file is there when that is all of them. */
  readonly fileFetched: FileFacts & { readonly sentBytes: number };
  readonly jobCreated: { readonly job: string; readonly jobType: string; readonly policyName: string };
  /** Of a job that is over: how many of its devices came to what. */
  readonly jobEnded: { readonly job: string; readonly jobType: string; readonly status: string } & Readonly<
    Record<'completed' | 'failed' | 'cancelled' | 'unknown', number>
  >;
  readonly identityCreated: { readonly status: string };
  readonly identityChanged: { readonly status: string };
  readonly identityDisabled: { readonly statusReason: string | null };
  readonly identityEnabled: { readonly statusReason: string | null };
  readonly identityDeleted: object;
  readonly registryJobStarted: {
    readonly job: string;
    readonly kind: 'import' | 'export';
    /** Of the back end that has asked for it. */
    readonly policyName: string;
  };
  readonly registryJobEnded: {
    readonly job: string;
    readonly kind: 'import' | 'export';
    readonly outcome: 'completed' | 'failed' | 'cancelled';
    /** Lines or identities that were dealt with, and those of them that could not be taken. */
    readonly done: number;
    readonly refused: number;
  };
  /** A key was derived for who asked: that a device proves it, over TLS or DTLS. */
  readonly sharedKeyDerived: { readonly policyName?: string };
  readonly adapterStarted: { readonly adapter: string };
  /** `reason`: how it ended; `detail`: its last words. It is started again unless the hub stops. */
  readonly adapterEnded: { readonly adapter: string; readonly reason: string; readonly detail?: string };
  readonly hubStarted: object;
  readonly configurationNotApplied: { readonly reason: string };
  /** `health`: healthy, degraded, dead; `reason`: empty where it is healthy. */
  readonly endpointChanged: {
    readonly endpoint: string;
    readonly endpointKind: string;
    readonly health: string;
    readonly reason: string;
  };
  readonly hubStopped: object;
  readonly hubRecovered: { readonly connectionsLost: number };
  /** Below 0 = back. The time of the event is what the clock shows since. */
  readonly clockJumped: { readonly jumpMs: number };
  readonly eventsMissed: { readonly missed: number; readonly first: number; readonly last: number };
  readonly detectionRaised: DetectionFacts;
  readonly detectionCleared: DetectionFacts & { readonly raisedTime: number };
  readonly traceStep: TraceFacts;
}

export type MonitoringKind = keyof MonitoringFacts;

/** What a part of the hub tells the monitor. `time` is given only for what happened earlier. */
export type MonitoringReport = {
  [Kind in MonitoringKind]: { readonly type: Kind; readonly time?: number } & Concerned & MonitoringFacts[Kind];
}[MonitoringKind];

/** A report as the stream has it. */
export type MonitoringEvent = MonitoringReport & {
  /** UTC milliseconds. */
  readonly time: number;
  /** Grows with every event of the same device (of the hub itself, where no device is concerned), over restarts too. */
  readonly sequenceNumber: number;
} & Partial<Summed>;

/** What the rest of the hub sees of monitoring. */
export interface Recorder {
  /** Synchronous, bounded, and never throws: it may be called from anywhere. */
  record(report: MonitoringReport): void;
}

/** For a hub that nobody monitors. */
export const silentRecorder: Recorder = { record: () => {} };
