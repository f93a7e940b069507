import type { z } from 'zod';
import type {
  ConfigurationJson,
  configurationDraftSchema,
  TestedErrorsJson,
  testedQueriesSchema,
} from '../../api/configurations.ts';
import { limits } from '../../base/limits.ts';
import { systemQueries } from '../../core/configurations/metrics.ts';
import type { TestedErrors, TestedQueries } from '../../core/configurations/room.ts';
import type { ConfigurationContent, ConfigurationDraft, KeptConfiguration } from '../../core/configurations/types.ts';
import { HubError } from '../../core/errors.ts';
import { parseJson, refusePrototypeName } from './json-body.ts';

type Draft = z.output<typeof configurationDraftSchema>;

/** @throws HubError ArgumentInvalid, IotHubFormatError */
export function configurationDraft(id: string, body: Draft): ConfigurationDraft {
  if (typeof body.id === 'string' && body.id !== id) {
    throw new HubError('ArgumentInvalid', `The body is of ${body.id.slice(0, 128)}, and the address of ${id}.`);
  }
  return {
    id,
    schemaVersion: body.schemaVersion ?? '1.0',
    labels: body.labels ?? {},
    content: body.content == null ? undefined : contentOf(body.content),
    targetCondition: body.targetCondition ?? '',
    priority: body.priority ?? 0,
    metrics: body.metrics?.queries ?? {},
  };
}

/** Undefined where it is empty: SDKs send all kinds, those that are not meant as null. */
function contentOf(content: NonNullable<Draft['content']>): ConfigurationContent | undefined {
  return Object.values(content).some((value) => value != null) ? appliedContent(content) : undefined;
}

export function appliedContent(content: object): ConfigurationContent {
  return content as ConfigurationContent;
}

/** A body of these routes, which may be larger than others. */
export function readBody<Body>(bytes: Buffer, schema: z.ZodType<Body>): Body {
  const json = parseJson(bytes, { valuesMax: limits.configurationValuesMax });
  refuseInRecords(json);
  const { data, error } = schema.safeParse(json);
  if (error === undefined) return data;
  const [issue] = error.issues;
  throw new HubError('ArgumentInvalid', `${issue.path.join('.') || 'body'}: ${issue.message}`);
}

/** Names of labels and queries; names in content may be any. */
function refuseInRecords(json: unknown): void {
  if (typeof json !== 'object' || json === null) return;
  const { labels, metrics, customMetricQueries } = json as Readonly<Record<string, unknown>>;
  refusePrototypeName(json);
  refusePrototypeName(labels);
  refusePrototypeName(customMetricQueries);
  if (typeof metrics === 'object' && metrics !== null) refusePrototypeName((metrics as { queries?: unknown }).queries);
}

export function configurationJson(kept: KeptConfiguration): ConfigurationJson {
  return {
    id: kept.id,
    schemaVersion: kept.schemaVersion,
    labels: kept.labels,
    content: { ...kept.content },
    targetCondition: kept.targetCondition,
    createdTimeUtc: new Date(kept.createdTime).toISOString(),
    lastUpdatedTimeUtc: new Date(kept.lastUpdatedTime).toISOString(),
    priority: kept.priority,
    systemMetrics: { results: kept.systemCounts, queries: systemQueries(kept) as Readonly<Record<string, string>> },
    metrics: { results: kept.metricCounts, queries: kept.metrics },
    etag: kept.etag,
    evaluated: kept.isEverywhere,
  };
}

export function testedQueries({
  targetCondition,
  customMetricQueries,
}: z.output<typeof testedQueriesSchema>): TestedQueries {
  return { ...(targetCondition != null && { targetCondition }), metrics: customMetricQueries ?? {} };
}

export function testedErrorsJson({ targetCondition, metrics }: TestedErrors): TestedErrorsJson {
  return { targetConditionError: targetCondition, customMetricQueryErrors: metrics };
}
