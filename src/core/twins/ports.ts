import type { ConfigurationStates } from '../configurations/types.ts';
import type { ErrorCode, LimitHit } from '../errors.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { ReportedPatch, Twin, TwinChange } from './types.ts';

/**
 * Where twins are kept. A twin is there as soon as its identity is, fresh, and goes with it: it belongs to one generation. What an
 * answer says is durable; changes of one twin take effect one after the other, also against other nodes. One contract suite
 * (`stores/contract/twins.ts`) runs over every implementation.
 */
export interface TwinStore {
  /**
   * Undefined = no such identity; with `generationId`, none of that generation.
   * @param share Of whose share of a turn of the loop the document is put together, where that takes time; '' = the hub's own
   */
  load(key: IdentityKey, generationId?: string, share?: string): Promise<KeptTwin | undefined>;
  /** What a back end wants. */
  change(key: IdentityKey, change: TwinChange, terms: ChangeTerms): Promise<ChangeOutcome>;
  /**
   * What devices report: each on its own, those of one device in order. The answer has one outcome for each, in the same order.
   */
  report(reports: readonly Report[], terms: ReportTerms): Promise<readonly ReportOutcome[]>;
  /** Keeps which model a device has named; false = there is no such identity of that generation. */
  nameModel(key: IdentityKey, generationId: string, modelId: string): Promise<boolean>;
  /** The version of the desired properties; undefined as `load`. */
  desiredVersion(key: IdentityKey, generationId: string): Promise<number | undefined>;
  /**
   * Those of the asked-for whose desired properties are newer than said, with the version that they have; of at most
   * `desiredLookAtOnce`. One of another generation is left out.
   */
  desiredNewer(asked: readonly DesiredNote[]): Promise<readonly DesiredNote[]>;
  /** What became of the desired properties after `version`: at most `countMax` changes, the oldest first. Undefined as `load`. */
  desiredSince(
    key: IdentityKey,
    generationId: string,
    version: number,
    countMax: number,
  ): Promise<DesiredChanges | undefined>;
  /** Tells of each change of desired properties made by this node, once it is durable. The returned function ends it. */
  watchOwnWrites(listener: (note: DesiredNote) => void): () => void;
  /** Tells of each part of a twin that this node has changed, once it is durable and before its writer is answered. The returned function ends it. */
  watchChanges(listener: (key: IdentityKey, part: TwinPart) => void): () => void;
  /** The oldest events that are not dropped yet, in order of `sequence`; those of one identity in the order of its changes. */
  events(countMax: number): Promise<readonly KeptTwinEvent[]>;
  dropEvents(sequences: readonly number[]): Promise<void>;
  /** Tells that events may have been kept. The returned function ends it. */
  watchEvents(listener: () => void): () => void;
}

/** What of a twin changes by itself. `model`: the name of its model; `configurations`: how they stand. */
export type TwinPart = 'tags' | 'desired' | 'reported' | 'model' | 'configurations';

export interface KeptTwin {
  readonly generationId: string;
  /** The model that the device has named last; '' = none. */
  readonly modelId: string;
  readonly twin: Twin;
  /** Of the configurations that are for it; absent = none is. */
  readonly configurations?: ConfigurationStates;
}

interface WriteTerms {
  /** UTC milliseconds. */
  readonly time: number;
  /** Whether an event of each change is kept with it. */
  readonly withEvents: boolean;
}

export interface ReportTerms extends WriteTerms {
  /** Only into twins of which no device has reported anything yet; of others `done` says their version. One report for each twin. */
  readonly isFirstOnly?: boolean;
}

export interface ChangeTerms extends WriteTerms {
  /** An unquoted ETag, or `*`. */
  readonly ifMatch: string;
  /** As of `load`. */
  readonly share?: string;
}

export interface Report {
  readonly key: IdentityKey;
  readonly generationId: string;
  readonly patch: ReportedPatch;
}

/** A `HubError` as plain data. */
export interface TwinRefusal {
  readonly kind: 'refused';
  readonly code: ErrorCode;
  readonly message: string;
  readonly limit?: LimitHit;
}

/** `gone`: there is no such identity, or not of that generation. */
export type ReportOutcome =
  | { readonly kind: 'done'; readonly version: number }
  | { readonly kind: 'gone' }
  | TwinRefusal;

export type ChangeOutcome =
  | { readonly kind: 'done'; readonly kept: KeptTwin }
  | { readonly kind: 'gone' }
  | TwinRefusal;

/** Something of the desired properties is new, up to that version. */
export interface DesiredNote {
  readonly key: IdentityKey;
  readonly generationId: string;
  readonly version: number;
}

export interface DesiredChanges {
  /** The section's version now. */
  readonly version: number;
  /**
   * Of consecutive versions behind the one that was asked for, as devices are told of them (JSON text with `$version`); undefined where
   * the oldest of them are no longer kept.
   */
  readonly patches: readonly DesiredText[] | undefined;
}

export interface DesiredText {
  readonly version: number;
  readonly text: string;
}

/**
 * A change of a twin, for readers of events. `version` is the twin's after it, so that generation and version name one change.
 */
export interface TwinEvent {
  readonly key: IdentityKey;
  readonly generationId: string;
  readonly version: number;
  /** UTC milliseconds. */
  readonly time: number;
  /** `created` and `deleted` are of the identity, with its first and its last twin; `job` is of a job's record of it, and of no twin. */
  readonly kind: 'update' | 'replace' | 'created' | 'deleted' | 'job';
  /** JSON text, see `TwinEventContent`; of a job the record itself. */
  readonly content: string;
}

export interface KeptTwinEvent extends TwinEvent {
  readonly sequence: number;
}

/** Events that a node is about to write to the log, kept before it does. */
export interface BegunTwinEvents {
  readonly sequences: readonly number[];
  /** By partition, the first sequence number of the log at which one of them can be. */
  readonly places: Readonly<Record<number, number>>;
}

/**
 * The last of these, for who takes over: it looks for those events alone, and from those places on. By time it could not, where a log has a
 * clock of its own: with one that is behind, what was written seems to be from before it was kept.
 */
export interface BegunTwinEventStore {
  load(): Promise<BegunTwinEvents | undefined>;
  /** In the place of the last. */
  keep(begun: BegunTwinEvents): Promise<void>;
}
