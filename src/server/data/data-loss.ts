/** What `--accept-loss` does: the hub is to go on without a part that was there. */
import { rmSync, statSync } from 'node:fs';
import path from 'node:path';
import type { Random } from '../../base/random.ts';
import type { LostEvents } from '../../stores/embedded/event-log/gaps.ts';
import { resumeAtCeilings } from '../../stores/embedded/event-log/resume.ts';
import { type HubFacts, writeFacts } from './data-folder.ts';
import { forgetRunningTime } from './running-time.ts';

export interface AcceptedLoss {
  readonly facts: HubFacts;
  /** What was done, in a sentence. */
  readonly action: string;
  readonly lost: readonly (LostEvents & { readonly log: string })[];
}

/** Ends the memory of a part that must be there: the next start takes what it finds, or makes a new one. */
export function forget(folder: string, facts: HubFacts, part: 'tables' | 'tls'): HubFacts {
  const { [part]: _, ...parts } = facts.parts ?? { events: {} };
  return writeFacts(folder, { ...facts, parts });
}

/** @param part one that is lost, as `lostParts` names it */
export async function acceptLoss(asked: {
  readonly folder: string;
  readonly facts: HubFacts;
  readonly part: string;
  readonly random: Random;
}): Promise<AcceptedLoss> {
  const { folder, facts, part, random } = asked;
  if (part === 'tables' || part === 'tls') {
    // An empty file in the place of the part is no part: the start makes a new one only where there is none.
    if (part === 'tables' && !hasContent(path.join(folder, 'tables', 'hub.db'))) {
      rmSync(path.join(folder, 'tables'), { recursive: true, force: true });
    }
    if (part === 'tls') rmSync(path.join(folder, 'tls', 'ca.pem'), { force: true });
    const made = part === 'tls' ? 'the next start makes a new authority' : 'the next start makes new tables';
    return { facts: forget(folder, facts, part), action: `the loss of ${part} was accepted: ${made}`, lost: [] };
  }
  const log = part.slice('events/'.length);
  const entry = facts.parts?.events[log];
  if (entry === undefined) return { facts, action: `${part} is not known`, lost: [] };
  const partitionCount = entry.ceilings.length;
  const meta = { partitionCount, createdTime: facts.createdTime };
  // The marks of age are of the journal that is gone.
  forgetRunningTime(folder);
  const lost = await resumeAtCeilings({ folder: path.join(folder, 'events', log), random }, meta, entry);
  // The segment that keeps the numbers is there now; the entry goes on to hold for it.
  const parts = {
    ...facts.parts,
    events: { ...facts.parts?.events, [log]: { newest: -1, ceilings: entry.ceilings } },
  };
  return {
    facts: writeFacts(folder, { ...facts, parts }),
    action: `the loss in ${part} was accepted: sequence numbers go on at ${entry.ceilings.join(', ')}`,
    lost: lost.map((run) => ({ log, ...run })),
  };
}

function hasContent(file: string): boolean {
  return (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0;
}
