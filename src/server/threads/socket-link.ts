/**
 * The link between members that share no memory, over a stream of bytes that both sides have proved themselves on. A frame
 * is its length (4 bytes, big-endian) and a packet in V8's own form; before the first one each side says from which form to which it
 * speaks. A peer that breaks the form, speaks none of these, sends a frame over the bound or does not read is given up. V8's form can say more than
 * JSON (maps, cycles, typed arrays), and what a packet holds is not judged: who is behind the stream is believed, as another thread is.
 */
import type { Duplex } from 'node:stream';
import v8 from 'node:v8';
import { limits } from '../../base/limits.ts';
import { type MemberPort, openThreadLink, type Packet, type ThreadLink } from './calls.ts';

/**
 * Forms of frames that a side speaks. A release that has a new one speaks the one before, too, in which it begins: until it has heard the
 * peer's forms it does not know more. What nodes say within frames has a number of its own.
 */
export interface LinkForms {
  readonly oldest: number;
  readonly newest: number;
}
const FORMS: LinkForms = { oldest: 1, newest: 1 };
const GREETING_BYTES = 24;
const greetingOf = ({ oldest, newest }: LinkForms): Buffer =>
  Buffer.from(`mooring-link ${oldest}-${newest}\n`.padEnd(GREETING_BYTES));
const HEAD_BYTES = 4;

/** Both sides open one. It closes when the stream does; `given up` is why, where this side has ended it. */
export function openSocketLink(
  stream: Duplex,
  ended: (reason: string | undefined) => void = () => {},
  forms: LinkForms = FORMS,
): ThreadLink {
  const port = new SocketPort(stream, forms);
  const link = openThreadLink(port);
  stream.once('end', () => stream.destroy());
  stream.once('close', () => {
    link.close();
    ended(port.givenUp);
  });
  return link;
}

class SocketPort implements MemberPort {
  /** Why this side has ended the stream. */
  givenUp: string | undefined;
  readonly #stream: Duplex;
  /** Bytes of a frame that is not whole, in the order in which they came. */
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Of the frame, or of the greeting, that comes next; 0 = its length has not come. */
  #due = GREETING_BYTES;
  #isGreeted = false;
  #isCorked = false;

  readonly #forms: LinkForms;

  constructor(stream: Duplex, forms: LinkForms) {
    this.#stream = stream;
    this.#forms = forms;
    // Its `close` follows.
    stream.on('error', () => {});
    stream.write(greetingOf(forms));
  }

  /** Nothing can be moved to another machine: what is to be is copied. */
  postMessage(packet: unknown): void {
    if (this.#stream.destroyed) return;
    const body = v8.serialize(packet);
    if (body.length > limits.memberFrameBytesMax) throw new RangeError(`a frame of ${body.length} bytes`);
    if (this.#stream.writableLength > limits.memberUnsentBytesMax) {
      this.#giveUp('the peer does not read');
      return;
    }
    this.#gather();
    const head = Buffer.allocUnsafe(HEAD_BYTES);
    head.writeUInt32BE(body.length);
    this.#stream.write(head);
    this.#stream.write(body);
  }

  on(_event: 'message', listener: (packet: Packet) => void): void {
    this.#stream.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      try {
        this.#read(listener);
      } catch {
        this.#giveUp('what the peer sent is no packet');
      }
    });
  }

  /** What is sent in one turn leaves in one write. */
  #gather(): void {
    if (this.#isCorked) return;
    this.#isCorked = true;
    this.#stream.cork();
    setImmediate(() => {
      this.#isCorked = false;
      this.#stream.uncork();
    });
  }

  #read(listener: (packet: Packet) => void): void {
    while (!this.#stream.destroyed && this.#bytes >= (this.#due || HEAD_BYTES)) {
      if (this.#due === 0) {
        const length = this.#take(HEAD_BYTES).readUInt32BE();
        if (length === 0 || length > limits.memberFrameBytesMax) this.#giveUp(`a frame of ${length} bytes`);
        this.#due = length;
        continue;
      }
      const frame = this.#take(this.#due);
      this.#due = 0;
      if (this.#isGreeted) listener(v8.deserialize(frame) as Packet);
      else if (this.#understands(frame)) this.#isGreeted = true;
      else this.#giveUp('the peer speaks another form of the link');
    }
  }

  /** Whether there is a form that both sides speak. */
  #understands(greeting: Buffer): boolean {
    const [, oldest, newest] = /^mooring-link (\d{1,4})-(\d{1,4})\n *$/.exec(greeting.toString('latin1')) ?? [];
    return Number(oldest) <= this.#forms.newest && Number(newest) >= this.#forms.oldest;
  }

  /** So many bytes, which have come; joined once for each frame. */
  #take(count: number): Buffer {
    const all = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks);
    const rest = all.subarray(count);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#bytes = rest.length;
    return all.subarray(0, count);
  }

  #giveUp(reason: string): void {
    this.givenUp ??= reason;
    this.#chunks = [];
    this.#stream.destroy();
  }
}
