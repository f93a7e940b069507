/**
 * What a thread has worked off since its start, by kind: one plain count each, cheap enough for the hot path. A reader that finds
 * that the loop stood still compares two readings, and can say what it was busy with.
 */
export const work = { mqttReads: 0, amqpReads: 0, httpRequests: 0, tlsHandshakes: 0, eventsDelivered: 0 };

export type Work = typeof work;

/** What has been worked off between two readings; kinds of which there was nothing are left out. */
export function workBetween(before: Readonly<Work>, after: Readonly<Work>): Partial<Work> {
  const kinds = Object.keys(after) as (keyof Work)[];
  return Object.fromEntries(
    kinds.filter((kind) => after[kind] > before[kind]).map((kind) => [kind, after[kind] - before[kind]]),
  );
}
