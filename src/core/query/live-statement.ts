/** Which queries can be followed: those whose rows are rows of the fleet, and hang on what the change feed tells of. */
import { invalidQuery } from './faults.ts';
import { pathsOf } from './plan.ts';
import { isGrouped, type Query } from './syntax.ts';

/** Fields that change with each message or command, which no change is told of. */
const restless: ReadonlySet<string> = new Set(['lastActivityTime', 'cloudToDeviceMessageCount']);

/** @throws HubError ArgumentInvalid: what the query has that a live query cannot have */
export function checkLive(text: string, query: Query): void {
  if (query.from === 'devices.jobs')
    throw invalidQuery(text, 0, 'a live query is about devices or devices.modules, not about devices.jobs');
  if (isGrouped(query))
    throw invalidQuery(text, groupPlace(query), 'a live query has neither GROUP BY nor aggregates: follow the rows');
  if (query.top !== undefined) throw invalidQuery(text, 0, 'a live query has no TOP: it is about all rows that pass');
  for (const { field } of pathsOf(query) ?? whereOf(query)) {
    if (!restless.has(field)) continue;
    const at = Math.max(0, text.toLowerCase().indexOf(field.toLowerCase()));
    throw invalidQuery(text, at, `a live query cannot hang on ${field}: nothing tells when it changes`);
  }
}

/** Of whole twins the condition alone: they show those fields as they were when the row was told. */
function whereOf({ where, from }: Query) {
  return pathsOf({ select: [], from, groupBy: [], ...(where && { where }) }) ?? [];
}

const groupPlace = ({ groupBy, select }: Query): number =>
  groupBy[0]?.at ?? select?.find(({ kind }) => kind === 'aggregate')?.at ?? 0;
