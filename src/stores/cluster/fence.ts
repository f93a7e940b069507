/**
 * What a node may not write any more where another process has its part by now: one that was held beyond its lease goes on with what it was
 * at, and with what devices and back ends had sent by then.
 */
import { type Kysely, sql } from 'kysely';
import { HubError } from '../../core/errors.ts';
import { type Standing, termOf } from '../../core/nodes/processes.ts';
import type { OperationName } from '../tables/operations.ts';
import type { Tables } from '../tables/schema.ts';
import { databaseNow } from './nodes.ts';

/** What connections of devices bring about, and what is written of who is connected, here and at nodes that have gone. */
const OF_CONNECTIONS = [
  ...(['twins.change', 'twins.report', 'commands.lockNext', 'subscriptions.save', 'subscriptions.remove'] as const),
  ...(['presence.save', 'presence.end', 'presence.recover'] as const),
] as const;
/** Of a duty, which goes with the lease: without it nothing is begun, and what the next one looks for is not what a former one says. */
const OF_DUTIES = ['twins.keepBegun'] as const;
/** By which a node takes work that nodes share, or keeps it. */
const CLAIMS = ['cursors.claim', 'jobs.claim', 'registryJobs.claim'] as const;
/** What it does with that work: each names the process that has it, which the tables check in the statement itself. An import writes identities. */
const OF_WORK = [
  ...(['cursors.save', 'cursors.release', 'identities.write'] as const),
  ...(['jobs.create', 'jobs.cancel', 'jobs.select', 'jobs.updateTwins', 'jobs.begin', 'jobs.settle'] as const),
  ...(['jobs.dismiss', 'jobs.end', 'jobs.sweep'] as const),
  ...(['registryJobs.create', 'registryJobs.advance', 'registryJobs.end', 'registryJobs.cancel'] as const),
  ...(['registryJobs.release', 'registryJobs.sweep'] as const),
] as const;

const FENCED: ReadonlySet<OperationName> = new Set([...OF_CONNECTIONS, ...OF_DUTIES, ...CLAIMS, ...OF_WORK]);
const CLAIMING: ReadonlySet<OperationName> = new Set(CLAIMS);

export interface FenceParts {
  /** Whether this node may write, at the moment in which it would, as far as it knows; absent = always. */
  readonly mayWrite?: () => boolean;
  /** Absent, or undefined = it is the only process. */
  readonly standing?: () => Standing | undefined;
}

/** It was not written, and will not be: the node has no lease. */
export class WithoutLease extends HubError {
  constructor() {
    super('ServiceUnavailable', undefined, { reason: 'this node has no lease at the moment' });
  }
}

export class Fence {
  readonly #parts: FenceParts;

  constructor(parts: FenceParts) {
    this.#parts = parts;
  }

  has(name: OperationName): boolean {
    return this.#parts.mayWrite !== undefined && FENCED.has(name);
  }

  /** By which lease the node works at the moment; undefined = it has had none yet. */
  term(): string | undefined {
    return termOf(this.#parts.standing?.());
  }

  /**
   * Carries an operation out on a connection that is there: the wait for one may have been long. A transaction that stands still then is ended
   * by its server. A claim is looked at again when it holds its rows: of two processes under one name only that with a lease has them.
   * @param term By which lease the node worked when it was asked for: what has waited for a connection beyond its end is another's by now, though
   *   the node has a lease again
   * @throws WithoutLease; what was done in the transaction is to be undone then
   */
  async run<Result>(
    name: OperationName,
    term: string | undefined,
    tx: Kysely<Tables>,
    work: () => Promise<Result>,
  ): Promise<Result> {
    if (!FENCED.has(name)) return work();
    if (this.#parts.mayWrite?.() === false) throw new WithoutLease();
    if (term !== undefined && term !== this.term()) throw new WithoutLease();
    const answer = await work();
    const standing = CLAIMING.has(name) ? this.#parts.standing?.() : undefined;
    if (standing !== undefined && !(await stands(tx, standing))) throw new WithoutLease();
    return answer;
  }
}

/** By the database's time. Before it joins a node stands where its name is free, or is that of a process that has let go of its folder. */
async function stands(tx: Kysely<Tables>, { id, name, folder, hasJoined }: Standing): Promise<boolean> {
  const { rows } = await sql`
    select 1 where exists (select from nodes where id = ${id} and lease_until > ${databaseNow}) or (
      ${!hasJoined}::boolean
      and not exists (select from nodes where name = ${name} and folder <> ${folder} and lease_until > ${databaseNow}))
  `.execute(tx);
  return rows.length > 0;
}
