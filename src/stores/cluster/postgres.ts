/**
 * Everything but events in PostgreSQL, by the operations that SQLite runs as well: each in a transaction of its own, and
 * answered after its commit. Nodes share the database, and nothing else.
 */
import { type Kysely, sql } from 'kysely';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { NewCommand } from '../../core/commands/ports.ts';
import { HubError } from '../../core/errors.ts';
import type { IdentityWrite } from '../../core/identity/ports.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import type { HubSecrets, NodeStore, ReceiverStore } from '../../core/nodes/ports.ts';
import type { Places } from '../../core/presence/places.ts';
import type { PresenceStateStore } from '../../core/presence/states.ts';
import type { FieldPath } from '../../core/query/fields.ts';
import type { FleetStore } from '../../core/query/ports.ts';
import type { BegunTwinEventStore } from '../../core/twins/ports.ts';
import type { TableCaller } from '../tables/caller.ts';
import { indexedPlace } from '../tables/document-paths.ts';
import { createKeyCipher, type KeyCipher, type KeyRing } from '../tables/key-cipher.ts';
import { type OperationArgs, type OperationName, type OperationResult, tableOperations } from '../tables/operations.ts';
import { prepareTables } from '../tables/prepare.ts';
import type { Tables, Transaction } from '../tables/schema.ts';
import { createTablePresence, createTableStores, type TableStores } from '../tables/stores.ts';
import { batchedReads } from './batched-reads.ts';
import { connect } from './connections.ts';
import { DatabaseClock } from './database-clock.ts';
import { enqueueAtOnce } from './enqueue-at-once.ts';
import { Fence, type FenceParts } from './fence.ts';
import { InOrder } from './in-order.ts';
import { LostAnswers } from './lost-answers.ts';
import { StatementNames } from './named-statements.ts';
import { postgresNodes } from './nodes.ts';
import { createPostgresPlaces } from './places.ts';
import { checkServer, ensureSchema, FORMAT_LOCK, refuseUnfinished } from './prepare-server.ts';
import { queriesOver } from './queries.ts';
import { ensureQueryIndexes } from './query-indexes.ts';
import { postgresReceivers } from './receivers.ts';

export interface PostgresTablesParts extends FenceParts {
  /** `postgres://user:password@host:port/database`; never logged. */
  readonly url: string;
  /** The schema that holds the tables; made when missing. */
  readonly schema: string;
  readonly cipher: KeyRing;
  readonly log: Log;
  readonly clock: Clock;
  /** The name of this node among those that share the tables; absent = the only one. */
  readonly node?: string;
  /** Whether events of created and deleted identities are kept with them (`TwinStore.events`). Default: no. */
  readonly keepsLifecycle?: boolean;
  /** How long one statement may take; absent = `postgresStatementMs`. */
  readonly statementMs?: number;
  /** As `EmbeddedTablesParts.queryIndexes`; the same on every node. */
  readonly queryIndexes?: readonly FieldPath[];
}

export interface PostgresTables extends TableStores {
  /** The database's own, by which locks are counted. */
  readonly clock: Clock;
  /** Who is connected, as this node says it. */
  readonly presenceStates: PresenceStateStore;
  /** Who holds the connection of an identity, at whichever node. */
  readonly places: Places;
  /** Nodes that share the tables, by connections of their own. */
  readonly nodes: NodeStore;
  readonly receivers: ReceiverStore;
  /** Who is connected, as the node of that name has said it. */
  presenceOf(node: string): PresenceStateStore;
  readonly begunTwinEvents: BegunTwinEventStore;
  readonly secrets: HubSecrets;
  /** As `Storage.watchLost`. */
  watchLost(listener: () => void): () => void;
  /** Where queries read, by connections of their own. */
  readonly fleet: FleetStore;
  /** Writes a row and waits until that is durable. @throws HubError whose `reason` says why it could not */
  probe(): Promise<void>;
  /** Finishes what runs and closes the connections. */
  close(): Promise<void>;
}

/** SQLSTATE of a deadlock and of a serialization failure: the transaction is gone, and may be tried again. */
const RETRIED = new Set(['40P01', '40001']);
/** SQLSTATE of texts that PostgreSQL cannot have: with the character U+0000. SQLite has them, and finds nothing of their names. */
const NO_TEXT = new Set(['22021', '22P05']);
/** Classes of SQLSTATE that are about the server or the way to it, not about the operation. */
const UNAVAILABLE = new Set(['08', '53', '57', '58']);
/** SQLSTATE of a write to a server that follows another one, and of a transaction that stood still for too long (`postgresIdleMs`). */
const [FOLLOWER, STOOD_STILL] = ['25006', '25P03'];

