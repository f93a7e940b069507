/**
 * Conditions that are written down and kept: which devices or modules something is for (query reference 0 and 4), and queries whose rows
 * are counted. Both are about one row at a time.
 */
import { HubError } from '../errors.ts';
import { type FieldPath, presenceFields, type RowField } from './fields.ts';
import { pathsOf, planOf } from './plan.ts';
import type { FleetRow } from './ports.ts';
import { parseQuery, parseTarget } from './statement.ts';
import { type Collection, type Expression, isGrouped } from './syntax.ts';

/** Rows of one collection. */
export interface Target {
  readonly from: Exclude<Collection, 'devices.jobs'>;
  /** Absent = all of them. */
  readonly where?: Expression;
}

/** As `parseTarget`; an empty text is undefined: nobody is meant. @throws HubError ArgumentInvalid, with the place */
export function parseKept(text: string): Target | undefined {
  if (text.trim() === '') return undefined;
  const { from, where } = parseTarget(text);
  return { from: from as Target['from'], ...(where && { where }) };
}

/**
 * A query whose rows are counted, one by one: without groups and TOP. @throws HubError ArgumentInvalid, with the place where there is one
 */
export function parseCounted(text: string): Target {
  const query = parseQuery(text);
  const { from, where } = query;
  if (from === 'devices.jobs') throw new HubError('ArgumentInvalid', 'It counts devices or devices.modules.');
  if (isGrouped(query) || query.top !== undefined) {
    throw new HubError('ArgumentInvalid', 'Its rows are counted: it has no GROUP BY, no aggregates and no TOP.');
  }
  return { from, ...(where && { where }) };
}

/** Whether a row, which is of the target's collection, is meant. */
export function testOf({ from, where }: Target): (row: FleetRow) => boolean {
  const { passes } = planOf({ select: undefined, from, ...(where && { where }), groupBy: [] });
  return (row) => passes(row);
}

/** What the condition asks rows for. */
export function fieldsOf({ from, where }: Target): readonly FieldPath[] {
  return pathsOf({ select: [], from, ...(where && { where }), groupBy: [] }) ?? [];
}

/** What changes without a change of the identity or the twin. */
export const restlessFields: ReadonlySet<RowField> = new Set([...presenceFields, 'cloudToDeviceMessageCount']);

/** Both as configurations know them: a condition with what it asks for and whether a row passes. */
export const conditionLanguage = {
  target: (text: string) => {
    const target = parseKept(text);
    return target && compiled(target);
  },
  counted: (text: string) => compiled(parseCounted(text)),
};

const compiled = (target: Target) => ({ from: target.from, fields: fieldsOf(target), passes: testOf(target) });
