/**
 * Many conditions, asked of one row: only those are tried that can be true of it. A condition that must have one of some values in a
 * place (`tags.site = 'x' AND …`, `tags.site IN ['x', 'y'] AND …`) is found by the row's value there, so that a thousand conditions on
 * one place cost as much as one.
 */
import { type FieldPath, fieldOf } from './fields.ts';
import type { FleetRow } from './ports.ts';
import type { Collection, Expression, Literal } from './syntax.ts';

interface ByValue<Item> {
  readonly path: FieldPath;
  readonly items: Map<Literal, Set<Item>>;
}

interface Demand {
  readonly path: FieldPath;
  readonly values: readonly Literal[];
}

export class ConditionIndex<Item> {
  /** By the key of the place. */
  readonly #places = new Map<string, ByValue<Item>>();
  /** Those that demand nothing that could be looked up. */
  readonly #others = new Set<Item>();
  readonly #demands = new Map<Item, Demand | undefined>();

  /** @param condition Undefined = it is true of every row. An item that is there already is replaced. */
  add(item: Item, condition: Expression | undefined, from: Collection): void {
    this.remove(item);
    const demand = condition && demandOf(condition, from);
    this.#demands.set(item, demand);
    if (demand === undefined) {
      this.#others.add(item);
      return;
    }
    const { path, values } = demand;
    const place = this.#places.get(path.key) ?? { path, items: new Map<Literal, Set<Item>>() };
    this.#places.set(path.key, place);
    for (const value of values) {
      const items = place.items.get(value);
      if (items === undefined) place.items.set(value, new Set([item]));
      else items.add(item);
    }
  }

  remove(item: Item): void {
    const demand = this.#demands.get(item);
    this.#demands.delete(item);
    if (demand === undefined) {
      this.#others.delete(item);
      return;
    }
    const { path, values } = demand;
    const place = this.#places.get(path.key);
    for (const value of values) {
      const items = place?.items.get(value);
      items?.delete(item);
      if (items?.size === 0) place?.items.delete(value);
    }
    if (place?.items.size === 0) this.#places.delete(path.key);
  }

  /** Every item whose condition is true of the row, and others perhaps; each once. */
  *of(row: FleetRow): Iterable<Item> {
    for (const { path, items } of this.#places.values()) {
      const value = row.value(path);
      // Nothing equals what is composite, or what is not there.
      if (value === undefined || (typeof value === 'object' && value !== null)) continue;
      const found = items.get(value);
      if (found !== undefined) yield* found;
    }
    yield* this.#others;
  }
}

/** What a condition must have to be true; undefined = nothing that can be looked up. */
function demandOf(condition: Expression, from: Collection): Demand | undefined {
  const parts = condition.kind === 'and' ? condition.operands : [condition];
  for (const part of parts) {
    const demand = demandOfPart(part, from);
    if (demand !== undefined) return demand;
  }
  return undefined;
}

function demandOfPart(part: Expression, from: Collection): Demand | undefined {
  if (part.kind === 'in' && !part.isNegated) return demandFor(part.operand, part.values, from);
  if (part.kind !== 'compare' || part.operator !== '=') return undefined;
  const { left, right } = part;
  if (right.kind === 'literal') return demandFor(left, [right.value], from);
  return left.kind === 'literal' ? demandFor(right, [left.value], from) : undefined;
}

function demandFor(operand: Expression, values: readonly Literal[], from: Collection): Demand | undefined {
  const path = operand.kind === 'path' ? fieldOf(operand.segments, from) : undefined;
  if (path === undefined) return undefined;
  // Undefined equals nothing; an item without any value is never found, and that is right.
  return { path, values: [...new Set(values.filter((value) => value !== undefined))] };
}
