/**
 * What the bytes of one protocol element may become: memory that is kept for each byte that came, and CPU time in looks, where
 * one look is what a loop over the bytes takes. Each element is the worst input that is known for its bound; `npm run docs`
 * writes the table into `SECURITY.md`, and `amplification.test.ts` measures it, with the bound and without.
 */
import { limits } from '../../src/base/limits.ts';
import { readTelemetry } from '../../src/protocols/amqp/devices/telemetry-mapping.ts';
import { BATCH_CONTENT_TYPE, telemetryOf as telemetryOfHttp } from '../../src/protocols/http/device-mapping.ts';
import { parseJson } from '../../src/protocols/http/json-body.ts';
import { telemetryOf as telemetryOfMqtt } from '../../src/protocols/mqtt/mapping.ts';
import { readMessageBatch } from '../../src/wire/amqp/bare-message.ts';
import { FrameSplitter } from '../../src/wire/amqp/frames.ts';
import { readMessage } from '../../src/wire/amqp/message.ts';
import { performative } from '../../src/wire/amqp/performatives.ts';
import { HeapBudget } from '../../src/wire/amqp/values.ts';
import { decodePacket } from '../../src/wire/mqtt/decode.ts';
import { PacketReader } from '../../src/wire/mqtt/packet-reader.ts';
import { frame, HEADER } from '../drivers/amqp-bytes.ts';
import type { LimitName } from './cost.ts';

export interface Element {
  readonly protocol: 'AMQP' | 'MQTT' | 'HTTP';
  readonly name: string;
  /** What holds it; absent = the way it is read holds it, and there is no number to take away. */
  readonly bound?: LimitName;
  readonly keptPerByteMax: number;
  readonly looksPerByteMax: number;
  /** The worst input. */
  bytes(): Buffer;
  /** Takes it as the hub does; what it returns is what is kept. It may refuse. */
  take(bytes: Buffer): unknown;
}

const KiB = 1024;

/** A list, map or array with a head of four bytes each for size and count. */
function compound(code: number, count: number, content: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head[0] = code;
  head.writeUInt32BE(content.length + 4, 1);
  head.writeUInt32BE(count, 5);
  return Buffer.concat([head, content]);
}

/** An array of so many empty binaries, a byte each. */
export function emptyBinaries(count: number): Buffer {
  return compound(0xf0, count, Buffer.concat([Buffer.of(0xa0), Buffer.alloc(count)]));
}

/** A text of so many bytes that are no UTF-8. */
function unreadableText(count: number): Buffer {
  const head = Buffer.alloc(5);
  head[0] = 0xb1;
  head.writeUInt32BE(count, 1);
  return Buffer.concat([head, Buffer.alloc(count, 0xff)]);
}

const section = (code: number, value: Buffer): Buffer => Buffer.concat([Buffer.of(0x00, 0x53, code), value]);
const repeated = (count: number, ...bytes: number[]): Buffer => Buffer.alloc(count * bytes.length, Buffer.from(bytes));

function frames(bytes: Buffer): unknown {
  const splitter = new FrameSplitter(limits.amqpFrameBytesMax);
  return [...splitter.push(Buffer.concat([HEADER, bytes]))];
}

const batchHeaders = ['content-type', BATCH_CONTENT_TYPE];
const json = (text: string): Buffer => Buffer.from(text);
const many = (count: number, element: string): string => `[${`${element},`.repeat(count - 1)}${element}]`;

