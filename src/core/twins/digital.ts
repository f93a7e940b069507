/**
 * The digital twin of a device (twins reference 8): what its model knows, derived from the device twin. A component is an object
 * with the mark `"__t": "c"`; a writable property is acknowledged by an object of value, code, version and text.
 */
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import { checkedRequest, emptyObject, isObject, parseJsonArray } from './content.ts';
import { stampText } from './json.ts';
import type { JsonObject, JsonValue, Stamp, Twin, TwinChange } from './types.ts';

const MARK = '__t';

export function digitalTwin(deviceId: string, modelId: string, { desired, reported }: Twin): JsonObject {
  const root = emptyObject();
  root.$dtId = deviceId;
  const metadata = emptyObject();
  metadata.$model = modelId;
  for (const name of names(reported.values, desired.values)) {
    const [was, wanted] = [own(reported.values, name), own(desired.values, name)];
    const [wasStamp, wantedStamp] = [reported.stamp[2]?.[name], desired.stamp[2]?.[name]];
    if (isComponent(was) || isComponent(wanted)) {
      root[name] = component(asObject(was), wasStamp, asObject(wanted), wantedStamp);
    } else {
      addProperty(root, metadata, name, was, wasStamp, wanted, wantedStamp);
    }
  }
  root.$metadata = metadata;
  return root;
}

function component(
  was: JsonObject,
  wasStamp: Stamp | undefined,
  wanted: JsonObject,
  wantedStamp: Stamp | undefined,
): JsonObject {
  const json = emptyObject();
  const metadata = emptyObject();
  for (const name of names(was, wanted)) {
    if (name === MARK) continue;
    const stamps = [wasStamp?.[2]?.[name], wantedStamp?.[2]?.[name]] as const;
    addProperty(json, metadata, name, own(was, name), stamps[0], own(wanted, name), stamps[1]);
  }
  json.$metadata = metadata;
  return json;
}

function addProperty(
  json: Record<string, JsonValue>,
  metadata: Record<string, JsonValue>,
  name: string,
  was: JsonValue | undefined,
  wasStamp: Stamp | undefined,
  wanted: JsonValue | undefined,
  wantedStamp: Stamp | undefined,
): void {
  const facts = emptyObject();
  if (wanted !== undefined) {
    facts.desiredValue = wanted;
    if (wantedStamp !== undefined) facts.desiredVersion = wantedStamp[1];
  }
  if (was !== undefined) {
    const acknowledged = isObject(was) && 'value' in was && 'ac' in was && 'av' in was ? was : undefined;
    json[name] = acknowledged === undefined ? was : acknowledged.value;
    if (acknowledged !== undefined) {
      facts.ackVersion = acknowledged.av;
      facts.ackCode = acknowledged.ac;
      const text = own(acknowledged, 'ad');
      if (text !== undefined) facts.ackDescription = text;
    }
    if (wasStamp !== undefined) facts.lastUpdateTime = stampText(wasStamp[0]);
  }
  metadata[name] = facts;
}

/** DTDL: a letter, letters, digits and underscores, none of them last; at most 64. */
const namePattern = /^[A-Za-z](?:[A-Za-z0-9_]{0,62}[A-Za-z0-9])?$/;

/**
 * A JSON Patch as the merge of desired properties that it means.
 * @throws HubError ArgumentInvalid, IotHubFormatError, MessageTooLarge
 */
export function readDigitalPatch(bytes: Uint8Array): TwinChange {
  const desired = emptyObject();
  for (const operation of parseJsonArray(bytes, bounds, 'The JSON Patch')) {
    if (!isObject(operation)) throw invalid('each operation is an object');
    const [op, path, value] = [own(operation, 'op'), own(operation, 'path'), own(operation, 'value')];
    if (op !== 'add' && op !== 'replace' && op !== 'remove') throw invalid('op is add, replace or remove');
    const parts = typeof path === 'string' && path.startsWith('/') ? path.slice(1).split('/') : [];
    if (parts.length < 1 || parts.length > 2 || !parts.every((part) => namePattern.test(part))) {
      throw invalid('path is /property, /component or /component/property');
    }
    if (op !== 'remove' && (value === undefined || value === null)) throw invalid(`${op} needs a value`);
    const [name, property] = parts;
    if (property !== undefined) {
      const before = asObject(own(desired, name));
      desired[name] = { ...before, [MARK]: 'c', [property]: op === 'remove' ? null : checked(value) };
    } else if (op === 'remove') desired[name] = null;
    else desired[name] = isObject(value) && '$metadata' in value ? componentOf(value) : checked(value);
  }
  return { kind: 'merge', desired: checkedRequest(desired, 'properties.desired') };
}

const bounds = {
  bytesMax: limits.twinReportedBytesMax,
  depthMax: limits.twinDepthMax,
  valuesMax: limits.twinValuesMax,
  checksIntegers: false,
};

function componentOf(value: JsonObject): JsonObject {
  const component = emptyObject();
  component[MARK] = 'c';
  for (const name of Object.keys(value)) {
    if (name === '$metadata') continue;
    if (!namePattern.test(name)) throw invalid('a name is none of a model');
    component[name] = checked(value[name]);
  }
  return component;
}

/** No arrays, and names of a model, at any depth: what is deeper or larger is refused with the merge. */
function checked(value: JsonValue | undefined): JsonValue {
  if (value === undefined || Array.isArray(value)) throw invalid('a property is no array');
  if (!isObject(value)) return value;
  const copy = emptyObject();
  for (const name of Object.keys(value)) {
    if (!namePattern.test(name)) throw invalid('a name is none of a model');
    copy[name] = checked(value[name]);
  }
  return copy;
}

function names(one: JsonObject, other: JsonObject): readonly string[] {
  return [...new Set([...Object.keys(one), ...Object.keys(other)])];
}

function isComponent(value: JsonValue | undefined): boolean {
  return isObject(value) && own(value, MARK) === 'c';
}

function asObject(value: JsonValue | undefined): JsonObject {
  return isObject(value) ? value : emptyObject();
}

function own(object: JsonObject, name: string): JsonValue | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

function invalid(why: string): HubError {
  return new HubError('ArgumentInvalid', `The JSON Patch is not one of a digital twin: ${why}.`);
}