/** @throws Error that says what to do: commits that are not durable, another order of texts, a newer format, another key. */
export async function openPostgresTables(parts: PostgresTablesParts): Promise<PostgresTables> {
  const { log } = parts;
  const cipher = createKeyCipher(parts.cipher);
  await prepare(parts, cipher);
  const statementMs = parts.statementMs ?? limits.postgresStatementMs;
  const { url, schema } = parts;
  const names = new StatementNames();
  const database = connect({ url, schema, log, statementMs, names, connectionsMax: limits.postgresConnectionsMax });
  // Without names: a query's plan is made for what it asks.
  const queried = connect({ url, schema, log, statementMs, connectionsMax: limits.postgresQueryConnectionsMax });
  const leaseMs = limits.nodeStatementMs;
  const leased = connect({ url, schema, log, statementMs: leaseMs, connectionsMax: limits.postgresNodeConnectionsMax });
  let clock: DatabaseClock;
  try {
    clock = await DatabaseClock.open(() => timeOf(database), parts.clock);
  } catch (error) {
    await Promise.all([database.destroy(), queried.destroy(), leased.destroy()]);
    throw error;
  }
  const operations = tableOperations(cipher);
  const fence = new Fence(parts);
  const inOrder = new InOrder();
  const lost = new LostAnswers(parts.clock, statementMs);
  let calls = 0;

  async function tried<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        const isOutdated = isOutdatedPlan(error);
        if (isOutdated) names.renew();
        if ((isOutdated || RETRIED.has(stateOf(error))) && attempt < limits.postgresAttemptsMax) continue;
        throw error instanceof HubError ? error : refusal(name, error, log);
      }
    }
  }

  const reads = batchedReads(database, cipher, tried);
  const places = createPostgresPlaces(database, tried, parts.standing);

  async function carryOut<Name extends OperationName>(
    name: Name,
    args: OperationArgs<Name>,
    term: string | undefined,
  ): Promise<OperationResult<Name>> {
    const together = await reads.answer(name, args);
    if (together !== undefined) return together.answer;
    if (name === 'commands.enqueue') {
      const [command, bounds, now] = args as unknown as OperationArgs<'commands.enqueue'>;
      const atOnce = await tried(name, () => enqueueAtOnce(database, command, bounds, now));
      if (atOnce !== undefined) return atOnce as OperationResult<Name>;
    }
    const { writes, isOneStatement, run } = operations[name] as {
      readonly writes: boolean;
      readonly isOneStatement?: true;
      readonly run: (tx: Transaction, ...args: readonly unknown[]) => Promise<OperationResult<Name>>;
    };
    // In a transaction, too, each statement would see what is committed by then: it would hold nothing together but writes.
    const alone = !writes || isOneStatement === true;
    const runFenced = (tx: Kysely<Tables>): Promise<OperationResult<Name>> =>
      fence.run(name, term, tx, () => run(tx as Transaction, ...args));
    const answer = tried(name, () => {
      if (!alone) return database.transaction().execute(runFenced);
      return fence.has(name) ? database.connection().execute(runFenced) : run(database as Transaction, ...args);
    });
    return writes ? lost.watching(name, answer) : answer;
  }

  async function callThen<Name extends OperationName, Result>(
    name: Name,
    args: OperationArgs<Name>,
    then: (value: OperationResult<Name>) => Result,
  ): Promise<Result> {
    if (calls >= limits.tableQueueMax) {
      const limit = { name: 'tableQueueMax', scope: 'hub', current: calls, max: limits.tableQueueMax };
      throw new HubError('ServiceUnavailable', undefined, { reason: 'the tables are too busy', limit });
    }
    calls++;
    const term = fence.term();
    const work = async (): Promise<Result> => then(await carryOut(name, args, term));
    const keys = orderKeys(name, args);
    try {
      return await (keys.length === 0 ? work() : inOrder.run(keys, work));
    } finally {
      calls--;
    }
  }

  const caller: TableCaller = { call: (name, ...args) => callThen(name, args, (value) => value), callThen };
  return {
    ...createTableStores(caller, clock, parts.keepsLifecycle),
    clock,
    presenceStates: createTablePresence(caller, parts.node ?? ''),
    places,
    fleet: queriesOver(queried, { clock, indexes: new Set((parts.queryIndexes ?? []).map(indexedPlace)) }, (error) =>
      refusal('query', error, log),
    ),
    nodes: postgresNodes(leased),
    receivers: postgresReceivers(database, tried),
    presenceOf: (node) => createTablePresence(caller, node),
    begunTwinEvents: {
      load: () => caller.call('twins.begun'),
      keep: (begun) => caller.call('twins.keepBegun', begun),
    },
    secrets: {
      get: (name, fresh) => caller.call('secrets.get', name, fresh),
      find: (name) => caller.call('secrets.find', name),
      replace: (name, secret) => caller.call('secrets.replace', name, secret),
      drop: (prefix, but) => caller.call('secrets.drop', prefix, but),
    },
    watchLost: (listener) => lost.watch(listener),
    probe: () => caller.call('facts.touch', 1),
    close: async () => {
      clock.close();
      lost.close();
      await Promise.all([database.destroy(), queried.destroy(), leased.destroy()]);
    },
  };
}

