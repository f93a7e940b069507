/**
 * The guard: asks the permission table, has the work wait for a place among its caller's, does it, and tells monitoring of a
 * refusal, in one place. A room is made
 * with it and a sheet that says of each of its calls which operation of the table it is and whom it concerns; a call
 * without an entry does not compile, and `Hub` holds only rooms that stand behind a guard.
 */
import { AssertionError } from '../../base/assert.ts';
import type { Clock } from '../../base/clock.ts';
import { HubError } from '../errors.ts';
import { CallShares } from './call-shares.ts';
import { type Operation, type OperationRule, operationTable } from './operations.ts';
import { authorize, type HubPlace, isAuthorized } from './permissions.ts';
import type { IdentityKey, Origin, Principal } from './types.ts';

/** What an operation concerns: an identity (an object with more fields will do), several, a place, or the whole hub. */
export type Target = IdentityKey | HubPlace | readonly IdentityKey[] | undefined;

/** An operation that was refused: by whom, on which identity, from where, as far as that is known. */
export interface Attempt {
  readonly operation: Operation;
  readonly principal?: Principal;
  readonly target?: IdentityKey;
  readonly where?: Origin;
}

/** Hears of refusals, whatever refused: a missing permission, a rule, a limit; and of what back ends have done. */
export interface Audit {
  refused(attempt: Attempt, error: unknown): void;
  /** Absent = nobody wants to know. Only of principals that are `audited`. */
  done?(attempt: Attempt): void;
}

/** Nobody listens. */
export const silentAudit: Audit = { refused: () => {} };

declare const guarded: unique symbol;

/** A room whose calls are made through a guard. Only `Guard.room` makes one. */
export type Guarded<Room> = Room & { readonly [guarded]: true };

/** An entry of a sheet: which operation a call is, and what of its arguments it concerns (absent = the hub). */
export interface Asks<Args extends readonly unknown[]> {
  readonly operation: Operation;
  readonly target?: (...args: Args) => Target;
}

/** An entry for what needs more than that: made once, with the room's own call behind it. */
export type MadeBy<Room, Call> = (room: Room, guard: Guard) => Call;

/** Of each call of a room how it is asked for. Left out, it does not compile; what takes no principal is made by hand. */
export type Sheet<Room> = {
  readonly [Name in keyof Room]: Room[Name] extends (principal: Principal, ...args: infer Args) => Promise<unknown>
    ? Asks<Args> | MadeBy<Room, Room[Name]>
    : MadeBy<Room, Room[Name]>;
};

export interface Guard {
  /**
   * Does `work` if `principal` may do `operation` to `target`, when it has a place for it; a refusal is told and thrown on.
   * @param where the principal is, for what is told
   * @throws HubError IotHubUnauthorizedAccess, IotHubUnauthorized (the proof has ended), ThrottlingException, and what `work` throws
   */
  run<Answer>(
    principal: Principal,
    operation: Operation,
    target: Target,
    work: () => Answer | Promise<Answer>,
    where?: Attempt['where'],
  ): Promise<Answer>;
  /**
   * The place alone, for what was allowed before, or is asked for in another thread.
   * @throws HubError ThrottlingException, and what `work` throws
   */
  inTurn<Answer>(principal: Principal, work: () => Promise<Answer>): Promise<Answer>;
  /** The same for what is answered at once. */
  runNow<Answer>(principal: Principal, operation: Operation, target: Target, work: () => Answer): Answer;
  /** The permission alone, for what a door answers by itself. @throws HubError as `run` */
  demand(principal: Principal, operation: Operation, target?: Target): void;
  /**
   * The first of several proofs of one client that allows it. @param isTold false = asked again for what goes on already
   * @throws HubError IotHubUnauthorized where there is none, else as `run`, of the first
   */
  choose(principals: readonly Principal[], operation: Operation, target: Target, isTold: boolean): Principal;
  /**
   * Tells of what was refused behind a permission that had been asked for before, as a message of a prepared sender: for
   * the hot path, which is to catch by itself and needs no closure then.
   */
  refused(attempt: Attempt, error: unknown): void;
  /** Puts `room` behind this guard. */
  room<Room extends object>(room: Room, sheet: Sheet<Room>): Guarded<Room>;
}

