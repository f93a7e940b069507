/**
 * Files of devices in blocks: `GET /files/<name>` by Block2, `PUT /files/<name>` by Block1. Neither is ever here as a whole: the host gives
 * and takes parts of it, from which blocks are cut, or which are put together from blocks.
 */
import { createHash } from 'node:crypto';
import { limits } from '../../base/limits.ts';
import { type DeviceSession, type FilePart, type FileUpload, type Host, Refused } from '../../gateway/index.ts';
import { type Block, blockBytes, encodeBlock } from '../../wire/coap/blocks.ts';
import { codes, options, uintOption } from '../../wire/coap/messages.ts';
import { formatOf, formatOption } from './content.ts';
import { type Answer, refusal } from './exchange.ts';
import type { Request } from './request.ts';

/** A part that blocks are cut from. */
interface Fetched {
  readonly device: string;
  readonly session: DeviceSession;
  readonly name: string;
  readonly from: number;
  readonly part: FilePart;
  at: number;
}

/** A file that comes in blocks. */
interface Coming {
  readonly device: string;
  readonly upload: FileUpload;
  /** Blocks that are not written yet, and how many bytes have come in all. */
  blocks: Buffer[];
  gathered: number;
  bytes: number;
  last: Block | undefined;
  at: number;
  /** Blocks are taken one behind the other. */
  turn: Promise<unknown>;
}

const ETAG_BYTES = 8;
const NO_FILES: Answer = { code: codes.notImplemented, payload: Buffer.from('there are no files here') };

export const isFile = ({ path }: Request): boolean => path[0] === 'files' && path.length > 1;

export class FileTransfers {
  readonly #host: Host;
  /** In order of their last use. */
  readonly #fetched = new Map<string, Fetched>();
  readonly #coming = new Map<string, Coming>();
  /** Devices of uploads that the hub has not opened yet, by their keys. */
  readonly #opening = new Map<string, string>();

  constructor(host: Host) {
    this.#host = host;
  }

  /** @param caller Names who asks: blocks of one upload come from one @throws Refused */
  serve(request: Request, device: string, caller: string, session: DeviceSession): Promise<Answer> | Answer {
    const name = request.path.slice(1).join('/');
    if (request.code === codes.get) return this.#get(request, device, name, session);
    if (request.code === codes.put || request.code === codes.post)
      // One caller may speak for many devices, and a datagram's address may be another's: each device has its own uploads.
      return this.#put(request, device, name, `${device} ${caller} ${name} ${request.requestTag}`, session);
    return { code: codes.methodNotAllowed };
  }

