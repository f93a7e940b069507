/**
 * Conditions over events (query reference 5, service reference 9): what a name means there. All conditions that are looked at together
 * share the places of their names, so that the properties of an event are gone through once for all of them.
 */
import { limits } from '../../base/limits.ts';
import type { MessageHead } from '../events/ports.ts';
import type { HubEventStamp, TelemetrySystem } from '../events/types.ts';
import { routingDialect } from './dialects.ts';
import { compileExpression, type ValueOf } from './evaluate.ts';
import { neededNames } from './needed-names.ts';
import { parseCondition } from './parser.ts';
import type { Expression } from './syntax.ts';
import { isComposite, type Value } from './values.ts';

/** An event that conditions are asked about. */
export interface RoutedMessage {
  readonly stamp: HubEventStamp;
  readonly message: MessageHead;
  readonly source: Uint8Array;
  readonly bodyStart: number;
  readonly bodyEnd: number;
  /** UTC milliseconds. */
  readonly time: number;
  /** `tags` and `properties` of the identity's twin; undefined = there is none. */
  readonly twin: object | undefined;
}

export interface RoutingCondition {
  /** What it hangs on beside properties and what the hub says of the sender. */
  readonly asks: { readonly body: boolean; readonly twin: boolean; readonly time: boolean };
  /** Whether what was looked at last has every property without which it cannot match. */
  mayMatch(): boolean;
  /** True = it matches; false, null, undefined = it does not. */
  result(): Value;
  /** Why it does not match what was looked at last, or that it does. */
  reason(): string;
}

const systemText = (field: keyof TelemetrySystem) => (message: MessageHead) => message.system[field] as Value;
const isoTime = (time: number | undefined): string | undefined =>
  time === undefined ? undefined : new Date(time).toISOString();

/** System properties by their names in small letters. */
const systemValues: ReadonlyMap<string, (of: RoutedMessage) => Value> = new Map<string, (of: RoutedMessage) => Value>([
  ['contenttype', ({ message }) => systemText('contentType')(message)],
  ['contentencoding', ({ message }) => systemText('contentEncoding')(message)],
  ['messageid', ({ message }) => systemText('messageId')(message)],
  ['correlationid', ({ message }) => systemText('correlationId')(message)],
  ['userid', ({ message }) => systemText('userId')(message)],
  ['to', ({ message }) => systemText('to')(message)],
  ['dt-subject', ({ message }) => systemText('subject')(message)],
  ['dt-dataschema', ({ stamp }) => stamp.modelId],
  ['creationtimeutc', ({ message }) => isoTime(message.system.creationTime)],
  ['connectiondeviceid', ({ stamp }) => stamp.deviceId],
  ['connectionmoduleid', ({ stamp }) => stamp.moduleId],
  ['connectiondevicegenerationid', ({ stamp }) => stamp.generationId],
  ['connectionauthmethod', ({ stamp }) => stamp.authMethod],
  ['messagesource', ({ stamp }) => stamp.source],
  ['enqueuedtime', ({ time }) => isoTime(time)],
]);

/** Encodings of bodies that conditions can look into, as `TextDecoder` knows them. */
const encodings: Readonly<Record<string, string>> = { 'utf-8': 'utf-8', utf8: 'utf-8', 'utf-16': 'utf-16le' };

/** What a number has as flags. */
const BITS = 31;

/** Conditions that are asked about the same events. */
export class RoutingConditions {
  /** The place of each property that a condition names, by its name in small letters. */
  readonly #places = new Map<string, number>();
  /** The same by names as devices spell them; -1 = no condition asks for it. */
  readonly #spelled = new Map<string, number>();
  readonly #properties: (string | null | undefined)[] = [];
  /** A bit for each of the first places: whether its property is there. */
  #present = 0;
  #about: RoutedMessage | undefined;
  /** Parsed once for an event, when it is asked for. */
  #body: { readonly value: Value } | undefined;

