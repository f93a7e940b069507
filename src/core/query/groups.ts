/** Rows gathered into groups, with what is counted of each. Bounded: neither groups nor their keys grow with the fleet. */
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import { answerOf, type GroupItem, type GroupPlan } from './plan.ts';
import type { FleetRow } from './ports.ts';
import type { AggregateName } from './syntax.ts';
import { compareTexts, type Value } from './values.ts';

interface Group {
  readonly values: readonly Value[];
  /** One for each item that is an aggregate, in their order. */
  readonly sums: readonly Sum[];
}

/** What all aggregates need of the values that they have seen. */
class Sum {
  count = 0;
  total = 0;
  numbers = 0;
  least: Value;
  most: Value;

  add(value: Value): void {
    if (value === undefined) return;
    this.count++;
    if (typeof value === 'number') {
      this.total += value;
      this.numbers++;
    }
    if (value === null || typeof value === 'object') return;
    if (this.least === undefined || order(value, this.least) < 0) this.least = value;
    if (this.most === undefined || order(value, this.most) > 0) this.most = value;
  }

  result(name: AggregateName): Value {
    switch (name) {
      case 'COUNT':
        return this.count;
      case 'SUM':
        return this.numbers === 0 ? undefined : this.total;
      case 'AVG':
        return this.numbers === 0 ? undefined : this.total / this.numbers;
      case 'MIN':
        return this.least;
      case 'MAX':
        return this.most;
    }
  }
}

const ranks: readonly string[] = ['boolean', 'number', 'string'];

/** Truth values before numbers before texts. */
function order(a: Value, b: Value): number {
  if (typeof a === 'string' && typeof b === 'string') return compareTexts(a, b);
  return typeof a === typeof b ? Number(a) - Number(b) : ranks.indexOf(typeof a) - ranks.indexOf(typeof b);
}

export class Groups {
  readonly #plan: GroupPlan;
  readonly #groups = new Map<string, Group>();

  constructor(plan: GroupPlan) {
    this.#plan = plan;
    // Without GROUP BY there is one group, also of no rows.
    if (plan.keys.length === 0) this.#group('[]', []);
  }

  /** @throws HubError ThrottlingException: too many groups, ArgumentInvalid: a value is too long to group by */
  add(row: FleetRow): void {
    const values = this.#plan.keys.map((key) => key(row));
    // Undefined is another key than null.
    const key = JSON.stringify(values.map((value) => (value === undefined ? 0 : [value])));
    if (key.length > limits.queryGroupCharsMax) {
      throw new HubError('ArgumentInvalid', 'GROUP BY takes short values only: this query meets a longer one.', {
        limit: { name: 'queryGroupCharsMax', scope: 'group', current: key.length, max: limits.queryGroupCharsMax },
      });
    }
    const { sums } = this.#groups.get(key) ?? this.#group(key, values);
    let at = 0;
    for (const item of this.#plan.items) {
      if (item.kind === 'aggregate') sums[at++].add(item.of === undefined ? true : item.of(row));
    }
  }

  #group(key: string, values: readonly Value[]): Group {
    const max = limits.queryGroupsMax;
    if (this.#groups.size >= max) {
      throw new HubError(
        'ThrottlingException',
        'The query has too many groups: group by something with fewer values.',
        {
          limit: { name: 'queryGroupsMax', scope: 'query', current: this.#groups.size + 1, max },
        },
      );
    }
    const sums = this.#plan.items.filter(({ kind }) => kind === 'aggregate').map(() => new Sum());
    const group = { values, sums };
    this.#groups.set(key, group);
    return group;
  }

  /** Keys and answers of the groups behind `after`, in the order of keys. */
  answers(after: string | undefined): readonly (readonly [key: string, text: string])[] {
    return [...this.#groups]
      .filter(([key]) => after === undefined || compareTexts(key, after) > 0)
      .sort(([a], [b]) => compareTexts(a, b))
      .map(([key, group]) => [key, JSON.stringify(answerOf(entriesOf(group, this.#plan.items)))]);
  }
}

function entriesOf({ values, sums }: Group, items: readonly GroupItem[]): (readonly [string, Value])[] {
  let at = 0;
  return items.map((item) => [item.name, item.kind === 'key' ? values[item.at] : sums[at++].result(item.aggregate)]);
}
