/** A twin as it lies in a row. Apart from the queries: what reads it needs no query builder, and its thread does not load one. */
import { twinFrom } from '../../core/twins/kept.ts';
import type { Twin } from '../../core/twins/types.ts';

/** A twin as it lies there. `document` is null while it is fresh but for its tail. */
export interface TwinText {
  readonly generationId: string;
  readonly modelId: string;
  readonly document: string | null;
  readonly tail: string;
  /** JSON, `ConfigurationStates`; null = none. */
  readonly states: string | null;
}

export function twinOf({ document, tail }: Pick<TwinText, 'document' | 'tail'>): Twin {
  return twinFrom(document, tail);
}
