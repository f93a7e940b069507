/** Bodies larger than a block, both ways: RFC 7959. What is kept for them is bounded, of each device and of all. */
import { createHash } from 'node:crypto';
import { limits } from '../../base/limits.ts';
import type { HostClock } from '../../gateway/index.ts';
import { type Block, blockBytes, encodeBlock } from '../../wire/coap/blocks.ts';
import { type CoapOption, codes, empty, options, uintOption } from '../../wire/coap/messages.ts';
import { type Answer, refusal } from './exchange.ts';
import type { Request } from './request.ts';

/** What one message has room for beside a block of 1,024 bytes. */
const OPTION_BYTES_BESIDE_BLOCK = 96;

/** The most that an ETag may have (RFC 7252 table 4). */
const ETAG_BYTES = 8;

const isOfEveryBlock = ({ number }: CoapOption): boolean => number === options.etag || number === options.contentFormat;

interface Upload {
  readonly device: string;
  readonly parts: Buffer[];
  bytes: number;
  last: Block | undefined;
  at: number;
}

/** Bodies of requests that arrive in blocks (Block1). */
export class Uploads {
  readonly #clock: HostClock;
  readonly #bodyBytesMax: number;
  /** In order of their last block. */
  readonly #begun = new Map<string, Upload>();
  #bytes = 0;

  constructor(clock: HostClock, bodyBytesMax: number) {
    this.#clock = clock;
    this.#bodyBytesMax = bodyBytesMax;
  }

  /**
   * Takes a block. @param key Names the body: who sends it, to what, with which Request-Tag
   * @returns the whole body, or the answer to a block that does not complete one
   */
  take(device: string, key: string, request: Request): Buffer | Answer {
    const block = request.block1;
    if (block === undefined) return request.payload.length > this.#bodyBytesMax ? this.#tooLarge() : request.payload;
    const size = blockBytes(block.exponent);
    const offset = block.number * size;
    if (offset + request.payload.length > this.#bodyBytesMax || (request.size1 ?? 0) > this.#bodyBytesMax) {
      this.#drop(key);
      return this.#tooLarge();
    }
    if (request.payload.length > size || (block.more && request.payload.length !== size))
      return refusal(codes.badRequest, 'a block has another length than its option says');
    let upload = this.#begun.get(key);
    if (block.number === 0) {
      this.#drop(key);
      if (!block.more) return request.payload;
      upload = { device, parts: [], bytes: 0, last: undefined, at: 0 };
      this.#makeRoom(device);
    } else if (upload === undefined) return this.#incomplete();
    // The block that was taken last, sent again under another message id.
    const isRepeated = upload.last?.number === block.number && upload.bytes === offset + request.payload.length;
    if (!isRepeated && upload.bytes !== offset) return this.#incomplete();
    this.#begun.delete(key);
    if (!isRepeated) {
      upload.parts.push(Buffer.from(request.payload));
      upload.bytes += request.payload.length;
      this.#bytes += request.payload.length;
    }
    upload.last = block;
    upload.at = this.#clock.monotonic();
    if (!block.more) {
      this.#bytes -= upload.bytes;
      return Buffer.concat(upload.parts, upload.bytes);
    }
    this.#begun.set(key, upload);
    while (this.#bytes > limits.coapUploadBytesMax) {
      const [oldest] = this.#begun.keys();
      this.#drop(oldest);
      if (oldest === key) return { code: codes.serviceUnavailable, options: [uintOption(options.maxAge, 5)] };
    }
    return { code: codes.continue, options: [{ number: options.block1, value: encodeBlock(block) }] };
  }

  /** Forgets bodies whose next block did not come. */
  sweep(): void {
    const before = this.#clock.monotonic() - limits.coapUploadMs;
    for (const [key, upload] of this.#begun) if (upload.at < before) this.#drop(key);
  }

  /** A device may have a few under way: its oldest makes room for another. */
  #makeRoom(device: string): void {
    const own: string[] = [];
    for (const [key, upload] of this.#begun) if (upload.device === device) own.push(key);
    if (own.length >= limits.coapUploadsPerDeviceMax) this.#drop(own[0]);
  }

  #drop(key: string): void {
    this.#bytes -= this.#begun.get(key)?.bytes ?? 0;
    this.#begun.delete(key);
  }

