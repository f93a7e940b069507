/** Bytes on disk are not what was written. Says which file, where, and what an operator does about it. */
export class EventLogCorruption extends Error {
  override readonly name = 'EventLogCorruption';
  readonly file: string;
  /** Byte in the file from which on it cannot be believed. */
  readonly place: number;
  readonly what: string;

  constructor(file: string, place: number, what: string) {
    super(
      `${file}, byte ${place}: ${what}. Nothing was changed. Run \`mooring data check\` to see what is damaged, ` +
        'and restore the file from a backup or run `mooring data repair`.',
    );
    this.file = file;
    this.place = place;
    this.what = what;
  }
}

/** Records that were handed over cannot be made durable; carried by `batchFailed`. */
export class EventLogUnavailable extends Error {
  override readonly name = 'EventLogUnavailable';
}

/** The system's words for what went wrong, without the path when they hold one already. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}
