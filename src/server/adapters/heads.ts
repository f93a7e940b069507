/** The heads of a session's messages, in bytes. Most messages of a device have one of a few: those are compared, and not written again. */
import { limits } from '../../base/limits.ts';
import { Refused } from '../../gateway/refused.ts';
import type { Telemetry } from '../../gateway/types.ts';
import type { MessageHead } from './words.ts';

/** A head in bytes. */
export interface Head {
  /** Where the hub keeps it; 0 = it is one message's own. */
  readonly slot: number;
  readonly bytes: Buffer;
  /** The hub has it in that slot. */
  isTold: boolean;
}

interface Known extends Head {
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly address: string | undefined;
  /** Name, value, name, value …: who has sent them may change his object. */
  readonly properties: readonly string[];
}

const HEAD_BYTES_MAX = 0xffff;

export class Heads {
  readonly #known: Known[] = [];
  #next = 0;

  /** @throws Refused tooLarge */
  of(message: Telemetry): Head {
    const { messageId, correlationId, created } = message;
    // What is a message's own is not met again.
    if (messageId !== undefined || correlationId !== undefined || created !== undefined)
      return { slot: 0, bytes: bytesOf(message), isTold: false };
    for (const known of this.#known) if (isHeadOf(known, message)) return known;
    const bytes = bytesOf(message);
    const { contentType, contentEncoding, address } = message;
    const properties = Object.entries(message.properties ?? {}).flat();
    // The oldest one makes room.
    const at = this.#next++ % limits.adapterHeadsKeptMax;
    const known = { ...{ slot: at + 1, bytes, isTold: false }, contentType, contentEncoding, address, properties };
    this.#known[at] = known;
    return known;
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
