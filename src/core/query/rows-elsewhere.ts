/** What live queries and queries need of the other nodes of a hub. */
import type { RowChange } from './row-changes.ts';

export interface ElsewhereListener {
  /** They are durable, with what is kept of who is connected: rows that are read from here on are at least as new. */
  changed(changes: readonly RowChange[]): void;
  /** Some may not have been told of. Whatever they were, rows that are read from here on are as new, or it is called once more. */
  missed(): void;
}

export interface RowsElsewhere {
  /** Tells of changes from now on. Each is told once at least, late where a node cannot be reached, or is counted as `missed`. */
  follow(listener: ElsewhereListener): Following;
  /** Resolves when the store has who is connected at the other nodes as they knew it at the call; of one that does not answer, soon. */
  settle(): Promise<void>;
}

export interface Following {
  /** What changed before this is found by who reads behind it. Soon also where nodes do not answer; never rejects. */
  readonly begun: Promise<void>;
  end(): void;
}
