/** The databases that the tables live in. */
export type EngineName = 'sqlite' | 'postgres';

/** A number that the engine counts up by itself, and never gives twice. */
export const countedKey: Readonly<Record<EngineName, string>> = {
  sqlite: 'integer primary key autoincrement',
  postgres: 'bigint generated always as identity primary key',
};
