/** What a journal holds, found before anything of it is written elsewhere: that it is sound, and how much there is. */
import type { ReadJournal } from '../../stores/embedded/event-log/read-journal.ts';

export interface JournalSums {
  readonly events: number;
  /** Per partition: the first number that is kept, and the next one to be given. */
  readonly firstSequences: readonly number[];
  readonly nextSequences: readonly number[];
  /** Numbers from 0 on that no event of the journal has. */
  readonly unused: number;
}

/** @throws EventLogCorruption */
export async function sumUp(journal: ReadJournal): Promise<JournalSums> {
  const firstSequences = journal.begin.nextSequences;
  const nextSequences = [...firstSequences];
  let events = 0;
  for await (const { runs } of journal.batches()) {
    for (const { partition, firstSequence, count, lost } of runs) {
      if (!lost) events += count;
      nextSequences[partition] = firstSequence + count;
    }
  }
  const numbers = nextSequences.reduce((sum, next) => sum + next, 0);
  return { events, firstSequences, nextSequences, unused: numbers - events };
}
