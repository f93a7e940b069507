/** What the main thread and the thread of history say to each other. */
import type { FilePiece } from '../../records/archive/group-records.ts';
import type { PackedRuns } from '../../records/archive/packed-runs.ts';
import type { GroupLayout } from '../../records/archive/parquet-layout.ts';

/** Answered one for one. */
export type HistoryRequest =
  | { readonly kind: 'layout'; readonly id: number; readonly footer: ArrayBuffer }
  | {
      readonly kind: 'records';
      readonly id: number;
      readonly group: GroupLayout;
      readonly pieces: readonly FilePiece[];
      /** For the answer. */
      readonly memory: ArrayBuffer | undefined;
    };

export type HistoryAnswer =
  | { readonly id: number; readonly kind: 'layout'; readonly groups: readonly GroupLayout[] }
  | { readonly id: number; readonly kind: 'records'; readonly packed: PackedRuns }
  | { readonly id: number; readonly kind: 'failed'; readonly message: string };
