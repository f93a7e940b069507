import type { Guard } from '../../core/identity/guard.ts';
import type { Principal } from '../../core/identity/types.ts';

/** Names of the calls of a room that take the principal first. */
type CallsOf<Room> = {
  [Name in keyof Room]: Room[Name] extends (principal: Principal, ...args: never[]) => Promise<unknown> ? Name : never;
}[keyof Room];

/**
 * A stand-in whose calls take a place among those of their caller in this thread too, before they cross: what waits for the main thread
 * is bounded for all of them together.
 */
export function inTurns<Room extends object>(guard: Guard, room: Room, names: readonly CallsOf<Room>[]): Room {
  type Call = (principal: Principal, ...args: unknown[]) => Promise<unknown>;
  const calls = room as Readonly<Record<string, Call>>;
  const taking = names.map((name): [string, Call] => {
    const call = calls[String(name)];
    return [String(name), (principal, ...args) => guard.inTurn(principal, () => call(principal, ...args))];
  });
  return { ...room, ...Object.fromEntries(taking) };
}
