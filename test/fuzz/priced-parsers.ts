/**
 * Every decoder of what a peer sends, by a name, for campaigns that look at what an input costs and for the inputs that are kept
 * (`corpus/dear.jsonl`: what once cost too much, or does without its bound).
 */
import { telemetryOf as telemetryOfTopic } from '../../src/adapters/mqtt-topics/body.ts';
import { checkTopicShape, filterMatches } from '../../src/adapters/mqtt-topics/pattern.ts';
import { presetNames } from '../../src/adapters/mqtt-topics/presets.ts';
import { mappingOf, settingsSchema } from '../../src/adapters/mqtt-topics/settings.ts';
import { limits } from '../../src/base/limits.ts';
import { isMeant, objectionTo } from '../../src/core/files/names.ts';
import type { ObjectFacts } from '../../src/core/files/object-store.ts';
import { parametersOf, verifyQuery } from '../../src/core/files/signed-url.ts';
import { readCertificate } from '../../src/core/identity/certificate.ts';
import { readReportedPatch, readTwinChange } from '../../src/core/twins/rules.ts';
import { readPosition } from '../../src/protocols/amqp/back-ends/positions.ts';
import { readCommand } from '../../src/protocols/amqp/command-mapping.ts';
import { readTelemetry } from '../../src/protocols/amqp/devices/telemetry-mapping.ts';
import { readMethodAnswer, readTwinRequest } from '../../src/protocols/amqp/devices/twin-mapping.ts';
import { readAttach } from '../../src/protocols/amqp/engine/attach.ts';
import { readSaslInit } from '../../src/protocols/amqp/engine/sasl.ts';
import { BATCH_CONTENT_TYPE, telemetryOf as telemetryOfHttp } from '../../src/protocols/http/device-mapping.ts';
import {
  conditionOf,
  contentTypeOf,
  isUnchanged,
  isWanted,
  rangeOf,
  sumsOf,
} from '../../src/protocols/http/files/blob-headers.ts';
import { readBlockList } from '../../src/protocols/http/files/block-list.ts';
import { parseJson } from '../../src/protocols/http/json-body.ts';
import { methodRequest } from '../../src/protocols/http/twin-mapping.ts';
import { grant, NO_GRANTS, publishTarget } from '../../src/protocols/mqtt/addresses.ts';
import { telemetryOf } from '../../src/protocols/mqtt/mapping.ts';
import { readClientHello } from '../../src/protocols/shared/client-hello.ts';
import { readMessageBatch } from '../../src/wire/amqp/bare-message.ts';
import { FrameSplitter } from '../../src/wire/amqp/frames.ts';
import { readCorrelationId, readMessage } from '../../src/wire/amqp/message.ts';
import { AmqpReader, HeapBudget } from '../../src/wire/amqp/values.ts';
import { decodePacket } from '../../src/wire/mqtt/decode.ts';
import { PacketReader } from '../../src/wire/mqtt/packet-reader.ts';
import { decodePacket5 } from '../../src/wire/mqtt/v5/decode.ts';
import { HEADER } from '../drivers/amqp-bytes.ts';
import { priced } from './cost.ts';

const key = { deviceId: 'd1' };
/** `perByteMax`: as of `priced`, where it is another. */
export type Parser = readonly [name: string, parse: (input: Buffer) => unknown, perByteMax?: number];

export const frames: Parser = [
  'frames',
  (input) => {
    const splitter = new FrameSplitter(limits.amqpFrameBytesMax);
    return [...splitter.push(Buffer.concat([HEADER, input]))];
  },
];
export const messages: readonly Parser[] = [
  ['request', readMessage],
  ['correlation id', readCorrelationId],
  ['telemetry', (input) => readTelemetry(input)],
  ['command', (input) => readCommand(input)],
  ['batch', (input) => readMessageBatch(input)],
];
/** The first packet of the input: each costs what it costs, and a session has so many of them in a turn. */
export const packet: Parser = [
  'packet',
  (input) => {
    const reader = new PacketReader();
    reader.push(input);
    if (!reader.next(limits.mqttPacketBytesMax)) return undefined;
    return decodePacket(reader.bytes, reader.start, reader.body, reader.end);
  },
];
/** The same of an MQTT 5 client. */
export const packet5: Parser = [
  'packet of MQTT 5',
  (input) => {
    const reader = new PacketReader();
    reader.push(input);
    if (!reader.next(limits.mqttPacketBytesMax)) return undefined;
    return decodePacket5(reader.bytes, reader.start, reader.body, reader.end);
  },
];
/** All presets, and rules with as many ways to divide a topic as there may be. */
const mapping = mappingOf(
  settingsSchema.parse({
    listen: { plain: true },
    presets: [...presetNames],
    inbound: [
      { topic: '{a}-{b}/{c}-{d}/{e}-{f}/{g}-{h}/{device...}/end', to: 'telemetry', wrap: '{b}' },
      { topic: 'plant/{model}_{device}/{kind...}', to: 'reported' },
    ],
  }),
);
/** A topic of a device behind the adapter mqtt-topics, as a filter too; its body is what follows it. */
export const mappedTopic: Parser = [
  'topic of mqtt-topics',
  (input) => {
    const text = input.toString();
    checkTopicShape(text, 'topic');
    filterMatches(text, 'zigbee2mqtt/hall/lamp/set');
    mapping.deviceInFilter(text);
    const match = mapping.match(text);
    return match === undefined ? undefined : telemetryOfTopic(match, input, text);
  },
];
export const topic: Parser = [
  'topic',
  (input) => {
    const text = input.toString();
    const target = publishTarget(text, key);
    return target?.kind === 'telemetry' ? telemetryOf(target.propertyBag, input, true) : grant(NO_GRANTS, key, text, 1);
  },
];
export const bodies: readonly Parser[] = [
  ['JSON', (input) => parseJson(input, { valuesMax: limits.httpJsonValuesMax })],
  ['batch', (input) => telemetryOfHttp(['content-type', BATCH_CONTENT_TYPE], input)],
];

