/**
 * Stops at once when an invariant of ours is broken. Never for input from outside: that is refused with a `HubError`.
 * @throws AssertionError naming the invariant.
 */
export function assert(condition: unknown, invariant: string): asserts condition {
  if (!condition) throw new AssertionError(invariant);
}

/** The end of a switch that must have handled every `kind`; the compiler checks it too. */
export function unreachable(value: never): never {
  throw new AssertionError(`unhandled case ${JSON.stringify(value)}`);
}

/** A bug of ours, not of a user: an invariant did not hold. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}
