/** The small durable facts of one adapter, in an SQLite file of its own. */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { limits } from '../base/limits.ts';
import { Refused } from './refused.ts';
import type { Memory } from './types.ts';

export interface OpenMemory extends Memory {
  close(): void;
}

/** @param file Made when missing, with its folder */
export function openMemory(file: string): OpenMemory {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  const tables = new DatabaseSync(file);
  tables.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 2000');
  tables.exec('CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID');
  const one = tables.prepare('SELECT value FROM facts WHERE key = ?');
  const count = tables.prepare('SELECT count(*) AS count FROM facts');
  const put = tables.prepare('INSERT INTO facts VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value');
  const remove = tables.prepare('DELETE FROM facts WHERE key = ?');
  const range = tables.prepare(
    'SELECT key, value FROM facts WHERE key >= ? AND substr(key, 1, length(?)) = ? ORDER BY key',
  );
  let keys = Number(count.get()?.count);
  return {
    async get(key) {
      const row = one.get(key);
      return row === undefined ? undefined : JSON.parse(String(row.value));
    },
    async set(key, value) {
      const text = checkFact(key, value);
      const isNew = one.get(key) === undefined;
      if (isNew && keys >= limits.adapterMemoryKeysMax) throw memoryFull();
      put.run(key, text);
      if (isNew) keys++;
    },
    async delete(key) {
      keys -= Number(remove.run(key).changes);
    },
    list: async (prefix) =>
      range.all(prefix, prefix, prefix).map((row) => [String(row.key), JSON.parse(String(row.value))] as const),
    close: () => tables.close(),
  };
}

/** The text of a fact. @throws Refused tooLarge, invalid */
export function checkFact(key: string, value: unknown): string {
  const text = JSON.stringify(value);
  if (text === undefined) throw new Refused('invalid', `The fact ${key} is nothing that JSON holds.`);
  if (key.length > limits.adapterMemoryKeyCharsMax || Buffer.byteLength(text) > limits.adapterMemoryValueBytesMax) {
    const bound = `${limits.adapterMemoryKeyCharsMax} characters of a key, ${limits.adapterMemoryValueBytesMax} bytes of a value`;
    throw new Refused('tooLarge', `The fact ${key.slice(0, 40)} is larger than is kept: ${bound}.`);
  }
  return text;
}

/** As many facts are kept as may be. */
export function memoryFull(): Refused {
  return new Refused('queueFull', `An adapter keeps up to ${limits.adapterMemoryKeysMax} facts: delete some first.`);
}