export const elements: readonly Element[] = [
  {
    protocol: 'AMQP',
    name: 'attach within its size, an array of empty values',
    bound: 'amqpFrameDecodedBytesMax',
    keptPerByteMax: 8,
    looksPerByteMax: 16,
    bytes: () => frame(0, performative.attach, ['x', 0, true, ...Array(9).fill(null), emptyBinaries(8_000)]),
    take: frames,
  },
  {
    protocol: 'AMQP',
    name: 'attach over its size',
    bound: 'amqpAttachBytesMax',
    keptPerByteMax: 2,
    looksPerByteMax: 4,
    // Texts that are within what a frame may decode, of bytes that become two each in memory.
    bytes: () =>
      Buffer.concat(
        Array.from({ length: 20 }, () =>
          frame(0, performative.attach, ['x', 0, true, ...Array(9).fill(null), unreadableText(15_000)]),
        ),
      ),
    take: frames,
  },
  {
    protocol: 'AMQP',
    name: 'frame in parts of a byte',
    keptPerByteMax: 8,
    looksPerByteMax: 250,
    bytes: () => repeated(60 * KiB, 7),
    take: (bytes) => {
      const splitter = new FrameSplitter(limits.amqpFrameBytesMax);
      const head = Buffer.alloc(8);
      head.writeUInt32BE(limits.amqpFrameBytesMax);
      for (const _ of splitter.push(Buffer.concat([HEADER, head])));
      for (const byte of bytes) for (const _ of splitter.push(Buffer.of(byte)));
      return splitter;
    },
  },
  {
    protocol: 'AMQP',
    name: 'request to a node, an array of empty values',
    bound: 'amqpRequestDecodedBytesMax',
    keptPerByteMax: 8,
    looksPerByteMax: 8,
    bytes: () => section(0x77, emptyBinaries(16_000)),
    take: readMessage,
  },
  {
    protocol: 'AMQP',
    name: 'batch of empty messages',
    bound: 'amqpBatchDecodedBytesMax',
    keptPerByteMax: 16,
    looksPerByteMax: 20,
    bytes: () => repeated(Math.floor(limits.amqpMessageBytesMax / 5), 0x00, 0x53, 0x75, 0xa0, 0),
    take: (bytes) => readMessageBatch(bytes, new HeapBudget(limits.amqpBatchDecodedBytesMax)),
  },
  {
    protocol: 'AMQP',
    name: 'message with empty properties',
    bound: 'amqpMessageDecodedBytesMax',
    keptPerByteMax: 12,
    looksPerByteMax: 60,
    bytes: () => section(0x74, compound(0xd1, 170_000, repeated(85_000, 0xa1, 0, 0x40))),
    take: (bytes) => readTelemetry(bytes),
  },
  {
    protocol: 'MQTT',
    name: 'SUBSCRIBE with filters of a character',
    bound: 'mqttFiltersPerPacketMax',
    keptPerByteMax: 2,
    looksPerByteMax: 8,
    bytes: () => Buffer.concat([Buffer.of(0x82, 0, 0, 1), repeated(80_000, 0, 1, 0x61, 0)]),
    take: (bytes) => decodePacket(bytes, 0, 2, bytes.length),
  },
  {
    protocol: 'MQTT',
    name: 'PUBLISH with properties of a character, each given many times',
    bound: 'mqttBagPairsMax',
    keptPerByteMax: 2,
    looksPerByteMax: 8,
    bytes: () => Buffer.from(Array.from({ length: 99 }, (_, at) => `${at}&`).join('') + 'z&'.repeat(32_000)),
    take: (bytes) => telemetryOfMqtt(bytes.toString('latin1'), Buffer.of(1), false),
  },
  {
    protocol: 'MQTT',
    name: 'packet in parts of a byte',
    keptPerByteMax: 4,
    looksPerByteMax: 250,
    bytes: () => repeated(200 * KiB, 7),
    take: (bytes) => {
      const reader = new PacketReader();
      reader.push(Buffer.of(0x30, 0x80, 0x80, 0x10));
      for (const byte of bytes) {
        reader.push(Buffer.of(byte));
        reader.next(limits.mqttPacketBytesMax);
        reader.settle();
      }
      return reader;
    },
  },
  {
    protocol: 'HTTP',
    name: 'JSON of the management API',
    bound: 'httpJsonValuesMax',
    keptPerByteMax: 4,
    looksPerByteMax: 8,
    bytes: () => json(many(300_000, '{}')),
    take: (bytes) => parseJson(bytes, { valuesMax: limits.httpJsonValuesMax }),
  },
  {
    protocol: 'HTTP',
    name: 'JSON, nested',
    bound: 'httpJsonDepthMax',
    keptPerByteMax: 4,
    looksPerByteMax: 8,
    bytes: () => json('['.repeat(8_000) + ']'.repeat(8_000)),
    take: (bytes) => parseJson(bytes, { valuesMax: limits.httpJsonValuesMax }),
  },
  {
    protocol: 'HTTP',
    name: 'batch of empty messages',
    bound: 'httpBatchMessagesMax',
    keptPerByteMax: 4,
    looksPerByteMax: 12,
    bytes: () => json(many(50_000, '{"body":""}')),
    take: (bytes) => telemetryOfHttp(batchHeaders, bytes),
  },
  {
    protocol: 'HTTP',
    name: 'message of a batch with many properties',
    bound: 'httpBatchValuesMax',
    keptPerByteMax: 4,
    looksPerByteMax: 12,
    bytes: () => {
      const pairs = Array.from({ length: 90_000 }, (_, at) => `"${at.toString(36)}":1`);
      return json(`[{"body":"","properties":{${pairs.join()}}}]`);
    },
    take: (bytes) => telemetryOfHttp(batchHeaders, bytes),
  },
];

