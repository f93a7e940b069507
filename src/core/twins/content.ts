/**
 * What may stand in a section of a twin (twins reference 1.2). Bytes are bounded before they are parsed; one member that may not be
 * there refuses all of a change. What is read here has objects without a prototype: a member may have any name.
 */
import { isUtf8 } from 'node:buffer';
import { scanJson } from '../../base/json-scan.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import type { JsonObject, JsonValue } from './types.ts';

/** Blanks, control characters (C0 and C1), and the characters by which paths and the hub's own members are told. */
const forbiddenInNames = /[.$#\s\p{Cc}]/u;

export interface JsonBounds {
  readonly bytesMax: number;
  readonly depthMax: number;
  readonly valuesMax: number;
  /** Whether a number written as an integer that is out of range refuses all of the text. */
  readonly checksIntegers: boolean;
}

/**
 * A JSON object from bytes.
 * @throws HubError MessageTooLarge, ArgumentInvalid (too deep, too many values, a number out of range), IotHubFormatError
 */
export function parseObject(bytes: Uint8Array, bounds: JsonBounds, what: string): JsonObject {
  const value = parseValue(bytes, bounds, what);
  if (!isObject(value)) throw new HubError('IotHubFormatError', `${what} is not a JSON object in UTF-8.`);
  return value;
}

/** The same of an array. @throws HubError as `parseObject` */
export function parseJsonArray(bytes: Uint8Array, bounds: JsonBounds, what: string): readonly JsonValue[] {
  const value = parseValue(bytes, bounds, what);
  if (!Array.isArray(value)) throw new HubError('IotHubFormatError', `${what} is not a JSON array in UTF-8.`);
  return value as readonly JsonValue[];
}

/** Null also for what is not JSON in UTF-8. */
function parseValue(bytes: Uint8Array, bounds: JsonBounds, what: string): JsonValue {
  if (bytes.byteLength > bounds.bytesMax) {
    throw new HubError('MessageTooLarge', `${what} has at most ${bounds.bytesMax} bytes.`, {
      limit: { name: 'twinRequestBytesMax', scope: what, current: bytes.byteLength, max: bounds.bytesMax },
    });
  }
  const cost = scanJson(bytes);
  if (cost.depth > bounds.depthMax) throw invalid(`${what} nests deeper than ${limits.twinDepthMax} levels.`);
  if (cost.values > bounds.valuesMax) throw invalid(`${what} has more than ${bounds.valuesMax} values.`);
  if (bounds.checksIntegers && cost.integerMax > limits.twinIntegerMax) throw invalid(integerText);
  return isUtf8(bytes) ? parsed(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()) : null;
}

function parsed(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return null;
  }
}

const integerText = `Integers lie between -${limits.twinIntegerMax + 1} and ${limits.twinIntegerMax}.`;

/**
 * A checked copy of a section's content, without the members `$version` and `$metadata`, which the hub sets itself.
 * @param place Named in the refusal: `tags`, `properties.desired`, `properties.reported`
 * @throws HubError ArgumentInvalid
 */
export function checkedContent(content: JsonObject, place: string): JsonObject {
  const copy = emptyObject();
  for (const name of Object.keys(content)) {
    if (name === '$version' || name === '$metadata') continue;
    checkName(name, place);
    copy[name] = checkedValue(content[name], `${place}.${name}`, 1, false);
  }
  return copy;
}

/** @param level Of the object or array that `value` would be: 1 directly below the section */
function checkedValue(value: JsonValue, place: string, level: number, isInArray: boolean): JsonValue {
  switch (typeof value) {
    case 'string':
      if (value.length * 3 > limits.twinStringBytesMax && Buffer.byteLength(value) > limits.twinStringBytesMax) {
        throw invalid(`${shown(place)} is longer than ${limits.twinStringBytesMax} bytes.`);
      }
      return value;
    case 'number':
      // A number behind the range of doubles has become infinite.
      if (!Number.isFinite(value)) throw invalid(`${shown(place)} is not a number that can be kept.`);
      return value;
    case 'boolean':
      return value;
    default:
      break;
  }
  if (value === null) {
    if (isInArray) throw invalid(`${shown(place)}: null may not stand in an array.`);
    return null;
  }
  if (level > limits.twinDepthMax) throw invalid(`${shown(place)} lies deeper than ${limits.twinDepthMax} levels.`);
  if (Array.isArray(value)) {
    return value.map((item: JsonValue) => checkedValue(item, place, level + 1, true));
  }
  const object = value as JsonObject;
  const copy = emptyObject();
  for (const name of Object.keys(object)) {
    checkName(name, place);
    copy[name] = checkedValue(object[name], `${place}.${name}`, level + 1, isInArray);
  }
  return copy;
}

/**
 * As `checkedContent`, of what a back end wants, with its integers: what the hub would write as one must be in range, or back ends
 * could not send it back. @throws HubError ArgumentInvalid
 */
export function checkedRequest(content: JsonObject, place: string): JsonObject {
  const copy = checkedContent(content, place);
  checkIntegers(copy);
  return copy;
}

function checkIntegers(value: JsonValue): void {
  if (typeof value === 'number') {
    const isTooLarge = value > limits.twinIntegerMax || value < -limits.twinIntegerMax - 1;
    if (isTooLarge && Number.isInteger(value) && !String(value).includes('e')) throw invalid(integerText);
  } else if (Array.isArray(value)) {
    for (const item of value as readonly JsonValue[]) checkIntegers(item);
  } else if (typeof value === 'object' && value !== null) {
    const object = value as JsonObject;
    for (const name of Object.keys(object)) checkIntegers(object[name]);
  }
}

function checkName(name: string, place: string): void {
  if (name === '') throw invalid(`${shown(place)}: a name is empty.`);
  if (name.length * 3 > limits.twinNameBytesMax && Buffer.byteLength(name) > limits.twinNameBytesMax) {
    throw invalid(`${shown(place)}: a name is longer than ${limits.twinNameBytesMax} bytes.`);
  }
  if (forbiddenInNames.test(name)) {
    throw invalid(`${shown(`${place}.${name}`)}: names hold no blanks, no control characters, and none of . $ #`);
  }
}

/**
 * What counts against a section's size: names and texts in UTF-8 without control characters, 8 for a number, 4 for true and false,
 * nothing for null.
 */
export function sizeOf(value: JsonValue): number {
  switch (typeof value) {
    case 'string':
      return textSize(value);
    case 'number':
      return 8;
    case 'boolean':
      return 4;
    default:
      break;
  }
  if (value === null) return 0;
  let size = 0;
  if (Array.isArray(value)) {
    for (const item of value) size += sizeOf(item);
    return size;
  }
  const object = value as JsonObject;
  for (const name of Object.keys(object)) size += textSize(name) + sizeOf(object[name]);
  return size;
}

const controls = /\p{Cc}/gu;

function textSize(text: string): number {
  return Buffer.byteLength(text.replace(controls, ''));
}

/** An object that code may fill with members of any name. */
export function emptyObject(): Record<string, JsonValue> {
  return Object.create(null) as Record<string, JsonValue>;
}

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Names come from outside and may be long; they are cut, and their control characters left out. */
function shown(place: string): string {
  const text = place.replace(controls, '');
  return text.length <= 200 ? text : `${text.slice(0, 200)}…`;
}

function invalid(message: string): HubError {
  return new HubError('ArgumentInvalid', message);
}
