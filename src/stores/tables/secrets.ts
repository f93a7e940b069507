import type { KeyCipher } from './key-cipher.ts';
import type { Transaction } from './schema.ts';

/** A secret of the hub itself; `fresh` becomes it where there is none yet, also where several nodes ask at once. */
export async function hubSecret(tx: Transaction, cipher: KeyCipher, name: string, fresh: string): Promise<string> {
  await tx
    .insertInto('secrets')
    .values({ name, value: cipher.seal(fresh, contextOf(name)) })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .execute();
  const { value } = await tx.selectFrom('secrets').select('value').where('name', '=', name).executeTakeFirstOrThrow();
  return cipher.open(value, contextOf(name));
}

export async function resealSecrets(tx: Transaction, cipher: KeyCipher): Promise<void> {
  for (const { name, value } of await tx.selectFrom('secrets').selectAll().execute()) {
    const sealed = cipher.seal(cipher.open(value, contextOf(name)), contextOf(name));
    await tx.updateTable('secrets').set({ value: sealed }).where('name', '=', name).execute();
  }
}

function contextOf(name: string): readonly string[] {
  return ['secrets', name];
}
