/** A twin from one state to the next: versions, ETags, sizes. Pure; twins reference 1 has the rules. */
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import { checkedContent, checkedRequest, isObject, parseObject, sizeOf } from './content.ts';
import { clearingPatch, freshSection, mergedSection, mergedValues, replacedSection } from './merge.ts';
import type { DesiredPatch, JsonObject, JsonValue, ReportedPatch, SectionPatch, Twin, TwinChange } from './types.ts';

/** The twin of an identity that has just been created. */
export function freshTwin(): Twin {
  return { changes: 1, tags: {}, desired: freshSection(), reported: freshSection() };
}

/** The twin's ETag: its number as eight bytes in base64. */
export function twinETag({ changes }: Pick<Twin, 'changes'>): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(changes));
  return bytes.toString('base64');
}

/** Grows by 1 with each accepted change of any section. */
export function twinVersion({ changes, reported }: Pick<Twin, 'changes' | 'reported'>): number {
  return changes + reported.version;
}

export interface Changed {
  readonly twin: Twin;
  /** What the device is told; absent when no desired property was named. */
  readonly desired?: DesiredPatch;
}

/**
 * Carries out what a back end wants. A change that names nothing leaves the twin as it is.
 * @param ifMatch An unquoted ETag, or `*`
 * @param time UTC milliseconds
 * @throws HubError PreconditionFailed, ArgumentInvalid (too large)
 */
export function changedTwin(twin: Twin, change: TwinChange, ifMatch: string, time: number): Changed {
  if (ifMatch !== '*' && ifMatch !== twinETag(twin)) throw new HubError('PreconditionFailed');
  if (
    change.kind === 'merge' &&
    change.desiredVersion !== undefined &&
    change.desiredVersion !== twin.desired.version
  ) {
    throw new HubError('PreconditionFailed', 'The version of the desired properties is not the current one.');
  }
  const after = change.kind === 'merge' ? merge(twin, change, time) : replace(twin, change, time);
  checkGrowth(twin.tags, after.twin.tags, limits.twinTagsBytesMax, 'tags');
  checkGrowth(twin.desired.values, after.twin.desired.values, limits.twinSectionBytesMax, 'properties.desired');
  return after;
}

function merge(twin: Twin, change: TwinChange & { readonly kind: 'merge' }, time: number): Changed {
  const changesTags = namesSomething(change.tags);
  const changesDesired = namesSomething(change.desired);
  if (!changesTags && !changesDesired) return { twin };
  const tags = changesTags ? mergedValues(twin.tags, change.tags) : twin.tags;
  if (!changesDesired) return { twin: { ...twin, changes: twin.changes + 1, tags } };
  const desired = mergedSection(twin.desired, change.desired, time, true);
  return {
    twin: { ...twin, changes: twin.changes + 1, tags, desired },
    desired: { version: desired.version, patch: change.desired ?? clearingPatch(twin.desired.values) },
  };
}

/** A patch of no members is no change. */
function namesSomething(patch: SectionPatch | undefined): patch is SectionPatch {
  return patch !== undefined && (patch === null || Object.keys(patch).length > 0);
}

function replace(twin: Twin, change: TwinChange & { readonly kind: 'replace' }, time: number): Changed {
  if (change.tags === undefined && change.desired === undefined) return { twin };
  const tags = change.tags === undefined ? twin.tags : mergedValues({}, change.tags);
  if (change.desired === undefined) return { twin: { ...twin, changes: twin.changes + 1, tags } };
  const desired = replacedSection(twin.desired, change.desired, time, true);
  return {
    twin: { ...twin, changes: twin.changes + 1, tags, desired },
    desired: { version: desired.version, patch: desired.values },
  };
}

/**
 * Carries out what a device reports. An empty patch changes nothing.
 * @throws HubError PreconditionFailed, ArgumentInvalid (too large)
 */
export function reportedTwin(twin: Twin, patch: ReportedPatch, time: number): Twin {
  if (patch.ifVersion !== undefined && patch.ifVersion !== twin.reported.version) {
    throw new HubError('PreconditionFailed', 'The version of the reported properties is not the current one.');
  }
  const values = JSON.parse(patch.text) as JsonObject;
  if (Object.keys(values).length === 0) return twin;
  const after = { ...twin, reported: mergedSection(twin.reported, values, time, false) };
  checkGrowth(twin.reported.values, after.reported.values, limits.twinSectionBytesMax, 'properties.reported');
  return after;
}

