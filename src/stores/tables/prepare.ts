import type { KeyCipher, KeyRing } from './key-cipher.ts';
import { migrate, readFact, writeFact } from './migrations.ts';
import { resealAll } from './reseal.ts';
import type { Transaction } from './schema.ts';

export const KEY_CHECK = { fact: 'key_check', secret: 'the right key', context: ['facts', 'key_check'] } as const;

/**
 * Brings the tables to this program's format, makes sure that its keys open what is sealed in them, and seals everything
 * again when the first key of the ring is another one than before. Runs inside one transaction of the caller's.
 * @throws Error that says what to do: a newer format, another key.
 */
export async function prepareTables(tx: Transaction, cipher: KeyCipher, ring: KeyRing): Promise<void> {
  await migrate(tx);
  const check = await readFact(tx, KEY_CHECK.fact);
  if (check === undefined) {
    await writeFact(tx, KEY_CHECK.fact, cipher.seal(KEY_CHECK.secret, KEY_CHECK.context));
  } else {
    checkKey(check, cipher, ring);
    // It is re-encrypted last, in the same transaction: so it says which key all of the others are under.
    if (!cipher.isCurrent(check)) {
      await resealAll(tx, cipher);
      await writeFact(tx, KEY_CHECK.fact, cipher.seal(KEY_CHECK.secret, KEY_CHECK.context));
    }
  }
}

/** @param check the fact `key_check` of tables @throws Error that says what to do: no key of the ring opens it */
export function checkKey(check: string, cipher: KeyCipher, ring: KeyRing): void {
  try {
    cipher.open(check, KEY_CHECK.context);
  } catch (error) {
    throw new Error(
      `The keys of devices and policies were sealed with another key than the one from ${ring.source} ` +
        `(${error instanceof Error ? error.message : String(error)}). Put the key file of this data folder back, or give ` +
        'the setting keyEncryptionKey the value that it had when the folder was made. Nodes of one hub have one key: give all of them ' +
        'the same keyEncryptionKey, or copy keys/tables.key from the data folder of one that runs.',
      { cause: error },
    );
  }
}