  /** Forgets what nobody goes on with. */
  sweep(): void {
    const now = this.#host.clock.monotonic();
    for (const [key, { at }] of this.#fetched) if (now - at > limits.coapBodyMs) this.#fetched.delete(key);
    for (const [key, { at }] of this.#coming) if (now - at > limits.coapUploadMs) void this.#giveUp(key);
  }

  async #get({ block2 }: Request, device: string, name: string, session: DeviceSession): Promise<Answer> {
    const { files } = session;
    if (files === undefined) return NO_FILES;
    const exponent = Math.min(block2?.exponent ?? limits.coapBlockExponentMax, limits.coapBlockExponentMax);
    const size = blockBytes(exponent);
    // A client that asked for larger blocks than there are goes on at the same byte.
    const from = (block2?.number ?? 0) * blockBytes(block2?.exponent ?? exponent);
    const part = await this.#part(device, name, from, session, files.read);
    const { total } = part.part;
    if (from > 0 && from >= total) return refusal(codes.badOption, 'there is no such block');
    const payload = Buffer.from(part.part.bytes.buffer, part.part.bytes.byteOffset, part.part.bytes.byteLength);
    const at = from - part.from;
    const more = from + size < total;
    return {
      code: codes.content,
      options: [
        { number: options.etag, value: etagOf(part.part) },
        ...formatOption(part.part.contentType),
        { number: options.block2, value: encodeBlock({ number: from / size, more, exponent }) },
        ...(from === 0 ? [uintOption(options.size2, total)] : []),
      ],
      payload: payload.subarray(at, at + size),
    };
  }

  /** The part with that byte in it: most blocks are in the one that was fetched for the block before. */
  async #part(
    device: string,
    name: string,
    from: number,
    session: DeviceSession,
    read: (name: string, from: number, length: number) => Promise<FilePart>,
  ): Promise<Fetched> {
    const { filePartBytesMax } = this.#host.limits;
    const key = `${device} ${name}`;
    const known = this.#fetched.get(key);
    const isIn = known !== undefined && from >= known.from && from < known.from + known.part.bytes.length;
    // Another session may be of another identity of that name, and block 0 is of the file as it is now.
    if (isIn && known.session === session && from > 0) {
      known.at = this.#host.clock.monotonic();
      return known;
    }
    const begin = from - (from % filePartBytesMax);
    const part = await read(name, begin, filePartBytesMax);
    const fetched = { device, session, name, from: begin, part, at: this.#host.clock.monotonic() };
    this.#fetched.delete(key);
    this.#fetched.set(key, fetched);
    // A device with many files at a time has its own parts fetched again, and nobody else's.
    const own = [...this.#fetched].filter(([, other]) => other.device === device);
    if (own.length > limits.coapBodiesPerDeviceMax) this.#fetched.delete(own[0][0]);
    for (const oldest of this.#fetched.keys()) {
      if (this.#fetched.size <= limits.coapFilesMax) break;
      this.#fetched.delete(oldest);
    }
    return fetched;
  }

  async #put(request: Request, device: string, name: string, key: string, session: DeviceSession): Promise<Answer> {
    const { block1, payload } = request;
    const format = request.contentFormat === undefined ? undefined : formatOf(request.contentFormat);
    if (block1 === undefined || block1.number === 0) {
      await this.#giveUp(key);
      const begun = await this.#begin(key, device, name, format?.contentType, session);
      if (begun === undefined) return NO_FILES;
    }
    const coming = this.#coming.get(key);
    if (coming === undefined) return refusal(codes.requestEntityIncomplete, 'begin with block 0');
    const taken = coming.turn.then(() => this.#take(key, coming, block1, Buffer.from(payload)));
    coming.turn = taken.catch(() => this.#giveUp(key, coming));
    return taken;
  }

  async #begin(
    key: string,
    device: string,
    name: string,
    contentType: string | undefined,
    session: DeviceSession,
  ): Promise<Coming | undefined> {
    if (session.files === undefined) return undefined;
    const own = [...this.#coming].filter(([, other]) => other.device === device);
    const opening = [...this.#opening.values()].filter((other) => other === device).length;
    // What the hub is opening counts: else all that come at once would find room.
    if (this.#opening.has(key) || opening >= limits.coapUploadsPerDeviceMax)
      throw new Refused('throttled', 'too many files of this device are coming');
    if (this.#coming.size + this.#opening.size >= limits.coapFilesMax)
      throw new Refused('throttled', 'too many files are coming');
    this.#opening.set(key, device);
    try {
      if (own.length + opening >= limits.coapUploadsPerDeviceMax && own.length > 0) await this.#giveUp(own[0][0]);
      const upload = await session.files.upload(name, contentType);
      const at = this.#host.clock.monotonic();
      const coming = {
        device,
        upload,
        blocks: [],
        gathered: 0,
        bytes: 0,
        last: undefined,
        at,
        turn: Promise.resolve(),
      };
      this.#coming.set(key, coming);
      return coming;
    } finally {
      this.#opening.delete(key);
    }
  }

  async #take(key: string, coming: Coming, block: Block | undefined, payload: Buffer): Promise<Answer> {
    if (this.#coming.get(key) !== coming) return refusal(codes.requestEntityIncomplete, 'begin with block 0');
    coming.at = this.#host.clock.monotonic();
    const size = block === undefined ? payload.length : blockBytes(block.exponent);
    if (payload.length > size || (block?.more && payload.length !== size))
      return refusal(codes.badRequest, 'a block has another length than its option says');
    const offset = (block?.number ?? 0) * size;
    // The block that was taken last, sent again under another message id.
    const isRepeated = coming.last?.number === block?.number && coming.bytes === offset + payload.length;
    if (!isRepeated && coming.bytes !== offset) return refusal(codes.requestEntityIncomplete, 'a block is missing');
    if (!isRepeated) await this.#keep(coming, payload);
    coming.last = block;
    const taken = block === undefined ? [] : [{ number: options.block1, value: encodeBlock(block) }];
    if (block?.more) return { code: codes.continue, options: taken };
    await this.#write(coming);
    this.#coming.delete(key);
    await coming.upload.finish();
    return { code: codes.changed, options: taken };
  }

  async #keep(coming: Coming, payload: Buffer): Promise<void> {
    if (coming.gathered + payload.length > this.#host.limits.filePartBytesMax) await this.#write(coming);
    coming.blocks.push(payload);
    coming.gathered += payload.length;
    coming.bytes += payload.length;
  }

  async #write(coming: Coming): Promise<void> {
    if (coming.gathered === 0) return;
    const bytes = Buffer.concat(coming.blocks, coming.gathered);
    coming.blocks = [];
    coming.gathered = 0;
    await coming.upload.write(bytes);
  }

  async #giveUp(key: string, coming = this.#coming.get(key)): Promise<void> {
    if (this.#coming.get(key) === coming) this.#coming.delete(key);
    // The session may have ended, and the upload with it.
    await coming?.upload.abandon().catch(() => {});
  }
}

/** At most eight bytes, the same for the same content of the file (RFC 7252 section 5.10.6). */
const etagOf = ({ etag }: FilePart): Buffer => createHash('sha256').update(etag).digest().subarray(0, ETAG_BYTES);
