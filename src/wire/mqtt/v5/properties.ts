/**
 * Properties of MQTT 5 packets, section 2.2.2.2 of the OASIS standard "MQTT Version 5.0". Their bytes and their number are bounded
 * before they are read; one that the packet may not have, or that comes twice, is refused.
 */
import { limits } from '../../../base/limits.ts';
import type { Fields } from '../fields.ts';
import { MalformedPacket } from '../packets.ts';

/** What is kept of them. Buffers are views into the packet. */
export interface Properties {
  contentType?: string;
  responseTopic?: string;
  correlationData?: Buffer;
  messageExpirySeconds?: number;
  sessionExpirySeconds?: number;
  receiveMax?: number;
  packetBytesMax?: number;
  topicAlias?: number;
  willDelaySeconds?: number;
  authenticationMethod?: string;
  subscriptionIdentifier?: number;
  /** In their order; a name may come more than once. */
  user?: [name: string, value: string][];
}

/** Of a packet without properties: one object for all of them. */
export const NO_PROPERTIES: Readonly<Properties> = Object.freeze({});

export type PacketKind =
  | 'connect'
  | 'will'
  | 'publish'
  | 'acknowledgement'
  | 'subscribe'
  | 'unsubscribe'
  | 'disconnect';

const USER = 0x26;

type Value = string | number | Buffer;

interface Entry {
  /** The packets of a client that may have it. */
  readonly in: readonly PacketKind[];
  readonly read: (fields: Fields) => Value;
  readonly keep?: Exclude<keyof Properties, 'user'>;
}

const table: ReadonlyMap<number, Entry> = new Map<number, Entry>([
  [0x01, { in: ['publish', 'will'], read: (f) => oneOf(f.byte(), 'payload format indicator') }],
  [0x02, { in: ['publish', 'will'], keep: 'messageExpirySeconds', read: (f) => f.number32() }],
  [0x03, { in: ['publish', 'will'], keep: 'contentType', read: (f) => f.text() }],
  [0x08, { in: ['publish', 'will'], keep: 'responseTopic', read: (f) => f.topic() }],
  [0x09, { in: ['publish', 'will'], keep: 'correlationData', read: (f) => f.block() }],
  [0x0b, { in: ['subscribe'], keep: 'subscriptionIdentifier', read: (f) => f.variableNumber() }],
  [0x11, { in: ['connect', 'disconnect'], keep: 'sessionExpirySeconds', read: (f) => f.number32() }],
  [0x15, { in: ['connect'], keep: 'authenticationMethod', read: (f) => f.text() }],
  [0x16, { in: ['connect'], read: (f) => f.block() }],
  [0x17, { in: ['connect'], read: (f) => oneOf(f.byte(), 'request problem information') }],
  [0x18, { in: ['will'], keep: 'willDelaySeconds', read: (f) => f.number32() }],
  [0x19, { in: ['connect'], read: (f) => oneOf(f.byte(), 'request response information') }],
  [0x1f, { in: ['acknowledgement', 'disconnect'], read: (f) => f.text() }],
  [0x21, { in: ['connect'], keep: 'receiveMax', read: (f) => notZero(f.number(), 'receive maximum') }],
  [0x22, { in: ['connect'], read: (f) => f.number() }],
  [0x23, { in: ['publish'], keep: 'topicAlias', read: (f) => f.number() }],
  [0x27, { in: ['connect'], keep: 'packetBytesMax', read: (f) => notZero(f.number32(), 'maximum packet size') }],
]);

/** Reads the length of properties, and they. @throws MalformedPacket naming the rule */
export function readProperties(fields: Fields, kind: PacketKind): Readonly<Properties> {
  const bytes = fields.variableNumber();
  if (bytes === 0) return NO_PROPERTIES;
  if (bytes > limits.mqtt5PropertiesBytesMax) {
    throw new MalformedPacket(
      `${bytes} bytes of properties, where at most ${limits.mqtt5PropertiesBytesMax} are allowed`,
    );
  }
  const part = fields.part(bytes);
  const found: Properties = {};
  const seen = new Set<number>();
  while (!part.done) {
    const id = part.byte();
    if (id === USER) {
      addUser(found, part.text(), part.text());
      continue;
    }
    const entry = table.get(id);
    if (entry === undefined || !entry.in.includes(kind)) {
      throw new MalformedPacket(`property ${id} in a packet or will that has none such [MQTT5-2.2.2.2]`);
    }
    if (seen.has(id)) throw new MalformedPacket(`property ${id} comes twice [MQTT5-2.2.2.2]`);
    seen.add(id);
    const value = entry.read(part);
    if (entry.keep !== undefined) Object.assign(found, { [entry.keep]: value });
  }
  return found;
}

function addUser(found: Properties, name: string, value: string): void {
  found.user ??= [];
  if (found.user.length >= limits.mqtt5UserPropertiesMax) {
    throw new MalformedPacket(`more user properties than the ${limits.mqtt5UserPropertiesMax} that are allowed`);
  }
  found.user.push([name, value]);
}

function oneOf(value: number, what: string): number {
  if (value > 1) throw new MalformedPacket(`${what} is ${value}, neither 0 nor 1 [MQTT5-3]`);
  return value;
}

function notZero(value: number, what: string): number {
  if (value === 0) throw new MalformedPacket(`${what} is 0 [MQTT5-3.1.2]`);
  return value;
}
