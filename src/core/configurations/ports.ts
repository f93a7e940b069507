/** What configurations need of the stores. Plain data goes in and comes out, for it may cross threads. */
import type { IdentityKey } from '../identity/types.ts';
import type { Configuration, ConfigurationContent, KeptConfiguration } from './types.ts';

/**
 * Where configurations are kept, and what has become of them for each identity. One contract suite (`stores/contract/configurations.ts`)
 * runs over every implementation.
 *
 * Every change of a twin or an identity that a configuration may depend on leaves a mark, in the step of the change; a change of a
 * configuration sends a walk over the whole fleet on its way. `step` takes both up, a bounded number of identities at a time, and
 * writes what comes of each together with the mark that is gone and the place of the walk: so nobody is left out, whatever ends in
 * between. One step runs at a time, over all nodes.
 */
export interface ConfigurationStore {
  get(id: string): Promise<KeptConfiguration | undefined>;
  /** All, in order of id. */
  list(): Promise<readonly KeptConfiguration[]>;
  create(configuration: Configuration, countMax: number): Promise<CreateOutcome>;
  /** `ifMatch` is an ETag, or `*`. */
  replace(change: ConfigurationChange, ifMatch: string): Promise<ReplaceOutcome>;
  delete(id: string, ifMatch: string): Promise<'deleted' | 'notFound' | 'etagMismatch'>;
  step(terms: StepTerms): Promise<Step>;
  /** The missing modules of a device were made, or cannot be: its mark may go, unless it was marked again. */
  settle(missing: readonly Pick<MissingModules, 'deviceId' | 'touched'>[]): Promise<void>;
  /** Nothing is left to do: changes leave no marks any more, where there is no configuration. */
  rest(): Promise<void>;
  /** Identities that are marked, `countMax` at most, and whether a walk is under way. */
  waiting(countMax: number): Promise<{ readonly marks: number; readonly walks: boolean }>;
  /** Tells that there may be something to do, by what this node has written. The returned function ends it. */
  watch(listener: () => void): () => void;
}

/** The content stays; where one is named it must be that of the configuration. `createdTime` is not looked at. */
export interface ConfigurationChange extends Omit<Configuration, 'content' | 'createdTime'> {
  readonly content: ConfigurationContent | undefined;
}

export type CreateOutcome =
  | { readonly kind: 'done'; readonly kept: KeptConfiguration }
  | { readonly kind: 'exists' | 'full' };

export type ReplaceOutcome =
  | { readonly kind: 'done'; readonly kept: KeptConfiguration }
  | { readonly kind: 'notFound' | 'etagMismatch' | 'otherContent' };

export interface StepTerms {
  /** Identities that are looked at, at most. */
  readonly countMax: number;
  /** UTC milliseconds. */
  readonly time: number;
  /** Whether events of the twins that change are kept. */
  readonly withEvents: boolean;
}

export interface Step {
  /** `more`: there may be something left. `busy`: another node has the turn. */
  readonly kind: 'more' | 'idle' | 'busy';
  /** There are no configurations. */
  readonly isEmpty: boolean;
  /** Identities that were looked at, because they were marked and by the walk, and whose twins have changed. */
  readonly marked: number;
  readonly walked: number;
  readonly changed: number;
  /** Edge devices without a module that they should have; they stay marked. */
  readonly missing: readonly MissingModules[];
  /** Twins that cannot take what is set since now, and why. */
  readonly refused: readonly { readonly key: IdentityKey; readonly message: string }[];
}

export interface MissingModules {
  readonly deviceId: string;
  readonly modules: readonly { readonly moduleId: string; readonly isManaged: boolean }[];
  readonly touched: number;
}