/** By a connection of its own: a change of the format, or the wait for another node's, takes as long as it takes. */
async function prepare(parts: PostgresTablesParts, cipher: KeyCipher): Promise<void> {
  const { url, schema, log } = parts;
  const database = connect({ url, schema, log, connectionsMax: 1 });
  try {
    await database.transaction().execute(async (tx) => {
      await checkServer(tx);
      await sql`select pg_advisory_xact_lock(${FORMAT_LOCK})`.execute(tx);
      await ensureSchema(tx, parts.schema);
      await refuseUnfinished(tx, parts.schema);
      await prepareTables(tx, cipher, parts.cipher);
      await ensureQueryIndexes(tx, (parts.queryIndexes ?? []).map(indexedPlace));
    });
  } finally {
    await database.destroy();
  }
}

/**
 * Calls of one hub that take effect, and are told of, in the order in which they were made: changes of a device and its modules, and
 * whatever concerns the commands of one identity. So a busy device holds one connection, not all while they wait for it.
 */
function orderKeys(name: OperationName, args: readonly unknown[]): readonly string[] {
  switch (name) {
    case 'identities.write':
      return [...new Set((args[0] as readonly IdentityWrite[]).map((write) => `identity ${deviceOf(write)}`))];
    case 'authorities.create':
    case 'authorities.replace':
    case 'authorities.delete':
      return ['authorities'];
    case 'commands.enqueue':
      return [`commands of ${(args[0] as NewCommand).target.deviceId}`];
    case 'twins.change':
      return [`twin of ${(args[0] as IdentityKey).deviceId}`];
    case 'commands.lockNext':
    case 'commands.settle':
    case 'commands.releaseHolder':
    case 'commands.purge':
    case 'commands.forget':
      return [`commands of ${(args[0] as IdentityKey).deviceId}`];
    default:
      return [];
  }
}

const deviceOf = (write: IdentityWrite): string =>
  write.kind === 'delete' ? write.key.deviceId : write.identity.deviceId;

async function timeOf(database: Kysely<Tables>): Promise<number> {
  const { rows } = await sql<{
    time: number;
  }>`select (extract(epoch from clock_timestamp()) * 1000)::float8 as time`.execute(database);
  return rows[0].time;
}

function stateOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : '';
}

/** Another node, of a newer program, has changed a table since the statement was parsed. */
function isOutdatedPlan(error: unknown): boolean {
  return stateOf(error) === '0A000' && error instanceof Error && error.message.includes('cached plan');
}

function refusal(name: string, error: unknown, log: Log): HubError {
  const message = error instanceof Error ? error.message : String(error);
  if (NO_TEXT.has(stateOf(error)))
    return new HubError('ArgumentInvalid', 'A value holds the character U+0000, which is not kept.');
  log.error({ operation: name, error: message }, 'a table operation failed');
  const state = stateOf(error);
  // Without an SQLSTATE of five characters the server was not reached at all.
  const isForNow = UNAVAILABLE.has(state.slice(0, 2)) || state === FOLLOWER || state === STOOD_STILL;
  const unavailable = !/^[0-9A-Z]{5}$/.test(state) || isForNow;
  return new HubError(unavailable ? 'ServiceUnavailable' : 'ServerError', undefined, { reason: message });
}
