/** What a configuration counts by itself (query reference 4): queries that can be asked for as they stand, and their counters. */
import type { Configuration, ConfigurationContent } from './types.ts';

export type ConfigurationKind = 'device' | 'module' | 'edge' | 'none';

export function kindOf({ deviceContent, moduleContent, modulesContent }: ConfigurationContent): ConfigurationKind {
  if (modulesContent !== undefined) return 'edge';
  if (moduleContent !== undefined) return 'module';
  return deviceContent === undefined ? 'none' : 'device';
}

export type SystemMetric = 'targetedCount' | 'appliedCount' | 'reportedSuccessfulCount' | 'reportedFailedCount';

/** By name. */
export function systemQueries({
  id,
  content,
  targetCondition,
}: Pick<Configuration, 'id' | 'content' | 'targetCondition'>): Readonly<Partial<Record<SystemMetric, string>>> {
  const kind = kindOf(content);
  const { from, where } = parts(targetCondition);
  const items = from === 'devices' ? 'deviceId' : 'deviceId, moduleId';
  const isApplied = `configurations.[[${id}]].status = 'Applied'`;
  const conditions = [...(kind === 'edge' ? ['capabilities.iotEdge = true'] : []), ...where];
  const agent =
    `select deviceId from devices.modules where moduleId = '$edgeAgent' and ${isApplied} and ` +
    'properties.desired.$version = properties.reported.lastDesiredVersion and properties.reported.lastDesiredStatus.code';
  return {
    targetedCount: `select ${items} from ${from}${conditions.length === 0 ? '' : ` where ${conditions.join(' and ')}`}`,
    appliedCount: `select ${items} from ${from} where ${isApplied}`,
    ...(kind === 'edge' && { reportedSuccessfulCount: `${agent} = 200`, reportedFailedCount: `${agent} != 200` }),
  };
}

/** A target condition that has been read before, as the parts of a query. */
function parts(text: string): { readonly from: string; readonly where: readonly string[] } {
  const named = /^\s*from\s+(devices(?:\.modules)?)\s*(?:where\b)?/i.exec(text);
  const condition = (named === null ? text : text.slice(named[0].length)).trim();
  const from = named?.[1].toLowerCase() ?? 'devices';
  if (condition === '*' || (condition === '' && named !== null)) return { from, where: [] };
  return { from, where: [condition === '' ? 'false' : `(${condition})`] };
}

/** Keys of counters, by name. A key is not used again: what was counted by it is forgotten with it. */
export interface Counters {
  readonly system: Readonly<Partial<Record<SystemMetric, number>>>;
  readonly metrics: { readonly [name: string]: number };
}

interface Counted {
  readonly configuration: Pick<Configuration, 'metrics'>;
  readonly counters: Counters;
}

/** Those of a configuration: of a query that has changed a new one. */
export function countersFor(configuration: Configuration, before: Counted | undefined, next: () => number): Counters {
  const system: Partial<Record<SystemMetric, number>> = {};
  for (const name of Object.keys(systemQueries(configuration)) as SystemMetric[]) {
    system[name] = before?.counters.system[name] ?? next();
  }
  const metrics = Object.create(null) as Record<string, number>;
  for (const name of Object.keys(configuration.metrics)) {
    const isSame =
      before !== undefined &&
      Object.hasOwn(before.configuration.metrics, name) &&
      before.configuration.metrics[name] === configuration.metrics[name];
    metrics[name] = isSame ? before.counters.metrics[name] : next();
  }
  return { system, metrics };
}
