/** The hub's end of one adapter that runs: its frames in, its sessions, its bounds. It knows no process. */
import type { Cancel } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { asHubError, HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import type { DisconnectReason } from '../../core/presence/types.ts';
import { Bucket } from '../../core/throttling/bucket.ts';
import { againAt, FrameFault, FrameReader, FrameWriter, frameKinds, messageAt, readWord } from './frames.ts';
import { HubSession, type SessionOwner } from './hub-session.ts';
import type { Proofs } from './proofs.ts';
import { refusedCodeOf } from './refusals.ts';
import type { CommandHead, ToAdapter, ToHub } from './words.ts';

/** The way to an adapter. */
export interface AdapterLink {
  write(bytes: Buffer): void;
  /** Bytes that the adapter has not read. */
  waiting(): number;
  /** To read nothing of it, or go on. */
  hold(isHeld: boolean): void;
  /** It does not keep to the layout, or to its bounds: it is ended. */
  broken(reason: string): void;
}

export interface AdapterEndParts {
  readonly hub: Hub;
  readonly name: string;
  readonly proofs: Proofs;
  /** Absent = devices behind the adapter have no files. */
  readonly files?: SessionOwner['fileRooms'];
  readonly link: AdapterLink;
  readonly messagesPerSecond: number;
  /** Words about the adapter itself. */
  readonly control: (word: ToHub) => void;
}

/** What an adapter has done since it was started, and has now. */
export interface AdapterCounts {
  sessions: number;
  messages: number;
  refusedMessages: number;
  logins: number;
  refusedLogins: number;
  held: number;
}

type Connect = Extract<ToHub, { kind: 'connect' }>;

export class AdapterEnd implements SessionOwner {
  readonly hub: Hub;
  readonly protocol: `adapter:${string}`;
  readonly counts: AdapterCounts = {
    sessions: 0,
    messages: 0,
    refusedMessages: 0,
    logins: 0,
    refusedLogins: 0,
    held: 0,
  };
  readonly #parts: AdapterEndParts;
  readonly #reader = new FrameReader();
  readonly #writer = new FrameWriter();
  #isFlushing = false;
  readonly #sessions = new Map<number, HubSession>();
  /** Sessions whose proof is being judged, or that claim their place. */
  readonly #entering = new Map<number, HubSession | undefined>();
  #waitingMessages = 0;
  #waitingBytes = 0;
  #fileParts = 0;
  readonly #rate: Bucket;
  readonly #wordRate: Bucket;
  #words = 0;
  readonly #holds = new Set<'inflight' | 'rate' | 'output'>();
  #cancelRate: Cancel | undefined;
  readonly #stopPulse: () => void;
  #isOver = false;
  /** Of refusals in the log, in this second. */
  #lines = { second: 0, count: 0 };

  constructor(parts: AdapterEndParts) {
    this.#parts = parts;
    this.hub = parts.hub;
    this.protocol = `adapter:${parts.name}`;
    const { clock } = parts.hub;
    this.#rate = new Bucket(parts.messagesPerSecond, parts.messagesPerSecond, clock.monotonic());
    const { adapterWordsPerSecond: words } = limits;
    this.#wordRate = new Bucket(words, words, clock.monotonic());
    let cancel: Cancel = () => {};
    const pulse = (): void => {
      this.#pulse(clock.now());
      cancel = clock.after(1000, pulse);
    };
    cancel = clock.after(1000, pulse);
    this.#stopPulse = () => cancel();
  }

  /** Bytes of the adapter. Never throws. */
  received(chunk: Buffer): void {
    if (this.#isOver) return;
    try {
      const before = this.counts.messages;
      this.#words = 0;
      this.#reader.push(chunk, (kind, bytes, start, end) => this.#frame(kind, bytes, start, end));
      this.#heedRate(this.counts.messages - before);
    } catch (error) {
      if (error instanceof FrameFault) this.#parts.link.broken(error.message);
      else {
        this.hub.log.error({ adapter: this.#parts.name, error }, 'what an adapter said could not be handled');
        this.#parts.link.broken('a fault of the hub');
      }
    }
  }

  /** The adapter reads again. */
  drained(): void {
    this.#hold('output', false);
  }

  say(word: ToAdapter): void {
    this.#writer.word(word);
    this.#flushLater();
  }

  command(head: CommandHead, body: Uint8Array): void {
    this.#writer.command(head, body);
    this.#flushLater();
  }

  done(session: number, count: number): void {
    this.#writer.done(session, count);
    this.#flushLater();
  }

  waits(messages: number, bytes: number): void {
    this.#waitingMessages += messages;
    this.#waitingBytes += bytes;
    const part = Math.max(
      this.#waitingMessages / limits.adapterInflightMax,
      this.#waitingBytes / limits.adapterInflightBytesMax,
    );
    if (part >= 1) this.#hold('inflight', true);
    else if (part <= 0.5) this.#hold('inflight', false);
  }

  get fileRooms(): SessionOwner['fileRooms'] {
    return this.#parts.files;
  }

  takesFilePart(): boolean {
    if (this.#fileParts >= limits.adapterFilePartsMax) return false;
    this.#fileParts++;
    return true;
  }

  filePartDone(): void {
    this.#fileParts--;
  }

  ended(session: number): void {
    this.#sessions.delete(session);
    this.counts.sessions = this.#sessions.size;
  }

  /** Ends every session: the adapter has gone, or the hub stops. */
  close(reason: DisconnectReason): void {
    for (const session of [...this.#sessions.values(), ...this.#entering.values()]) session?.end(reason);
    this.#flush();
    this.#isOver = true;
    this.#stopPulse();
    this.#cancelRate?.();
  }

  #frame(kind: number, bytes: Buffer, start: number, end: number): void {
    if (kind === frameKinds.again || kind === frameKinds.message) {
      const parts = kind === frameKinds.again ? againAt(bytes, start, end) : messageAt(bytes, start, end);
      this.counts.messages++;
      // One that has ended meanwhile has answered for what was on its way.
      this.#sessions.get(parts.session)?.message(bytes, parts);
    } else if (kind === frameKinds.word) {
      this.#words++;
      this.#word(readWord(bytes, start, end) as ToHub);
    } else throw new FrameFault(`a frame of kind ${kind}`);
  }

  #word(word: ToHub): void {
    switch (word.kind) {
      case 'connect':
        this.#connect(word).catch((error: unknown) => this.#refuse(word.s, error));
        return;
      case 'sharedKey':
        this.#parts.proofs.sharedKey(word.device).then(
          (key) =>
            this.say({
              kind: 'reply',
              r: word.r,
              value: key === undefined ? null : Buffer.from(key).toString('base64'),
            }),
          (error: unknown) => {
            const refusal = asHubError(error);
            this.#logRefusal(refusal, error, 'a shared key is not given');
            const code = refusedCodeOf(refusal);
            // What the adapter may not know is as if it were not there; a hub that cannot say has said nothing.
            const isForNow = code === 'throttled' || code === 'unreachable';
            if (isForNow) this.say({ kind: 'reply', r: word.r, code, text: refusal.message });
            else this.say({ kind: 'reply', r: word.r, value: null });
          },
        );
        return;
      case 'report':
      case 'twin':
      case 'settle':
      case 'answer':
      case 'taken':
      case 'fileRead':
      case 'fileBegin':
      case 'fileWrite':
      case 'fileEnd':
      case 'close': {
        const session = this.#sessions.get(word.s);
        if (session !== undefined) session.word(word);
        else if ('r' in word) this.say({ kind: 'reply', r: word.r, code: 'closed', text: 'The session has ended.' });
        return;
      }
      default:
        this.#parts.control(word);
    }
  }

  async #connect(word: Connect): Promise<void> {
    const { s } = word;
    if (!Number.isInteger(s) || this.#sessions.has(s) || this.#entering.has(s)) throw new FrameFault('a session twice');
    const max = limits.adapterLoginsMax;
    if (this.#entering.size >= max || this.#sessions.size >= limits.adapterSessionsMax) {
      throw new HubError('ThrottlingException', 'Too many devices of the adapter log in at once.');
    }
    this.#entering.set(s, undefined);
    try {
      const peer = typeof word.peer === 'string' ? word.peer.slice(0, 64) : undefined;
      const address = word.address?.slice(0, limits.adapterAddressCharsMax);
      const principal = await this.#parts.proofs.judge(word.proof, peer);
      const session = new HubSession(
        this,
        { ...word, ...(peer !== undefined && { peer }), ...(address !== undefined && { address }) },
        principal,
      );
      this.#entering.set(s, session);
      await this.#open(session);
      this.#sessions.set(s, session);
      this.counts.sessions = this.#sessions.size;
      this.counts.logins++;
      this.say({ kind: 'opened', s });
      session.begin();
    } finally {
      this.#entering.delete(s);
    }
  }

  /** Whatever fails, the identity's place is not held by a session that nobody has. @throws HubError */
  async #open(session: HubSession): Promise<void> {
    let isOpen = false;
    try {
      isOpen = !this.#isOver && (await session.open()) && !this.#isOver;
    } finally {
      if (!isOpen) session.end('connection-lost');
    }
    if (!isOpen) throw new HubError('ServiceUnavailable', 'The session was ended meanwhile.');
  }

  #refuse(s: number, error: unknown): void {
    if (error instanceof FrameFault) {
      this.#parts.link.broken(error.message);
      return;
    }
    const refusal = asHubError(error);
    this.counts.refusedLogins++;
    this.#logRefusal(refusal, error);
    const code = refusedCodeOf(refusal);
    // A device that has not proved itself learns nothing else.
    const text = code === 'unauthorized' ? 'The proof is wrong.' : refusal.message;
    this.say({ kind: 'refused', s, code, text });
  }

  /** An adapter may bring more of them than a log can hold. */
  #logRefusal(refusal: HubError, error: unknown, sentence = 'a device of an adapter is refused'): void {
    const second = Math.floor(this.hub.clock.monotonic() / 1000);
    if (this.#lines.second !== second) this.#lines = { second, count: 0 };
    if (++this.#lines.count > limits.adapterLogLinesPerSecond) return;
    const facts = { adapter: this.#parts.name, check: refusal.reason, code: refusal.code };
    if (refusal.code === 'ServerError') this.hub.log.error({ ...facts, error }, 'a login could not be judged');
    else this.hub.log.info(facts, sentence);
  }

  /** Sessions whose proof has ended. */
  #pulse(now: number): void {
    for (const session of this.#sessions.values()) {
      if (now >= session.principal.expiresAt) session.end('token-expired');
    }
  }

  #heedRate(messages: number): void {
    const { clock } = this.hub;
    const now = clock.monotonic();
    const ofMessages = messages === 0 ? 0 : this.#rate.take(messages, now);
    const waitMs = this.#words === 0 ? ofMessages : Math.max(ofMessages, this.#wordRate.take(this.#words, now));
    if (waitMs === 0) return;
    this.#hold('rate', true);
    this.#cancelRate?.();
    this.#cancelRate = clock.after(waitMs, () => this.#hold('rate', false));
  }

  #hold(why: 'inflight' | 'rate' | 'output', isHeld: boolean): void {
    const before = this.#holds.size;
    if (isHeld) this.#holds.add(why);
    else this.#holds.delete(why);
    if ((before === 0) === (this.#holds.size === 0)) return;
    if (this.#holds.size > 0) this.counts.held++;
    this.#parts.link.hold(this.#holds.size > 0);
  }

  #flushLater(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#isFlushing = false;
    if (this.#writer.isEmpty || this.#isOver) return;
    this.#parts.link.write(this.#writer.take());
    const waiting = this.#parts.link.waiting();
    if (waiting > limits.adapterLinkBytesMax) this.#hold('output', true);
    // It is not read for long now, and still more comes for its devices.
    if (waiting > 4 * limits.adapterLinkBytesMax) this.#parts.link.broken('it does not read what is for its devices');
  }
}