/** Bounds on work that is counted, and not measured in bytes: what is counted, and the test that counts it. */
export const counted: readonly (readonly [what: string, bounds: readonly LimitName[], held: string])[] = [
  [
    'AMQP: links, flows, answers that wait',
    ['amqpAnswersMax', 'amqpWakesPerTurn'],
    'a flow wakes who waits, a share in a turn; an answer finds its link by a key',
  ],
  [
    'AMQP: dispositions over ranges',
    ['amqpUnsettledMax'],
    'looks at the fewer of the numbers named and the deliveries there are',
  ],
  ['AMQP: frames of one turn', ['amqpWorkPerTurn'], 'each frame counts what it has cost'],
  [
    'AMQP: sessions, links, refused handles of one connection',
    ['amqpKeptBytesMax', 'amqpUnprovedKeptBytesMax', 'amqpUnprovedKeptBytesMaxInAll'],
    'counted as memory; of unproved connections together the one that keeps most ends',
  ],
  ['AMQP: links of one device, each asks for commands', ['amqpLinksPerDeviceMax'], 'refused'],
  [
    'AMQP: tokens of one connection, asked by each link',
    ['amqpTokensMax', 'amqpPolicyTokensMax'],
    'a device has one proof, whatever its tokens were put for',
  ],
  [
    'AMQP: links for receipts and notifications of files, each asks the tables',
    ['amqpTakesPerPolicyMax'],
    'the others look at the next beat, in turn',
  ],
  [
    'AMQP: links for commands of one back end, each sends ahead',
    ['amqpCommandsBytesPerPolicyMax'],
    'bytes that are not stored yet have a share',
  ],
  [
    'MQTT, AMQP, HTTP: calls of one device or policy, over all of its connections, that wait for the tables',
    ['callsPerDeviceMax', 'callsPerPolicyMax', 'callsWaitingPerDeviceMax', 'callsWaitingPerPolicyMax'],
    'wait for each other in a line of their own; a quarter of all places is for who holds little',
  ],
  [
    'HTTP: methods that wait for their device, of one back end',
    ['methodsPerPolicyMax', 'methodsBytesPerPolicyMax'],
    'have places of their own, so that its other requests go on',
  ],
  [
    'HTTP: queries of one back end, each over the whole fleet',
    ['queriesPerPolicyMax', 'queriesWaitingPerPolicyMax', 'queryTermsMax', 'queryPageMs'],
    'on a thread of their own, a piece of the fleet of each in turn; the others of the same back end wait',
  ],
  [
    'MQTT, AMQP, HTTP: changes of twins while there are configurations, each asked by all of them',
    ['configurationsMax', 'configurationMetricsMax', 'queryTermsMax', 'configurationsAtOnce'],
    'a twin that changes often is looked at once; so many in one step of the tables, which other calls go past',
  ],
  ['MQTT: packets of one turn', ['mqttPacketsPerTurn'], 'a long packet counts as many, a patch of a twin as more'],
  [
    'MQTT, AMQP, HTTP: large twins that are read or changed, over all connections',
    ['twinCharsPerTurn', 'tablePatientCallsMax', 'tableBatchMs'],
    'put together a few in a turn of the loop, callers in turn; in the tables, other calls go past them',
  ],
  ['MQTT, AMQP: reported patches in one call of the tables', ['twinReportsCostPerCall'], 'a large one counts as many'],
  ['AMQP: batches of messages, over all connections', ['amqpBatchBytesPerTurn'], 'devices in turn'],
  ['HTTP: bodies, over all connections', ['httpBodyBytesPerTurn'], 'callers in turn'],
];

export function amplificationTable(): string {
  const rows = elements.map(
    ({ protocol, name, bound, keptPerByteMax, looksPerByteMax }) =>
      `| ${protocol}: ${name} | ${bound === undefined ? 'how it is read' : `\`${bound}\``} | ${keptPerByteMax} | ${looksPerByteMax} |`,
  );
  const work = counted.map(
    ([what, bounds, held]) => `| ${what} | ${bounds.map((bound) => `\`${bound}\``).join(', ')} | ${held} |`,
  );
  return [
    '| what comes | what bounds it | memory kept per byte, at most | looks per byte, at most |',
    '|---|---|---|---|',
    ...rows,
    '',
    '| what a peer can have many of | what bounds it | how |',
    '|---|---|---|',
    ...work,
  ].join('\n');
}

export const TABLE_BEGIN = '<!-- amplification: written by npm run docs -->';
export const TABLE_END = '<!-- end of amplification -->';
