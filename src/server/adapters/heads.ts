/** The heads of a session's messages, in bytes. Most messages of a device have one of a few: those are compared, and not written again. */
import { limits } from '../../base/limits.ts';
import { Refused } from '../../gateway/refused.ts';
import type { Telemetry } from '../../gateway/types.ts';
import type { MessageHead } from './words.ts';

interface Known {
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly address: string | undefined;
  /** Name, value, name, value …: who has sent them may change his object. */
  readonly properties: readonly string[];
  readonly bytes: Buffer;
}

const HEAD_BYTES_MAX = 0xffff;

export class Heads {
  readonly #known: Known[] = [];

  /** @throws Refused tooLarge */
  of(message: Telemetry): Buffer {
    const { messageId, correlationId, created } = message;
    // What is a message's own is not met again.
    if (messageId !== undefined || correlationId !== undefined || created !== undefined) return bytesOf(message);
    for (const known of this.#known) if (isHeadOf(known, message)) return known.bytes;
    const bytes = bytesOf(message);
    const { contentType, contentEncoding, address, properties = {} } = message;
    if (this.#known.length >= limits.adapterHeadsKeptMax) this.#known.shift();
    this.#known.push({ contentType, contentEncoding, address, properties: Object.entries(properties).flat(), bytes });
    return bytes;
  }
}

function isHeadOf(known: Known, { contentType, contentEncoding, address, properties }: Telemetry): boolean {
  if (known.contentType !== contentType || known.contentEncoding !== contentEncoding || known.address !== address)
    return false;
  let at = 0;
  for (const name in properties) {
    if (known.properties[at] !== name || known.properties[at + 1] !== properties[name]) return false;
    at += 2;
  }
  return at === known.properties.length;
}

function bytesOf(message: Telemetry): Buffer {
  const { messageId, correlationId, created, contentType, contentEncoding, properties, address } = message;
  const hasProperties = properties !== undefined && Object.keys(properties).length > 0;
  const head: MessageHead = {
    ...(messageId !== undefined && { m: messageId }),
    ...(correlationId !== undefined && { c: correlationId }),
    ...(created !== undefined && { t: created.getTime() }),
    ...(contentType !== undefined && { ct: contentType }),
    ...(contentEncoding !== undefined && { ce: contentEncoding }),
    ...(hasProperties && { p: properties }),
    ...(address !== undefined && { a: address }),
  };
  const bytes = Buffer.from(Object.keys(head).length === 0 ? '' : JSON.stringify(head));
  if (bytes.length > HEAD_BYTES_MAX) throw new Refused('tooLarge', 'The properties of a message have up to 64 KiB.');
  return bytes;
}