/** A section that is over its bound already may still shrink, or change without growing. */
function checkGrowth(before: JsonObject, after: JsonObject, max: number, place: string): void {
  if (before === after) return;
  const current = sizeOf(after);
  if (current <= max || current <= sizeOf(before)) return;
  throw new HubError('ArgumentInvalid', `${place} has at most ${max} bytes of names and values.`, {
    limit: { name: place === 'tags' ? 'twinTagsBytesMax' : 'twinSectionBytesMax', scope: 'twin', current, max },
  });
}

/** What no section has as its version. */
const NO_VERSION = -1;

/** The version that a device names as a condition; what is none is a condition that does not hold. Nothing = no condition. */
export function versionNamed(text: string | null | undefined): number | undefined {
  if (text === undefined || text === null || text === '') return undefined;
  return /^\d{1,15}$/.test(text) ? Number(text) : NO_VERSION;
}

const reportedBounds = {
  bytesMax: limits.twinReportedBytesMax,
  depthMax: limits.twinDepthMax + 1,
  valuesMax: limits.twinValuesMax,
  checksIntegers: true,
};

/**
 * A back end sends the whole twin back, with the hub's stamps of it, and with what the device has reported: its 1e17 among that is
 * written as an integer there, and must not refuse what the back end wants. So integers are looked at where they are kept.
 */
const requestBounds = {
  bytesMax: limits.requestBytesMax,
  depthMax: limits.twinDepthMax + 6,
  valuesMax: limits.twinRequestValuesMax,
  checksIntegers: false,
};

/** @throws HubError MessageTooLarge, ArgumentInvalid, IotHubFormatError */
export function readReportedPatch(bytes: Uint8Array, ifVersion?: number): ReportedPatch {
  const patch = checkedContent(parseObject(bytes, reportedBounds, 'The patch'), 'properties.reported');
  return { text: JSON.stringify(patch), sizeMax: sizeOf(patch), ...(ifVersion !== undefined && { ifVersion }) };
}

/**
 * What a back end sent, either as a merge or as a replacement. Only tags and desired properties are read: the SDKs send all that
 * they have read of a twin.
 * @throws HubError as `readReportedPatch`
 */
export function readTwinChange(bytes: Uint8Array, kind: TwinChange['kind']): TwinChange {
  const body = parseObject(bytes, requestBounds, 'The body');
  const properties = objectOrNothing(own(body, 'properties'), 'properties');
  const sentTags = own(body, 'tags');
  const sentDesired = properties === undefined ? undefined : own(properties, 'desired');
  if (kind === 'replace') {
    // Null members of a replacement are left out, and so is a section that is null.
    const tags = objectOrNothing(sentTags, 'tags');
    const desired = objectOrNothing(sentDesired, 'properties.desired');
    return {
      kind,
      ...(tags !== undefined && { tags: checkedRequest(tags, 'tags') }),
      ...(desired !== undefined && { desired: checkedRequest(desired, 'properties.desired') }),
    };
  }
  const desiredVersion = isObject(sentDesired) ? own(sentDesired, '$version') : undefined;
  return {
    kind,
    ...(sentTags !== undefined && { tags: sectionPatch(sentTags, 'tags') }),
    ...(sentDesired !== undefined && { desired: sectionPatch(sentDesired, 'properties.desired') }),
    ...(typeof desiredVersion === 'number' && { desiredVersion }),
  };
}

function sectionPatch(value: JsonValue, place: string): SectionPatch {
  if (value === null) return null;
  if (!isObject(value)) throw new HubError('ArgumentInvalid', `${place} is an object or null.`);
  return checkedRequest(value, place);
}

function objectOrNothing(value: JsonValue | undefined, place: string): JsonObject | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isObject(value)) throw new HubError('ArgumentInvalid', `${place} is an object.`);
  return value;
}

function own(object: JsonObject, name: string): JsonValue | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}
