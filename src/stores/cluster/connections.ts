/** Connections to PostgreSQL, as the query builder takes them. */
import type { Socket } from 'node:net';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { declaring } from '../tables/engine.ts';
import type { Tables } from '../tables/schema.ts';
import { DatabaseServers } from './database-servers.ts';
import { namingClient, type StatementNames } from './named-statements.ts';

export interface ConnectionParts {
  readonly url: string;
  readonly schema: string;
  readonly log: Log;
  readonly connectionsMax: number;
  /** The server ends a statement that takes longer; a server that is silent is given up later. Absent = no bound. */
  readonly statementMs?: number;
  /** Absent = statements have no names: each is planned for its own parameters. */
  readonly names?: StatementNames;
}

/** PostgreSQL's type number of `bigint`: ours stay below 2^53, so they are read as numbers. */
const INT8 = 20;

export function connect({ url, schema, log, connectionsMax, statementMs, names }: ConnectionParts): Kysely<Tables> {
  const servers = new DatabaseServers(url);
  const pool = new pg.Pool({
    connectionString: servers.url,
    max: connectionsMax,
    connectionTimeoutMillis: limits.postgresConnectMs,
    keepAlive: true,
    ...(statementMs !== undefined && {
      statement_timeout: statementMs,
      // A node that is held, or whose machine has lost its power, must not keep rows locked that others have to change.
      idle_in_transaction_session_timeout: limits.postgresIdleMs,
    }),
    Client: servers.client(names && namingClient(names)),
    application_name: 'mooring',
    options: `-c search_path=${schema}`,
    types: { getTypeParser: (type, format) => (type === INT8 ? Number : pg.types.getTypeParser(type, format)) },
  });
  const broke = (error: Error): void => log.warn({ reason: error.message }, 'a connection to PostgreSQL broke');
  // While nobody uses it; the next call gets a new one.
  pool.on('error', broke);
  pool.on('connect', (client) => {
    // While it is used its query is refused; without a listener the error would end the process as well.
    client.on('error', broke);
    // Not the client's own timeout of queries: it leaves the transaction open, and the connection to the next who needs one.
    const { stream } = client.connection;
    if (statementMs === undefined || !('setTimeout' in stream)) return;
    (stream as Socket).on('timeout', () => (stream as Socket).destroy(new Error('PostgreSQL says nothing')));
  });
  // Not while it waits for work: a new one costs several answers, which a busy node may not have the time for.
  pool.on('acquire', (client) => watchSilence(client, statementMs));
  pool.on('release', (_, client) => watchSilence(client, 0));
  return new Kysely<Tables>({
    dialect: declaring({ name: 'postgres', locksRows: true }, new PostgresDialect({ pool })),
  });
}

/** @param statementMs 0 = it may be silent; undefined = always */
function watchSilence(client: pg.PoolClient, statementMs: number | undefined): void {
  const { stream } = client.connection;
  if (statementMs !== undefined && 'setTimeout' in stream) (stream as Socket).setTimeout(2 * statementMs);
}
