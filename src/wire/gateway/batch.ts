/**
 * Telemetry of many devices in one piece, as a gateway keeps it on its disk and sends it to the hub. The layout is ours;
 * `docs/gateway-remote.md` shows it. A message costs some ten bytes over its body, a device's name comes once in a batch.
 */
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { limits } from '../../base/limits.ts';
import { ByteReader, ByteWriter, GatewayDecodeError } from './bytes.ts';

/** A message of a device behind a gateway. */
export interface ForwardedMessage {
  readonly deviceId: string;
  readonly moduleId?: string;
  /** When the gateway received it, or the device says it was made: UTC milliseconds. */
  readonly created: number;
  readonly messageId?: string;
  readonly correlationId?: string;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  /** Where exactly it came from (a topic, a path): for its trace, not stored by the hub. */
  readonly address?: string;
  /** Application properties, in the order sent. */
  readonly properties: readonly (readonly [name: string, value: string | null])[];
  readonly body: Uint8Array;
}

/** A device, once for a batch. */
export interface BatchDevice {
  readonly deviceId: string;
  readonly moduleId?: string;
}

/** What messages of a batch have in common. */
export type BatchHeader = Pick<ForwardedMessage, (typeof named)[number] | 'properties'>;

/** A message as it comes out of a batch: messages of one device share `device`, those with equal properties share `header`. */
export interface ReceivedMessage {
  readonly device: BatchDevice;
  readonly header: BatchHeader;
  readonly created: number;
  readonly messageId: string | undefined;
  readonly body: Buffer;
  /** Bytes of its body and of its header, however often the header is named: what the message is when it stands alone. */
  readonly size: number;
}

interface KnownHeader {
  readonly header: BatchHeader;
  readonly bytes: number;
}

const VERSION = 1;
const PLAIN = 0;
const DEFLATED = 1;
/** Instead of a number of the device table: a new name follows. */
const NEW_DEVICE = 0;
/** Instead of a number of the header table: nothing but a body; a new header follows. */
const NO_HEADER = 0;
const NEW_HEADER = 1;
const HEADERS_FROM = 2;
/** Entries of a header. */
const APPLICATION = 0;
const named = ['correlationId', 'contentType', 'contentEncoding', 'address'] as const;

/** Collects messages into one batch. */
export class BatchWriter {
  readonly #out = new ByteWriter(16 * 1024);
  readonly #header = new ByteWriter(256);
  readonly #devices = new Map<string, number>();
  readonly #headers = new Map<string, number>();
  /** The message before, if it had no properties of its own, and its header's number. */
  #last: ForwardedMessage | undefined;
  #lastHeader = NO_HEADER;
  #lastCreated = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Of what was added, before it is compressed. */
  get byteLength(): number {
    return this.#out.length;
  }

  add(message: ForwardedMessage): void {
    const out = this.#out;
    this.#addDevice(message.moduleId === undefined ? message.deviceId : `${message.deviceId}/${message.moduleId}`);
    this.#addHeader(message);
    const created = Math.trunc(message.created);
    out.signed(created - this.#lastCreated);
    this.#lastCreated = created;
    out.text(message.messageId ?? '');
    out.bytes(message.body);
    this.#count++;
  }

  /** The messages as bytes, and begins anew. @param level of zlib; 0 = not compressed */
  finish(level: number): Buffer {
    const plain = this.#out.copy();
    this.#out.reset();
    this.#devices.clear();
    this.#headers.clear();
    this.#last = undefined;
    this.#lastCreated = 0;
    this.#count = 0;
    if (level === 0) return Buffer.concat([Buffer.from([VERSION, PLAIN]), plain]);
    const deflated = deflateRawSync(plain, { level, memLevel: 9, strategy: constants.Z_DEFAULT_STRATEGY });
    return Buffer.concat([Buffer.from([VERSION, DEFLATED]), deflated]);
  }

  #addDevice(name: string): void {
    const known = this.#devices.get(name);
    if (known !== undefined) {
      this.#out.varint(known);
      return;
    }
    this.#devices.set(name, this.#devices.size + 1);
    this.#out.varint(NEW_DEVICE);
    this.#out.text(name);
  }

