/**
 * Which routes are in force when, as those know who change them: a change holds at the latest from its answer on, and at the earliest from
 * its request on. One whose answer got lost may hold or not, until a later one is answered, or the hub starts and shows what it has.
 */
import type { Clock } from '../../src/base/clock.ts';

/** Two ways of routing the same events; `declarationOf` and `wishOf` say what they are. */
export type RoutesVariant = 'first' | 'second';

interface Change {
  readonly variant: RoutesVariant;
  readonly from: number;
  /** When it was answered; infinite = it has not been. */
  answered: number;
}

export class RoutesInForceThen {
  readonly #changes: Change[] = [];

  /** The one that was asked for last. */
  get newest(): RoutesVariant | undefined {
    return this.#changes.at(-1)?.variant;
  }

  /** A change is asked for. To be called with its answer. */
  asked(variant: RoutesVariant, clock: Pick<Clock, 'now'>): () => void {
    const change: Change = { variant, from: clock.now(), answered: Number.POSITIVE_INFINITY };
    this.#changes.push(change);
    return () => {
      change.answered = clock.now();
    };
  }

  /** A hub that starts has these. */
  shown(variant: RoutesVariant, clock: Pick<Clock, 'now'>): void {
    this.asked(variant, clock)();
  }

  /** All that were ever asked for. */
  get ever(): ReadonlySet<RoutesVariant> {
    return new Set(this.#changes.map(({ variant }) => variant));
  }

  /** What an event may have been routed by that was decided on at this time. */
  at(time: number): ReadonlySet<RoutesVariant> {
    const over = this.#changes.findLastIndex(({ answered }) => answered < time);
    const may = this.#changes.filter(({ from }, nth) => nth >= over && from <= time);
    return new Set(may.map(({ variant }) => variant));
  }
}

/**
 * What an operator declares. By the first routes `kind=a` is for all endpoints, and readers do not see it; `kind=b` is for the first
 * endpoint, and they see it. By the second it is the other way round. What twins and identities tell is for readers and the first
 * endpoint. Everything else is for readers alone.
 */
export function declarationOf(variant: RoutesVariant, names: readonly string[]): unknown {
  const [first] = names;
  const [hidden, shown] = variant === 'first' ? ['a', 'b'] : ['b', 'a'];
  const route = (name: string, condition: string, endpoint: string) => ({ name, condition, endpoint });
  return {
    endpoints: names.map((name) => ({ kind: 'kafka', name, brokers: ['elsewhere:9092'], topic: name })),
    routes: [
      ...names.map((name) => route(`${hidden}-to-${name}`, `kind = '${hidden}'`, name)),
      route(`${shown}-to-readers`, `kind = '${shown}'`, 'events'),
      route(`${shown}-to-endpoint`, `kind = '${shown}'`, first),
      { ...route('twins-to-readers', 'true', 'events'), source: 'TwinChangeEvents' },
      { ...route('twins-to-endpoint', 'true', first), source: 'TwinChangeEvents' },
    ],
    enrichments: [{ key: 'hub', value: '$iothubname', endpoints: names }],
  };
}

/** @param routes Of a set in force */
export const variantOf = (routes: readonly { readonly name: string }[]): RoutesVariant =>
  routes.some(({ name }) => name === 'b-to-readers') ? 'first' : 'second';

export interface Wish {
  readonly endpoints: readonly string[];
  readonly isShown: boolean;
}

/** Where an event is to be found. @param source As its record has it @param kind The property of this name */
export function wishOf(
  variant: RoutesVariant,
  source: string,
  kind: string | undefined,
  names: readonly string[],
): Wish {
  const [first] = names;
  if (source === 'twinChangeEvents') return { endpoints: [first], isShown: true };
  const [hidden, shown] = variant === 'first' ? ['a', 'b'] : ['b', 'a'];
  if (kind === hidden) return { endpoints: names, isShown: false };
  return { endpoints: kind === shown ? [first] : [], isShown: true };
}
