/**
 * How stores write a twin down. Patches of the reported properties are the fleet's second stream after telemetry, and a twin may be
 * a hundred times as large as one of them: so they are written behind the document as they come (the tail), and merged into it when
 * the tail has grown long, or when it is read.
 */
import { limits } from '../../base/limits.ts';
import { type ErrorCode, HubError } from '../errors.ts';
import { sizeOf } from './content.ts';
import { mergeInPlace } from './merge.ts';
import type { ReportOutcome, TwinRefusal } from './ports.ts';
import { freshTwin, reportedTwin } from './rules.ts';
import type { JsonObject, ReportedPatch, Twin } from './types.ts';

/** One entry of a tail: `[time,patch],` as JSON. */
export function tailEntry({ text }: ReportedPatch, time: number): string {
  return `[${time},${text}],`;
}

/**
 * A twin from its document (null = it was fresh) with everything of its tail merged into it. The patches were accepted when they
 * came. What has just been parsed is nobody else's, so it is changed in place: a copy of a large document for each patch of its
 * tail would cost more than all the rest.
 */
export function twinFrom(document: string | null, tail: string): Twin {
  if (tail === '') return document === null ? freshTwin() : (JSON.parse(document) as Twin);
  const twin = JSON.parse(document ?? JSON.stringify(freshTwin())) as Twin;
  const entries = JSON.parse(`[${tail.slice(0, -1)}]`) as readonly (readonly [time: number, values: JsonObject])[];
  const { values, stamp, version } = twin.reported;
  const members = stamp[2] ?? {};
  for (const [time, patch] of entries) mergeInPlace(values, members, patch, [time, 0]);
  const time = entries[entries.length - 1][0];
  return { ...twin, reported: { version: version + entries.length, values, stamp: [time, 0, members] } };
}

/** Whether all that can be said of a patch without the document is enough to accept it behind a tail. */
export function mayFollow({ text, ifVersion }: ReportedPatch): boolean {
  return ifVersion === undefined && text !== '{}' && text.length < limits.twinTailCharsMax;
}

/** What a patch costs the store, in that of a small one. */
export function reportCost(patch: ReportedPatch): number {
  const read = mayFollow(patch) ? 0 : limits.twinReportReadingCost;
  return 1 + read + Math.floor(patch.text.length / limits.twinReportCharsPerCost);
}

/** Carries out patches one after the other; what is refused changes nothing. */
export function reportAll(
  twin: Twin,
  patches: readonly ReportedPatch[],
  time: number,
): { readonly twin: Twin; readonly outcomes: readonly ReportOutcome[] } {
  let after = twin;
  const outcomes = patches.map((patch): ReportOutcome => {
    try {
      after = reportedTwin(after, patch, time);
      return { kind: 'done', version: after.reported.version };
    } catch (error) {
      return refusalOf(error);
    }
  });
  return { twin: after, outcomes };
}

/** What the reported properties have, or a little more: at no time less, so that a patch which fits it fits. */
export function reportedSize(twin: Twin): number {
  return sizeOf(twin.reported.values);
}

/** A refusal as plain data; what is none is thrown on. */
export function refusalOf(error: unknown): TwinRefusal {
  if (!(error instanceof HubError)) throw error;
  return { kind: 'refused', code: error.code, message: error.message, ...(error.limit && { limit: error.limit }) };
}

export function errorOf({ code, message, limit }: { code: ErrorCode } & Omit<TwinRefusal, 'kind' | 'code'>): HubError {
  return new HubError(code, message, limit === undefined ? {} : { limit });
}