  /** @throws HubError ArgumentInvalid, with the place */
  add(text: string): RoutingCondition {
    const expression = parseCondition(text, routingDialect);
    const asks = { body: false, twin: false, time: false };
    const named: { readonly text: string; readonly find: () => Value }[] = [];
    const test: ValueOf<void> = compileExpression(expression, routingDialect.functions, (path) => {
      const find = this.#finder(path, asks);
      named.push({ text: written(path), find });
      return find;
    });
    this.#spelled.clear();
    const needed = this.#bitsOf(expression);
    return {
      asks,
      mayMatch: () => (needed & ~this.#present) === 0,
      result: test,
      reason: () => {
        const result = test();
        if (result === true) return 'the condition is true';
        const missing = [...new Set(named.filter(({ find }) => find() === undefined).map(({ text: name }) => name))];
        const because = missing.length === 0 ? '' : `: ${missing.map((name) => this.#absence(name)).join(', ')}`;
        if (result === false) return `the condition is false${because}`;
        if (result === null) return `the condition is null, which counts as false${because}`;
        return `the condition is undefined, which counts as false${because || ': it compares values of different types'}`;
      },
    };
  }

  /** What all conditions are asked about from here on. */
  look(about: RoutedMessage): void {
    this.#about = about;
    this.#body = undefined;
    const places = this.#places.size;
    if (places === 0) return;
    const found = this.#properties;
    for (let at = 0; at < places; at++) found[at] = undefined;
    let present = 0;
    for (const [name, value] of about.message.properties) {
      const place = this.#spelled.get(name) ?? this.#placeOf(name);
      if (place < 0) continue;
      found[place] = value;
      if (place < BITS) present |= 1 << place;
    }
    this.#present = present;
  }

  #bitsOf(expression: Expression): number {
    const names = neededNames(expression, ({ segments }) => {
      const isOwn = !String(segments[0]).startsWith('$');
      return isOwn ? segments.join('.').toLowerCase() : undefined;
    });
    const places = [...names].map((name) => this.#places.get(name) as number);
    return places.reduce((bits, place) => (place < BITS ? bits | (1 << place) : bits), 0);
  }

  #placeOf(name: string): number {
    const place = this.#places.get(name.toLowerCase()) ?? -1;
    // Devices may name a property as they like, and never twice the same.
    if (this.#spelled.size >= limits.routePropertyNamesMax) this.#spelled.clear();
    if (name.length <= limits.routeNameCharsMax) this.#spelled.set(name, place);
    return place;
  }

  #finder(
    { segments, forced }: Expression & { readonly kind: 'path' },
    asks: { body: boolean; twin: boolean; time: boolean },
  ): () => Value {
    const name = String(segments[0]);
    if (!name.startsWith('$')) return this.#property(segments.join('.'));
    const word = name.slice(1).toLowerCase();
    if (!forced && word === 'body') {
      asks.body = true;
      const path = segments.slice(1);
      // The whole, and an array that is the whole, are undefined.
      if (path.length === 0 || typeof path[0] === 'number') return () => undefined;
      return () => below(this.#bodyValue(), path);
    }
    if (!forced && word === 'twin') {
      asks.twin = true;
      const path = twinPath(segments.slice(1));
      return path === undefined ? () => undefined : () => below(this.#about?.twin, path);
    }
    const whole = segments.map(String).join('.').slice(1).toLowerCase();
    if (whole === 'enqueuedtime') asks.time = true;
    const system = systemValues.get(whole);
    const own = forced ? undefined : this.#property(segments.join('.'));
    if (system === undefined) return own ?? (() => undefined);
    return () => {
      const about = this.#about;
      const value = about === undefined ? undefined : system(about);
      return value === undefined ? own?.() : value;
    };
  }

  #property(name: string): () => Value {
    const small = name.toLowerCase();
    const place = this.#places.get(small) ?? this.#places.size;
    this.#places.set(small, place);
    const found = this.#properties;
    return () => found[place];
  }

  #bodyValue(): Value {
    this.#body ??= { value: this.#about === undefined ? undefined : bodyOf(this.#about) };
    return this.#body.value;
  }

  #absence(name: string): string {
    const isBody = /^\{?\$body\b/i.test(name);
    const about = this.#about;
    if (isBody && about !== undefined && encodingOf(about.message) === undefined) {
      return `${name} is not there, because conditions look into bodies of content type application/json and content encoding utf-8, utf-16 or utf-32`;
    }
    if (isBody && this.#bodyValue() === undefined) return `${name} is not there, because the body is no JSON`;
    if (/^\$twin\b/i.test(name) && about?.twin === undefined) return `${name} is not there: no twin is known`;
    return `${name} is not there`;
  }
}

function written({ segments, forced }: Expression & { readonly kind: 'path' }): string {
  const text = segments
    .map((part, at) => (typeof part === 'number' ? `[${part}]` : at === 0 ? part : `.${part}`))
    .join('');
  return forced ? `{${text}}` : text;
}

/** `tags.…`, `properties.desired.…` and `properties.reported.…`; the hub's own words are found in any case. */
function twinPath(path: readonly (string | number)[]): readonly (string | number)[] | undefined {
  const [first, second] = path.map((part) => String(part).toLowerCase());
  if (first === 'tags' && path.length > 1) return ['tags', ...path.slice(1)];
  const isSection = second === 'desired' || second === 'reported';
  return first === 'properties' && isSection && path.length > 2 ? ['properties', second, ...path.slice(2)] : undefined;
}

function below(value: Value, path: readonly (string | number)[]): Value {
  let found = value;
  for (const part of path) {
    if (!isComposite(found)) return undefined;
    if (Array.isArray(found)) found = typeof part === 'number' ? (found[part] as Value) : undefined;
    else
      found =
        typeof part === 'string' && Object.hasOwn(found, part) ? (found as Record<string, Value>)[part] : undefined;
  }
  return found;
}

function encodingOf({ system }: MessageHead): string | undefined {
  const type = system.contentType?.split(';')[0].trim().toLowerCase();
  if (type !== 'application/json') return undefined;
  const encoding = system.contentEncoding?.toLowerCase() ?? '';
  return encoding === 'utf-32' ? 'utf-32' : encodings[encoding];
}

function bodyOf({ message, source, bodyStart, bodyEnd }: RoutedMessage): Value {
  const encoding = encodingOf(message);
  if (encoding === undefined) return undefined;
  const bytes = Buffer.from(source.buffer, source.byteOffset + bodyStart, bodyEnd - bodyStart);
  try {
    return JSON.parse(textOf(bytes, encoding)) as Value;
  } catch {
    return undefined;
  }
}

function textOf(bytes: Buffer, encoding: string): string {
  if (encoding === 'utf-8') {
    const start = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
    return bytes.toString('utf8', start);
  }
  if (encoding === 'utf-16le') return new TextDecoder('utf-16le').decode(bytes);
  let text = '';
  for (let at = 0; at + 4 <= bytes.length; at += 4) text += String.fromCodePoint(bytes.readUInt32LE(at));
  return text.replace(/^\ufeff/, '');
}
