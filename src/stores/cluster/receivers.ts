/** Who reads which partition for which consumer group, in PostgreSQL: one place after the other, by a lock of its own. */
import { type Kysely, sql } from 'kysely';
import { HubError } from '../../core/errors.ts';
import { type ReceiverPlace, receiversDisplacedBy } from '../../core/events/receivers.ts';
import type { KnownReceiver, ReceiverStore } from '../../core/nodes/ports.ts';
import type { ReceiverRow } from '../tables/node-tables.ts';
import type { Tables, Transaction } from '../tables/schema.ts';
import type { Tried } from './batched-reads.ts';
import { livingNodes } from './nodes.ts';

export function postgresReceivers(database: Kysely<Tables>, tried: Tried): ReceiverStore {
  return {
    async enter(place, newcomer) {
      const outcome = await tried('receivers.enter', () =>
        database.transaction().execute((tx) => enter(tx, place, newcomer)),
      );
      if (outcome instanceof HubError) throw outcome;
      return outcome;
    },
    async leave(place, left) {
      await tried('receivers.leave', () => takeOut(database, placeOf(place), left));
    },
  };
}

/** A refusal is no failure of the database: it is an answer. */
async function enter(
  tx: Transaction,
  where: ReceiverPlace,
  newcomer: KnownReceiver,
): Promise<readonly KnownReceiver[] | HubError> {
  const place = placeOf(where);
  await sql`select pg_advisory_xact_lock(hashtextextended(${`receivers ${JSON.stringify(place)}`}, 0))`.execute(tx);
  const rows = await tx
    .selectFrom('receivers')
    .selectAll()
    .where('event_hub', '=', place.event_hub)
    .where('group_key', '=', place.group_key)
    .where('partition', '=', place.partition)
    .where('node', 'in', livingNodes)
    .orderBy('node')
    .orderBy('receiver')
    .execute();
  const present = rows.map(knownOf);
  let displaced: readonly KnownReceiver[];
  try {
    displaced = receiversDisplacedBy(newcomer, present);
  } catch (error) {
    if (error instanceof HubError) return error;
    throw error;
  }
  for (const each of displaced) await takeOut(tx, place, each);
  const { node, receiver, name, epoch = null } = newcomer;
  await tx
    .insertInto('receivers')
    .values({ ...place, node, receiver, name, epoch })
    .execute();
  return displaced;
}

async function takeOut(
  tx: Kysely<Tables>,
  place: ReturnType<typeof placeOf>,
  { node, receiver }: Pick<KnownReceiver, 'node' | 'receiver'>,
): Promise<void> {
  await tx
    .deleteFrom('receivers')
    .where('event_hub', '=', place.event_hub)
    .where('group_key', '=', place.group_key)
    .where('partition', '=', place.partition)
    .where('node', '=', node)
    .where('receiver', '=', receiver)
    .execute();
}

const placeOf = ({ eventHub, consumerGroup, partition }: ReceiverPlace) => ({
  event_hub: eventHub.toLowerCase(),
  group_key: consumerGroup.toLowerCase(),
  partition,
});

const knownOf = ({ node, receiver, name, epoch }: ReceiverRow): KnownReceiver => ({
  ...{ node, receiver, name },
  ...(epoch !== null && { epoch }),
});