const fieldsReader = (input: Buffer): AmqpReader =>
  new AmqpReader(input, 0, input.length, new HeapBudget(limits.amqpFrameDecodedBytesMax));

/** What stands in frames before anything is known of it. */
export const values: readonly Parser[] = [
  ['value', (input) => new AmqpReader(input).value()],
  ['SASL', (input) => readSaslInit(['PLAIN', input])],
  [
    'attach',
    (input) => {
      const list = fieldsReader(input).list();
      return readAttach(list.values, list.raw);
    },
  ],
  [
    'filter',
    (input) => {
      const filter = fieldsReader(input).value();
      return filter instanceof Map ? readPosition(filter) : undefined;
    },
  ],
];

/**
 * A section is checked into objects without a prototype, each a hash table of some hundred bytes: of objects with one member of one
 * character that is much for a byte. Garbage of some MiB, bounded by `twinValuesMax` and `twinRequestValuesMax`.
 */
const SECTION_PER_BYTE_MAX = 200;

/** JSON of twins and methods, over whatever door. */
export const documents: readonly Parser[] = [
  ['reported patch', (input) => readReportedPatch(input), SECTION_PER_BYTE_MAX],
  ['change of a twin', (input) => readTwinChange(input, 'merge'), SECTION_PER_BYTE_MAX],
  ['replacement of a twin', (input) => readTwinChange(input, 'replace'), SECTION_PER_BYTE_MAX],
  ['method', methodRequest],
  ['answer to a method', readMethodAnswer],
  ['request to a twin', readTwinRequest],
];

const stored = { bytes: 1000, etag: 'e', lastModified: 0 } as ObjectFacts;

/** What the blob endpoint reads: the list of blocks, the conditions of a request, a signed URL. */
export const files: readonly Parser[] = [
  ['block list', (input) => readBlockList(input.toString())],
  [
    'conditions',
    (input) => {
      const text = input.toString('latin1');
      const headers = {
        'if-match': text,
        'if-none-match': text,
        'if-range': text,
        range: `bytes=${text}`,
        'content-md5': text,
      };
      conditionOf({ ...headers, 'if-modified-since': text });
      rangeOf({ ...headers, range: text }, stored);
      rangeOf({ ...headers, range: 'bytes=0-1' }, stored);
      isWanted(headers, stored);
      isUnchanged(headers, stored);
      isUnchanged({ 'if-modified-since': text }, stored);
      sumsOf(headers);
      return contentTypeOf({ 'content-type': text }, true);
    },
  ],
  [
    'signed URL',
    (input) => {
      const text = input.toString('latin1');
      const at = text.indexOf('?');
      const path = at < 0 ? text : text.slice(0, at);
      objectionTo(path);
      isMeant(path, text);
      const query = parametersOf(at < 0 ? '' : text.slice(at + 1));
      return query && verifyQuery(path, query, Buffer.alloc(32), 0);
    },
  ],
];

/** Before TLS is done, and what it brings. */
export const handshakes: readonly Parser[] = [
  ['ClientHello', readClientHello],
  ['certificate', readCertificate],
];

const parsers: readonly Parser[] = [
  frames,
  ...messages,
  packet,
  packet5,
  topic,
  mappedTopic,
  ...bodies,
  ...values,
  ...documents,
  ...files,
  ...handshakes,
];

/** @throws Error where none is called so */
export function parserNamed(name: string): Parser {
  const found = parsers.find(([each]) => each === name);
  if (found === undefined) throw new Error(`no parser is called ${name}`);
  return found;
}

/** @throws TooDear for the first of them that the input costs too much */
export function feed(fed: readonly Parser[], input: Buffer): void {
  for (const [name, parse, perByteMax] of fed) priced(name, input, parse, perByteMax);
}
