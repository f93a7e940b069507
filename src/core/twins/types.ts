/** Device and module twins: one JSON document per identity, in three sections. Plain data, no behaviour. */

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;

/**
 * Any text may be a member's name, `__proto__` as well: objects that code fills have no prototype, and members are read
 * by own names only.
 */
export interface JsonObject {
  readonly [name: string]: JsonValue;
}

/**
 * When a value, or something below it, was changed last: UTC milliseconds (0 = never), the section's version by that change (0 where
 * the section shows none), and the same of each member of an object. An array has one stamp for the whole of it.
 */
export type Stamp = readonly [time: number, version: number, members?: { readonly [name: string]: Stamp }];

/** Desired or reported properties. */
export interface Section {
  /** Begins at 1 and grows by 1 with each accepted change: `$version`. */
  readonly version: number;
  readonly values: JsonObject;
  /** Of the section itself, with those of all members: `$metadata`. */
  readonly stamp: Stamp;
}

/** The document of one identity. */
export interface Twin {
  /** Begins at 1 and grows by 1 with each accepted change of tags or desired properties: the ETag. */
  readonly changes: number;
  readonly tags: JsonObject;
  readonly desired: Section;
  readonly reported: Section;
}

/** A merge of a section: members that are null are deleted; null in place of all of it clears the section. */
export type SectionPatch = JsonObject | null;

/** What a back end changes. Absent = left alone. */
export type TwinChange =
  | {
      readonly kind: 'merge';
      readonly tags?: SectionPatch;
      readonly desired?: SectionPatch;
      /** The version that the back end has seen of the desired properties; absent = whatever is there. */
      readonly desiredVersion?: number;
    }
  | { readonly kind: 'replace'; readonly tags?: JsonObject; readonly desired?: JsonObject };

/** What a device reports, checked: a merge as JSON text without white space, and what it can add to the section's size at most. */
export interface ReportedPatch {
  readonly text: string;
  readonly sizeMax: number;
  /** The version that the device has seen of its reported properties; absent = whatever is there. */
  readonly ifVersion?: number;
}

/** A change of desired properties as a device is told of it: what was merged, or all of the section after a replacement. */
export interface DesiredPatch {
  /** The section's version after it. */
  readonly version: number;
  readonly patch: JsonObject;
}

/** `Note.kind` of a change of desired properties. */
export const DESIRED = 'desired';

/** `Note.value` of it: what is new is read from the store, so that notes may meet and overtake each other. */
export interface DesiredTold {
  readonly generationId: string;
  readonly version: number;
}
