/** A twin as JSON (twins reference 1.1): the sections as devices see them, and with the metadata that back ends see. */
import type { IdentityAuthentication } from '../identity/types.ts';
import { emptyObject } from './content.ts';
import type { DesiredPatch, JsonObject, Section, Stamp, Twin } from './types.ts';

/** What a device is answered: no metadata, no tags. JSON text. */
export function deviceTwinText({ desired, reported }: Pick<Twin, 'desired' | 'reported'>): string {
  return JSON.stringify({
    desired: withVersion(desired.values, desired.version),
    reported: withVersion(reported.values, reported.version),
  });
}

/** What a device is told of a change. JSON text. */
export function desiredPatchText({ patch, version }: DesiredPatch): string {
  return JSON.stringify(withVersion(patch, version));
}

/** A section as back ends see it. */
export function sectionJson({ values, version, stamp }: Section): JsonObject {
  const json = copied(values);
  json.$metadata = metadataJson(stamp);
  json.$version = version;
  return json;
}

/** `$metadata`: the stamp of each level, and below it those of its members. */
export function metadataJson([time, version, members]: Stamp): JsonObject {
  const json = emptyObject();
  json.$lastUpdated = stampText(time);
  if (version > 0) json.$lastUpdatedVersion = version;
  if (members !== undefined) for (const name of Object.keys(members)) json[name] = metadataJson(members[name]);
  return json;
}

function withVersion(values: JsonObject, version: number): JsonObject {
  const json = copied(values);
  json.$version = version;
  return json;
}

function copied(values: JsonObject): ReturnType<typeof emptyObject> {
  const json = emptyObject();
  for (const name of Object.keys(values)) json[name] = values[name];
  return json;
}

/** Most stamps of twins are of a few changes. */
const texts = new Map<number, string>();
const TEXTS_MAX = 1024;

/** ISO 8601 with seven decimals, as the service writes it; the first instant of its calendar for "never". */
export function stampText(time: number): string {
  if (time === 0) return '0001-01-01T00:00:00Z';
  let text = texts.get(time);
  if (text === undefined) {
    text = `${new Date(time).toISOString().slice(0, -1)}0000Z`;
    if (texts.size >= TEXTS_MAX) texts.clear();
    texts.set(time, text);
  }
  return text;
}

export function thumbprintsJson({ x509Thumbprint }: Pick<IdentityAuthentication, 'x509Thumbprint'>) {
  return {
    primaryThumbprint: x509Thumbprint?.primaryThumbprint ?? null,
    secondaryThumbprint: x509Thumbprint?.secondaryThumbprint ?? null,
  };
}
