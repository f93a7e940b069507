/** Which event hubs an export takes along: the hub's own, and those of endpoints, as the routes in its tables declare them. */
import type { RouteSet } from '../../core/routes/types.ts';
import type { TopicWish } from '../../stores/kafka/topics.ts';
import { createKeyCipher, type KeyRing } from '../../stores/tables/key-cipher.ts';
import { routeSetContext } from '../../stores/tables/routes.ts';
import type { RowSource } from '../../stores/tables/row-copy.ts';
import type { Settings } from '../config/config.ts';
import type { HubFacts } from '../data/data-folder.ts';
import { monitoringName } from '../endpoints.ts';
import { topicWish } from '../storage/cluster.ts';

export interface ExportedLog {
  readonly name: string;
  /** What its folder is called. */
  readonly place: string;
  readonly partitions: number;
  readonly topic: TopicWish;
}

export interface ExportedLogs {
  readonly logs: readonly ExportedLog[];
  /** Names of the endpoints, of any kind: each has places in the log, by sequence numbers. */
  readonly endpoints: readonly string[];
}

/** @param ring opens what the tables have sealed */
export async function exportedLogs(
  settings: Settings,
  { hubName, partitions }: HubFacts,
  rows: RowSource,
  ring: KeyRing,
): Promise<ExportedLogs> {
  const of = (name: string, place: string, count: number, days: number): ExportedLog => ({
    ...{ name, place, partitions: count },
    topic: topicWish(settings, { name: place, partitions: count, days }),
  });
  const endpoints = (await declared(rows, ring)).map(({ endpoint }) => endpoint);
  const further = endpoints.flatMap((each) =>
    each.kind === 'eventHub'
      ? [of(each.eventHub, each.eventHub.toLowerCase(), each.partitions, each.retentionHours / 24)]
      : [],
  );
  const monitoring = monitoringName(hubName);
  const own = [
    of(hubName, hubName, partitions, settings.retentionDays),
    of(monitoring, monitoring, 1, settings.monitoringRetentionDays),
  ];
  return { logs: [...own, ...further], endpoints: endpoints.map(({ name }) => name) };
}

async function declared(rows: RowSource, ring: KeyRing): Promise<RouteSet['endpoints']> {
  const table = rows.tables.find(({ name }) => name === 'route_sets');
  if (table === undefined) return [];
  const at = table.columns.indexOf('declaration');
  const sealed: string[] = [];
  for await (const page of rows.rows(table)) sealed.push(...page.map((row) => String(row[at])));
  const cipher = createKeyCipher(ring);
  return sealed.flatMap((text) => (JSON.parse(cipher.open(text, routeSetContext)) as RouteSet).endpoints);
}