  #incomplete(): Answer {
    return refusal(codes.requestEntityIncomplete, 'a block before this one is missing: begin with block 0');
  }

  #tooLarge(): Answer {
    return { code: codes.requestEntityTooLarge, options: [uintOption(options.size1, this.#bodyBytesMax)] };
  }
}

interface Kept {
  readonly device: string;
  readonly answer: Answer;
  readonly at: number;
  readonly onRead: (() => void) | undefined;
}

/** Bodies of answers that go out in blocks (Block2): one rendering, so that the blocks fit together. */
export class Bodies {
  readonly #clock: HostClock;
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;

  constructor(clock: HostClock) {
    this.#clock = clock;
  }

  /** The block that a request asks for, of a body whose first block has been given; undefined = there is none. */
  next(key: string, block: Block): Answer | undefined {
    const kept = this.#kept.get(key);
    return kept === undefined ? undefined : sliceOf(kept.answer, block.number, block.exponent, kept.onRead);
  }

  /**
   * The first block of an answer; what follows is kept under `key`.
   * @param exponentAsked Largest block that may be sent
   * @param onRead Called when the last block is given, at once where there is only one
   */
  first(device: string, key: string, answer: Answer, exponentAsked: number, onRead?: () => void): Answer {
    const payload = answer.payload ?? empty;
    // Beside many options a block is smaller, so that the message fits where a full block fits.
    const told = (answer.options ?? []).reduce((bytes, { value }) => bytes + value.length + 3, 0);
    const exponentMax = told > OPTION_BYTES_BESIDE_BLOCK ? Math.min(exponentAsked, 5) : exponentAsked;
    this.#drop(key);
    if (payload.length <= blockBytes(exponentMax)) {
      onRead?.();
      return answer;
    }
    const own: string[] = [];
    for (const [other, kept] of this.#kept) if (kept.device === device) own.push(other);
    if (own.length >= limits.coapBodiesPerDeviceMax) this.#drop(own[0]);
    const tagged = withEtag(answer, payload);
    this.#kept.set(key, { device, answer: tagged, at: this.#clock.monotonic(), onRead });
    this.#bytes += payload.length;
    while (this.#bytes > limits.coapBodyBytesMax && this.#kept.size > 1) this.#drop([...this.#kept.keys()][0]);
    return sliceOf(tagged, 0, exponentMax, onRead);
  }

  sweep(): void {
    const before = this.#clock.monotonic() - limits.coapBodyMs;
    for (const [key, kept] of this.#kept) if (kept.at < before) this.#drop(key);
  }

  #drop(key: string): void {
    this.#bytes -= this.#kept.get(key)?.answer.payload?.length ?? 0;
    this.#kept.delete(key);
  }
}

/** The body may be another one when it is asked for again: by the ETag a client sees which blocks are of one (RFC 7959 section 2.4). */
function withEtag(answer: Answer, payload: Buffer): Answer {
  const told = answer.options ?? [];
  if (told.some(({ number }) => number === options.etag)) return answer;
  const value = createHash('sha256').update(payload).digest().subarray(0, ETAG_BYTES);
  return { ...answer, options: [...told, { number: options.etag, value }] };
}

/** One block of an answer whose whole body is at hand. */
export function sliceOf(answer: Answer, number: number, exponent: number, onRead?: () => void): Answer {
  const payload = answer.payload ?? empty;
  const size = blockBytes(exponent);
  const from = number * size;
  if (from > 0 && from >= payload.length) return refusal(codes.badOption, 'there is no such block');
  const more = from + size < payload.length;
  if (!more) onRead?.();
  const blockOptions: CoapOption[] = [{ number: options.block2, value: encodeBlock({ number, more, exponent }) }];
  if (number === 0) blockOptions.push(uintOption(options.size2, payload.length));
  const told = answer.options ?? [];
  return {
    code: answer.code,
    // Behind the first block only what says that it is the same body.
    options: [...(number === 0 ? told : told.filter(isOfEveryBlock)), ...blockOptions],
    payload: payload.subarray(from, from + size),
  };
}
