import type { Engine } from '../engine.ts';

/** A number that the engine counts up by itself, and never gives twice. */
export const countedKey: Readonly<Record<Engine['name'], string>> = {
  sqlite: 'integer primary key autoincrement',
  postgres: 'bigint generated always as identity primary key',
};