  #addHeader(message: ForwardedMessage): void {
    // Most messages have what the one before had, and nothing of their own.
    const last = this.#last;
    if (last !== undefined && message.properties.length === 0 && named.every((name) => last[name] === message[name])) {
      this.#out.varint(this.#lastHeader);
      return;
    }
    this.#last = message.properties.length === 0 ? message : undefined;
    this.#lastHeader = this.#headerOf(message);
  }

  /** Writes what names the message's header, with the header where it is new. @returns the number by which it is named again */
  #headerOf(message: ForwardedMessage): number {
    const header = this.#header;
    header.reset();
    for (const [at, name] of named.entries()) {
      const value = message[name];
      if (value === undefined) continue;
      header.byte(at + 1);
      header.text(value);
    }
    for (const [name, value] of message.properties) {
      header.byte(APPLICATION);
      header.text(name);
      header.byte(value === null ? 0 : 1);
      if (value !== null) header.text(value);
    }
    if (header.length === 0) {
      this.#out.varint(NO_HEADER);
      return NO_HEADER;
    }
    const bytes = header.copy();
    const key = bytes.toString('latin1');
    const known = this.#headers.get(key);
    if (known !== undefined) {
      this.#out.varint(known);
      return known;
    }
    const made = this.#headers.size + HEADERS_FROM;
    this.#headers.set(key, made);
    this.#out.varint(NEW_HEADER);
    this.#out.bytes(bytes);
    return made;
  }
}

const empty: KnownHeader = { header: { properties: [] }, bytes: 0 };

/**
 * The messages of a batch, in the order in which they were added. Bodies are views of one buffer.
 * @throws GatewayDecodeError for bytes that are no batch, and for one that is larger than `limits` allow when it is inflated
 */
export function readBatch(bytes: Buffer): readonly ReceivedMessage[] {
  const reader = new ByteReader(plainOf(bytes));
  const devices: BatchDevice[] = [];
  const headers: KnownHeader[] = [];
  const messages: ReceivedMessage[] = [];
  let created = 0;
  while (!reader.isDone) {
    if (messages.length === limits.gatewayBatchMessagesMax) {
      throw new GatewayDecodeError(`a batch holds at most ${limits.gatewayBatchMessagesMax} messages`);
    }
    const device = readDevice(reader, devices);
    const { header, bytes: headerBytes } = readHeader(reader, headers);
    created += reader.signed();
    const messageId = reader.text();
    const body = reader.bytes();
    messages.push({
      ...{ device, header, created, body, size: headerBytes + body.length },
      messageId: messageId === '' ? undefined : messageId,
    });
  }
  return messages;
}

/** A message that was received, as it is sent on. */
export function forwarded({ device, header, created, messageId, body }: ReceivedMessage): ForwardedMessage {
  return { ...device, ...header, created, ...(messageId !== undefined && { messageId }), body };
}

function plainOf(bytes: Buffer): Buffer {
  const [version, encoding] = bytes;
  if (version !== VERSION) throw new GatewayDecodeError('this is no batch of version 1');
  const content = bytes.subarray(2);
  const max = limits.gatewayBatchBytesMax;
  const tooLarge = (): GatewayDecodeError => new GatewayDecodeError(`a batch has at most ${max} bytes when inflated`);
  if (encoding === PLAIN) {
    if (content.length > max) throw tooLarge();
    return content;
  }
  if (encoding !== DEFLATED) throw new GatewayDecodeError('the compression of the batch is not known');
  try {
    return inflateRawSync(content, { maxOutputLength: max });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge();
    throw new GatewayDecodeError('the batch cannot be inflated');
  }
}

function readDevice(reader: ByteReader, devices: BatchDevice[]): BatchDevice {
  const at = reader.varint();
  if (at === NEW_DEVICE) {
    const name = reader.text();
    const slash = name.indexOf('/');
    const device =
      slash === -1 ? { deviceId: name } : { deviceId: name.slice(0, slash), moduleId: name.slice(slash + 1) };
    devices.push(device);
    return device;
  }
  const known = devices[at - 1];
  if (known === undefined) throw new GatewayDecodeError('a device is named that the batch has not told');
  return known;
}

function readHeader(reader: ByteReader, headers: KnownHeader[]): KnownHeader {
  const at = reader.varint();
  if (at === NO_HEADER) return empty;
  if (at === NEW_HEADER) {
    const bytes = reader.bytes();
    const known = { header: headerOf(new ByteReader(bytes)), bytes: bytes.length };
    headers.push(known);
    return known;
  }
  const known = headers[at - HEADERS_FROM];
  if (known === undefined) throw new GatewayDecodeError('properties are named that the batch has not told');
  return known;
}

/** Of too many properties one too many is kept, by which each of its messages is refused: many messages may name one header. */
function headerOf(reader: ByteReader): BatchHeader {
  const system: { -readonly [Name in (typeof named)[number]]?: string } = {};
  const properties: [string, string | null][] = [];
  while (!reader.isDone) {
    const kind = reader.byte();
    if (kind === APPLICATION) {
      const name = reader.text();
      const value = reader.byte() === 0 ? null : reader.text();
      if (properties.length <= limits.messagePropertiesMax) properties.push([name, value]);
    } else if (kind <= named.length) system[named[kind - 1]] = reader.text();
    else throw new GatewayDecodeError('a property is of a kind that is not known');
  }
  return { ...system, properties };
}