export function createGuard(clock: Pick<Clock, 'now'>, audit: Audit): Guard {
  const ask = (principal: Principal, operation: Operation, target: Target): void => {
    const now = clock.now();
    if (!isSeveral(target)) authorize(principal, operation, now, target);
    else if (target.length === 0) authorize(principal, operation, now);
    else for (const each of target) authorize(principal, operation, now, each);
  };
  const tell = (
    principal: Principal,
    operation: Operation,
    target: Target,
    error: unknown,
    where?: Attempt['where'],
  ): void => {
    const isIdentity = target !== undefined && 'deviceId' in target;
    audit.refused({ operation, principal, ...(isIdentity && { target }), ...(where && { where }) }, error);
  };

  const tellDone = (principal: Principal, operation: Operation, target: Target): void => {
    if (principal.kind !== 'policy' || principal.audited !== true) return;
    const isIdentity = target !== undefined && 'deviceId' in target;
    audit.done?.({ operation, principal, ...(isIdentity && { target }) });
  };

  const calls = new CallShares();
  const guard: Guard = {
    async run(principal, operation, target, work, where) {
      try {
        ask(principal, operation, target);
        const { isLong }: OperationRule = operationTable[operation];
        const answer = isLong
          ? await work()
          : await calls.run(principal, work, () => ask(principal, operation, target));
        tellDone(principal, operation, target);
        return answer;
      } catch (error) {
        tell(principal, operation, target, error, where);
        throw error;
      }
    },
    inTurn: (principal, work) => calls.run(principal, work),
    runNow(principal, operation, target, work) {
      try {
        ask(principal, operation, target);
        return work();
      } catch (error) {
        tell(principal, operation, target, error);
        throw error;
      }
    },
    demand: (principal, operation, target) => guard.runNow(principal, operation, target, () => {}),
    choose(principals, operation, target, isTold) {
      const now = clock.now();
      const targets = isSeveral(target) ? (target.length === 0 ? [undefined] : target) : [target];
      const chosen = principals.find((principal) =>
        targets.every((each) => isAuthorized(principal, operation, now, each)),
      );
      if (chosen !== undefined) return chosen;
      if (principals.length === 0) {
        throw new HubError('IotHubUnauthorized', undefined, { reason: 'missing-credential' });
      }
      try {
        ask(principals[0], operation, target);
      } catch (refusal) {
        if (isTold) tell(principals[0], operation, target, refusal);
        throw refusal;
      }
      throw new AssertionError('a proof that allows nothing is refused');
    },
    refused: (attempt, error) => audit.refused(attempt, error),
    room(room, sheet) {
      type Call = (...args: unknown[]) => unknown;
      const calls = room as Readonly<Record<string, Call>>;
      const entries = Object.entries(sheet as Readonly<Record<string, Asks<unknown[]> | MadeBy<object, Call>>>).map(
        ([name, entry]): [string, Call] => {
          if (typeof entry === 'function') return [name, entry(room, guard)];
          const { operation, target } = entry;
          const call = calls[name];
          const asking = (principal: Principal, ...args: unknown[]): Promise<unknown> =>
            guard.run(principal, operation, target?.(...args), () => call(principal, ...args));
          return [name, asking as Call];
        },
      );
      return Object.fromEntries(entries) as Guarded<typeof room>;
    },
  };
  return guard;
}

const isSeveral = (target: Target): target is readonly IdentityKey[] => Array.isArray(target);

/**
 * A stand-in for a room that stands behind the guard of another thread, which asks and tells there. Nothing else may be
 * passed off as guarded.
 */
export function guardedElsewhere<Room extends object>(room: Room): Guarded<Room> {
  return room as Guarded<Room>;
}
