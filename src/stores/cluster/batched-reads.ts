/** What is read whenever a device connects, of many devices in one statement. */
import { type Kysely, sql } from 'kysely';
import type { LockWish } from '../../core/commands/ports.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import type { Subscription } from '../../core/presence/ports.ts';
import { toIdentity } from '../tables/identities.ts';
import type { KeyCipher } from '../tables/key-cipher.ts';
import type { OperationArgs, OperationName, OperationResult } from '../tables/operations.ts';
import type { IdentityRow, Tables } from '../tables/schema.ts';
import { AskedTogether } from './asked-together.ts';

/** Carries `work` out again where that helps. @throws HubError */
export type Tried = <Result>(name: string, work: () => Promise<Result>) => Promise<Result>;

type Nth<Row> = Row & { readonly nth: number };

/** Operations that one statement answers for many; the others are not of this file. */
export interface BatchedReads {
  /** @returns undefined = it is to be carried out by itself @throws HubError */
  answer<Name extends OperationName>(
    name: Name,
    args: OperationArgs<Name>,
  ): Promise<{ readonly answer: OperationResult<Name> } | undefined>;
}

export function batchedReads(database: Kysely<Tables>, cipher: KeyCipher, tried: Tried): BatchedReads {
  // Rows alone: one that cannot be read is refused to who has asked for it, and not to all of its batch.
  const identities = new AskedTogether<IdentityKey, IdentityRow | undefined>((keys) =>
    tried('identities.get', async () => {
      const { rows } = await sql<Nth<IdentityRow>>`
        select asked.nth, identities.* from ${keysOf(keys)} join identities using (device_id, module_id)`.execute(
        database,
      );
      return inOrder(keys.length, rows, (row) => row);
    }),
  );

  const sessions = new AskedTogether<Session, string | undefined>((all) =>
    tried('subscriptions.load', async () => {
      const { rows } = await sql<Nth<{ generation_id: string; filters: string }>>`
        select asked.nth, generation_id, filters from ${keysOf(all.map(({ key }) => key))}
        join subscriptions using (device_id, module_id)`.execute(database);
      return inOrder(all.length, rows, ({ nth, generation_id, filters }) =>
        generation_id === all[nth - 1].generationId ? filters : undefined,
      );
    }),
  );

  /** Whether there is anything for `lockNextCommands` to do. */
  const queues = new AskedTogether<Queue, boolean | undefined>((all) =>
    tried('commands.lockNext', async () => {
      const { rows } = await sql<Nth<{ waiting: number; locked: number; next_due: number }>>`
        select asked.nth, waiting, locked, next_due from ${keysOf(all.map(({ target }) => target))}
        join command_queues using (device_id, module_id)`.execute(database);
      return inOrder(all.length, rows, ({ nth, waiting, locked, next_due }) => {
        const { now, putsBack } = all[nth - 1];
        return waiting > 0 || next_due <= now || (putsBack && locked > 0);
      });
    }),
  );

  return {
    async answer(name, args) {
      const told = (answer: unknown): { readonly answer: never } => ({ answer: answer as never });
      const of = args as readonly unknown[];
      switch (name) {
        case 'identities.get': {
          if (isNobodys(of[0] as IdentityKey)) return told(undefined);
          const row = await identities.ask(of[0] as IdentityKey);
          return told(row && (await tried(name, async () => toIdentity(row, cipher))));
        }
        case 'subscriptions.load': {
          if (isNobodys(of[0] as IdentityKey)) return told(undefined);
          const filters = await sessions.ask({ key: of[0] as IdentityKey, generationId: of[1] as string });
          return told(filters && (await tried(name, async () => JSON.parse(filters) as readonly Subscription[])));
        }
        case 'commands.lockNext': {
          if (isNobodys(of[0] as IdentityKey)) return told({ value: [], ended: [] });
          const putsBack = (of[2] as LockWish).putsBack !== undefined;
          const mayHave = await queues.ask({ target: of[0] as IdentityKey, now: of[3] as number, putsBack });
          return mayHave === true ? undefined : told({ value: [], ended: [] });
        }
        default:
          return undefined;
      }
    },
  };
}

interface Session {
  readonly key: IdentityKey;
  readonly generationId: string;
}

interface Queue {
  readonly target: IdentityKey;
  readonly now: number;
  readonly putsBack: boolean;
}

/** No text of PostgreSQL has a NUL: it would refuse the statement, and so all who ask by it. */
export const isNobodys = ({ deviceId, moduleId = '' }: IdentityKey): boolean => `${deviceId}${moduleId}`.includes('\0');

const keysOf = (keys: readonly IdentityKey[]) => sql`unnest(
  ${keys.map(({ deviceId }) => deviceId)}::text[], ${keys.map(({ moduleId }) => moduleId ?? '')}::text[]
) with ordinality as asked (device_id, module_id, nth)`;

/** Undefined where there is no row. */
function inOrder<Row extends { readonly nth: number }, Answer>(
  count: number,
  rows: readonly Row[],
  answerOf: (row: Row) => Answer,
): readonly (Answer | undefined)[] {
  const answers = new Array<Answer | undefined>(count).fill(undefined);
  for (const row of rows) answers[row.nth - 1] = answerOf(row);
  return answers;
}
