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

/** As it is kept; undefined = there is none. */
export async function findSecret(tx: Transaction, cipher: KeyCipher, name: string): Promise<string | undefined> {
  const row = await tx.selectFrom('secrets').select('value').where('name', '=', name).executeTakeFirst();
  return row && cipher.open(row.value, contextOf(name));
}

/** Puts another one in the place of the one that is there, or where there is none. */
export async function replaceSecret(tx: Transaction, cipher: KeyCipher, name: string, secret: string): Promise<void> {
  const value = cipher.seal(secret, contextOf(name));
  await tx
    .insertInto('secrets')
    .values({ name, value })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
    .execute();
}

/** Removes those with a name that begins with `prefix`, but for one. */
export async function dropSecrets(tx: Transaction, prefix: string, but: string): Promise<void> {
  await tx.deleteFrom('secrets').where('name', 'like', `${prefix}%`).where('name', '<>', but).execute();
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
