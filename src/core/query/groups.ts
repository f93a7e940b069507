/** Rows gathered into groups, with what is counted of each. Bounded: neither groups nor their keys grow with the fleet. */
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import { answerOf, type GroupItem, type GroupPlan } from './plan.ts';
import type { FleetRow } from './ports.ts';
import type { AggregateName } from './syntax.ts';
import { compareTexts, isComposite, type Value } from './values.ts';

interface Group {
  readonly values: readonly Value[];
  /** One for each item that is an aggregate, in their order. */
  readonly sums: readonly Sum[];
}

/** What an aggregate needs of the values that it has seen. */
class Sum {
  readonly #name: AggregateName;
  count = 0;
  total = 0;
  numbers = 0;
  /** The least or the most, of the aggregate that asks for it. */
  end: Value;

  constructor(name: AggregateName) {
    this.#name = name;
  }

  /** @returns how many more characters it holds than before */
  add(value: Value): number {
    if (value === undefined) return 0;
    this.count++;
    if (typeof value === 'number') {
      this.total += value;
      this.numbers++;
    }
    if (value === null || typeof value === 'object') return 0;
    if (this.#name !== 'MIN' && this.#name !== 'MAX') return 0;
    const { end } = this;
    const isFurther = end === undefined || (this.#name === 'MIN' ? order(value, end) < 0 : order(value, end) > 0);
    if (!isFurther) return 0;
    this.end = value;
    return charsOf(value) - charsOf(end);
  }

  result(): Value {
    switch (this.#name) {
      case 'COUNT':
        return this.count;
      case 'SUM':
        return this.numbers === 0 ? undefined : this.total;
      case 'AVG':
        return this.numbers === 0 ? undefined : this.total / this.numbers;
      default:
        return this.end;
    }
  }
}

const charsOf = (value: Value): number => (typeof value === 'string' ? value.length : 0);

const ranks: readonly string[] = ['boolean', 'number', 'string'];

/** Truth values before numbers before texts. */
function order(a: Value, b: Value): number {
  if (typeof a === 'string' && typeof b === 'string') return compareTexts(a, b);
  return typeof a === typeof b ? Number(a) - Number(b) : ranks.indexOf(typeof a) - ranks.indexOf(typeof b);
}

export class Groups {
  readonly #plan: GroupPlan;
  readonly #aggregates: readonly (GroupItem & { readonly kind: 'aggregate' })[];
  readonly #groups = new Map<string, Group>();
  /** Of one key, by its value: most rows meet a group that is there, and need no text to find it. */
  readonly #byValue = new Map<Value, Group>();
  /** Characters that all of them hold. */
  #chars = 0;

  constructor(plan: GroupPlan) {
    this.#plan = plan;
    this.#aggregates = plan.items.filter((item) => item.kind === 'aggregate');
    // Without GROUP BY there is one group, also of no rows.
    if (plan.keys.length === 0) this.#group('[]', []);
  }

  /** @throws HubError ThrottlingException: the groups hold too much, ArgumentInvalid: a value is too long to group by */
  add(row: FleetRow): void {
    const { keys } = this.#plan;
    const single = keys.length === 1 ? keys[0](row) : undefined;
    const known = single === undefined ? undefined : this.#byValue.get(single);
    if (known !== undefined) {
      this.#count(row, known);
      return;
    }
    const values = keys.map((key) => key(row));
    // Undefined is another key than null.
    const key = JSON.stringify(values.map((value) => (value === undefined ? 0 : [value])));
    if (key.length > limits.queryGroupCharsMax) {
      throw new HubError('ArgumentInvalid', 'GROUP BY takes short values only: this query meets a longer one.', {
        limit: { name: 'queryGroupCharsMax', scope: 'group', current: key.length, max: limits.queryGroupCharsMax },
      });
    }
    const group = this.#groups.get(key) ?? this.#group(key, values);
    if (single !== undefined && !isComposite(single)) this.#byValue.set(single, group);
    this.#count(row, group);
  }

  #count(row: FleetRow, { sums }: Group): void {
    for (const [at, { of }] of this.#aggregates.entries()) this.#holds(sums[at].add(of === undefined ? true : of(row)));
  }

  #group(key: string, values: readonly Value[]): Group {
    const groups = this.#groups.size + 1;
    check('queryGroupsMax', groups, 'The query has too many groups: group by something with fewer values.');
    check(
      'queryGroupValuesMax',
      groups * (values.length + this.#aggregates.length),
      'The groups of the query hold too many values: ask for fewer aggregates at a time, or group by something with fewer values.',
    );
    this.#holds(key.length);
    const sums = this.#aggregates.map(({ aggregate }) => new Sum(aggregate));
    const group = { values, sums };
    this.#groups.set(key, group);
    return group;
  }

  #holds(chars: number): void {
    this.#chars += chars;
    check(
      'queryGroupsCharsMax',
      this.#chars,
      'The groups of the query hold too much text: group by something with fewer or shorter values, or ask for MIN and MAX of shorter texts.',
    );
  }

  /** Keys and answers of the groups behind `after`, in the order of keys. */
  answers(after: string | undefined): readonly (readonly [key: string, text: string])[] {
    return [...this.#groups]
      .filter(([key]) => after === undefined || compareTexts(key, after) > 0)
      .sort(([a], [b]) => compareTexts(a, b))
      .map(([key, group]) => [key, JSON.stringify(answerOf(entriesOf(group, this.#plan.items)))]);
  }
}

/** @throws HubError ThrottlingException */
function check(name: 'queryGroupsMax' | 'queryGroupValuesMax' | 'queryGroupsCharsMax', current: number, text: string) {
  const max = limits[name];
  if (current <= max) return;
  throw new HubError('ThrottlingException', text, { limit: { name, scope: 'query', current, max } });
}

function entriesOf({ values, sums }: Group, items: readonly GroupItem[]): (readonly [string, Value])[] {
  let at = 0;
  return items.map((item) => [item.name, item.kind === 'key' ? values[item.at] : sums[at++].result()]);
}
