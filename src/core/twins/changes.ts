/** What stores do with one twin, whatever they keep it in: the twin afterwards, what devices are told, what readers of events are told. */
import { desiredPatchText } from './json.ts';
import { refusalOf } from './kept.ts';
import type { ChangeTerms, DesiredText, TwinEvent, TwinRefusal } from './ports.ts';
import { changedTwin, twinVersion } from './rules.ts';
import type { JsonObject, ReportedPatch, SectionPatch, Twin, TwinChange } from './types.ts';

/**
 * Of an event: what was merged, by section, with the version of the section; or of a replacement all of the twin. `reported` is one or the other,
 * as are tags and desired: a device never changes those.
 */
export type TwinEventContent =
  | {
      readonly tags?: SectionPatch;
      readonly desired?: { readonly version: number; readonly patch: JsonObject };
      readonly reported?: { readonly version: number; readonly patch: JsonObject };
    }
  | { readonly twin: Twin };

export interface CarriedOut {
  readonly kind: 'done';
  readonly twin: Twin;
  /** Absent when the device is told nothing. */
  readonly desired?: DesiredText;
  /** Absent when nothing has changed. */
  readonly event?: Pick<TwinEvent, 'kind' | 'version' | 'content'>;
}

export function carryOut(twin: Twin, change: TwinChange, { ifMatch, time }: ChangeTerms): CarriedOut | TwinRefusal {
  try {
    const { twin: after, desired } = changedTwin(twin, change, ifMatch, time);
    if (after === twin) return { kind: 'done', twin };
    const content: TwinEventContent =
      change.kind === 'replace'
        ? { twin: after }
        : { ...(after.tags !== twin.tags && { tags: change.tags }), ...(desired && { desired }) };
    return {
      kind: 'done',
      twin: after,
      ...(desired && { desired: { version: desired.version, text: desiredPatchText(desired) } }),
      event: {
        kind: change.kind === 'replace' ? 'replace' : 'update',
        version: twinVersion(after),
        content: JSON.stringify(content),
      },
    };
  } catch (error) {
    return refusalOf(error);
  }
}

/** The content of the event of one reported patch: as `JSON.stringify` would write it, without reading the patch. */
export function reportedContent({ text }: ReportedPatch, version: number): string {
  return `{"reported":{"version":${version},"patch":${text}}}`;
}

/** What `reportedContent` has written; undefined = the content is of another change. */
export function reportedIn(content: string): { readonly version: number; readonly text: string } | undefined {
  const found = /^\{"reported":\{"version":(\d+),"patch":/.exec(content);
  return found === null ? undefined : { version: Number(found[1]), text: content.slice(found[0].length, -2) };
}

/** An identity comes or goes, with this twin. */
export function lifecycleEvent(
  kind: 'created' | 'deleted',
  { key, generationId, time }: Pick<TwinEvent, 'key' | 'generationId' | 'time'>,
  twin: Twin,
): TwinEvent {
  const content: TwinEventContent = { twin };
  return { key, generationId, time, kind, version: twinVersion(twin), content: JSON.stringify(content) };
}
