/**
 * `mooring data rotate-key`: a new key for what is encrypted at rest, while the hub is stopped. In this order, so that a
 * crash after any step leaves a folder that opens: the new key is put before the old one in the key file; the tables are
 * re-encrypted in one transaction; the old key goes.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import { addKey, dropOlderKeys, openKeyCipher } from '../../stores/embedded/tables/key-file.ts';
import { openEmbeddedTables } from '../../stores/embedded/tables/tables.ts';
import { openDataFolder } from './data-folder.ts';

const usage = `Usage: mooring data rotate-key [--data-dir DIR] [--json]
  Makes a new key in DIR/keys, encrypts the keys of devices and policies with it, and removes the old one.
  The hub must be stopped. Copies of the folder that were made before still open with their own key file.
`;

interface Output {
  out(text: string): void;
  err(text: string): void;
}

/** @returns the exit code: 0 done, 1 not done, 2 wrong use */
export async function runRotateKey(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  { out, err }: Output,
): Promise<number> {
  let folder: string;
  let json: boolean;
  try {
    const help = { type: 'boolean', short: 'h' } as const;
    const options = { 'data-dir': { type: 'string' }, json: { type: 'boolean' }, help } as const;
    const { values } = parseArgs({ args: [...argv], options });
    if (values.help === true) {
      out(usage);
      return 0;
    }
    folder = path.resolve(values['data-dir'] ?? env.MOORING_DATA_DIR ?? './mooring-data');
    json = values.json === true;
  } catch {
    err(usage);
    return 2;
  }
  try {
    if (env.MOORING_KEY_ENCRYPTION_KEY !== undefined) {
      throw new Error(
        'The key is given by MOORING_KEY_ENCRYPTION_KEY, not kept in the folder. Start the hub once with the new one ' +
          'there, and the old one in MOORING_PREVIOUS_KEY_ENCRYPTION_KEY.',
      );
    }
    await rotateKey(folder);
    out(json ? '{"ok":true}\n' : 'Everything is encrypted with a new key, and the old one is gone.\n');
    return 0;
  } catch (error) {
    const { message } = error as Error;
    if (json) out(`${JSON.stringify({ ok: false, error: message })}\n`);
    else err(`${message}\n`);
    return 1;
  }
}

/** @throws Error whose message says what to do; the folder can be opened as before then. */
async function rotateKey(at: string): Promise<void> {
  const file = path.join(at, 'keys', 'tables.key');
  if (!existsSync(path.join(at, 'hub.json')) || !existsSync(file)) {
    throw new Error(`${at} holds no hub with a key file. Name the folder with --data-dir.`);
  }
  const unknown = { hubName: 'mooring', partitions: 1, createdTime: 0 };
  const folder = openDataFolder(at, unknown, { hubName: false, partitions: false });
  try {
    addKey(file, systemRandom, silentLog);
    const cipher = openKeyCipher({ file, random: systemRandom, log: silentLog });
    const database = folder.file('tables', 'hub.db');
    // Opening re-encrypts (`prepareTables`), and answers when that is durable.
    const tables = await openEmbeddedTables({ file: database, cipher, log: silentLog, clock: systemClock });
    await tables.close();
    dropOlderKeys(file, silentLog);
  } finally {
    folder.release();
  }
}
