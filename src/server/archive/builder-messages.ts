/** What the main thread and the archive's thread say to each other. */
import type { ArchiveFormat } from '../../core/archive/types.ts';
import type { FileFacts } from '../../records/archive/archive-format.ts';
import type { PackedEvents } from '../../records/archive/packed-events.ts';

/** Answered one for one, but `abandon`. */
export type BuilderRequest =
  | { readonly kind: 'begin'; readonly id: number; readonly format: ArchiveFormat; readonly file: FileFacts }
  | { readonly kind: 'add'; readonly id: number; readonly events: PackedEvents }
  | { readonly kind: 'finish'; readonly id: number }
  | { readonly kind: 'abandon'; readonly id: number };

export type BuilderAnswer =
  | {
      readonly id: number;
      readonly kind: 'done';
      readonly pieces: readonly Uint8Array<ArrayBuffer>[];
      /** What events came in: it may be used for the next ones. */
      readonly memory?: ArrayBuffer;
    }
  | { readonly id: number; readonly kind: 'failed'; readonly message: string };
