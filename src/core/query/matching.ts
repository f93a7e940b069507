/** Rows asked about by queries that are known beforehand: which of them a row passes, and what each answers of it. */
import { createHash } from 'node:crypto';
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import { ConditionIndex } from './condition-index.ts';
import type { FieldPath } from './fields.ts';
import { partsOf } from './parts.ts';
import { type Plan, pathsOf, planOf } from './plan.ts';
import type { FleetPlace, FleetReader, FleetRow, MatchedPiece, RowMatch } from './ports.ts';
import type { Query } from './syntax.ts';

interface Known {
  readonly id: number;
  readonly query: Query;
  readonly plan: Plan;
  readonly parts: number;
  readonly paths: readonly FieldPath[] | undefined;
}

export class RowMatching {
  readonly #known = new Map<number, Known>();
  readonly #devices = new ConditionIndex<Known>();
  readonly #modules = new ConditionIndex<Known>();
  /** Of all queries together; made when it is asked for. */
  #paths: { readonly all: readonly FieldPath[] | undefined } | undefined;

  add(id: number, query: Query): void {
    this.remove(id);
    const known = { id, query, plan: planOf(query), parts: partsOf(query), paths: pathsOf(query) };
    this.#known.set(id, known);
    this.#indexOf(query).add(known, query.where, query.from);
    this.#paths = undefined;
  }

  remove(id: number): void {
    const known = this.#known.get(id);
    if (known === undefined) return;
    this.#known.delete(id);
    this.#indexOf(known.query).remove(known);
    this.#paths = undefined;
  }

  query(id: number): Query | undefined {
    return this.#known.get(id)?.query;
  }

  /** What rows are asked for; undefined = the whole of them. */
  get paths(): readonly FieldPath[] | undefined {
    this.#paths ??= { all: unionOf([...this.#known.values()]) };
    return this.#paths.all;
  }

  /** @param parts Of the row that may have changed: queries that hang on none of them are left out */
  match(row: FleetRow, parts: number): readonly RowMatch[] {
    const index = row.place.moduleId === '' ? this.#devices : this.#modules;
    const matches: RowMatch[] = [];
    let chars = 0;
    /** Of whole twins, which are the same for all that ask for them. */
    let whole: Omit<RowMatch, 'query'> | undefined;
    for (const { id, query, plan, parts: own } of index.of(row)) {
      if ((own & parts) === 0 || !plan.passes(row)) continue;
      const answer = (query.select === undefined && whole) || answerThatFits(plan, row);
      if (query.select === undefined) whole = answer;
      chars += answer.text.length;
      matches.push({ query: id, ...(chars > limits.liveQueryMatchCharsMax ? leftOut : answer) });
    }
    return matches;
  }

  /**
   * What a query finds in one piece of its collection; bounded in characters.
   * @throws what `reader` throws
   */
  async piece(id: number, reader: FleetReader, after: FleetPlace | undefined): Promise<MatchedPiece> {
    const known = this.#known.get(id);
    if (known === undefined) return { rows: [] };
    const { rows, end } = await reader.read(after);
    const found: { place: FleetPlace; text: string; digest: string }[] = [];
    let chars = 0;
    for (const row of rows) {
      if (!known.plan.passes(row)) continue;
      const answer = answerOf(known.plan, row);
      found.push({ place: row.place, ...answer });
      chars += answer.text.length;
      if (chars > limits.liveQueryPieceCharsMax) return { rows: found, end: row.place };
    }
    return { rows: found, ...(end !== undefined && { end }) };
  }

  #indexOf({ from }: Query): ConditionIndex<Known> {
    return from === 'devices.modules' ? this.#modules : this.#devices;
  }
}

function answerOf(plan: Plan, row: FleetRow): { readonly text: string; readonly digest: string } {
  const text = plan.text(row);
  return { text, digest: digestOf(text) };
}

const leftOut = { text: '', digest: '', isLeftOut: true } as const;

/** What is too long is said by `piece`, to those whom it concerns. */
function answerThatFits(plan: Plan, row: FleetRow): Omit<RowMatch, 'query'> {
  try {
    return answerOf(plan, row);
  } catch (error) {
    if (error instanceof HubError) return leftOut;
    throw error;
  }
}

/** Whether an answer holds as much as one may: what is behind it is asked for again. */
export class MatchSize {
  #chars = 0;

  add(matches: readonly RowMatch[]): void {
    for (const { text } of matches) this.#chars += text.length;
  }

  get isFull(): boolean {
    return this.#chars > limits.liveQueryMatchCharsMax;
  }
}

/** Two texts with one digest are the same: a device must not be able to choose another one. */
function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64').slice(0, 22);
}

function unionOf(known: readonly Known[]): readonly FieldPath[] | undefined {
  const union = new Map<string, FieldPath>();
  for (const { paths } of known) {
    if (paths === undefined) return undefined;
    for (const path of paths) union.set(path.key, path);
  }
  return [...union.values()];
}
