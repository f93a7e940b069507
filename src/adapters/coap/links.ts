/** The sessions of devices: one for each device, however many endpoints speak for it. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { type CloseReason, type DeviceSession, type Handlers, type Host, Refused } from '../../gateway/index.ts';
import { codes } from '../../wire/coap/messages.ts';
import type { Answer, Shown } from './exchange.ts';
import { Inbox } from './inbox.ts';
import { type Observed, type Observer, Observers } from './observers.ts';
import { desiredAnswer } from './twin-answers.ts';

/** What the links of all devices share. */
export interface LinkParts {
  readonly host: Host;
  readonly idleSeconds: number;
  /** Eight bytes or fewer that name one delivery of a command. */
  tag(): Buffer;
  sliced(device: string, observer: Observer, answer: Answer, onRead?: () => void): Answer;
  /** The device's proofs count no more: what was kept of its protection is to go. */
  revoked(device: string): void;
}

/** A kind of thing that a device asked for counts as asked for so long after its last request for it. */
const WANTED_MS = 60_000;
const PROOFS_MAX = 4;

export class Link {
  readonly device: string;
  readonly observers = new Observers();
  readonly inbox: Inbox;
  readonly #parts: LinkParts;
  /** Proofs that the open session stands for. */
  #proofs: string[] = [];
  #proof: Shown | undefined;
  #peer = '';
  #session: DeviceSession | undefined;
  /** What the session's handlers are for. */
  #handled = new Set<Observed>();
  readonly #wantedAt = new Map<Observed, number>();
  #turn: Promise<unknown> = Promise.resolve();
  /** Proofs that are being judged. */
  readonly #judging = new Map<string, Promise<DeviceSession>>();
  /** Sessions that are being opened. */
  #opening = 0;
  usedAt: number;
  /** Requests that use it now. */
  users = 0;

  constructor(device: string, parts: LinkParts) {
    this.device = device;
    this.#parts = parts;
    this.usedAt = parts.host.clock.monotonic();
    this.inbox = new Inbox(this.observers, parts.host.clock, parts.tag, (observer, answer, onRead) =>
      parts.sliced(device, observer, answer, onRead),
    );
  }

  get isOpen(): boolean {
    return this.#session !== undefined && !this.#session.signal.aborted;
  }

  /** True = nothing is lost with it. */
  get isUnused(): boolean {
    return !this.isOpen && this.users === 0 && this.observers.size === 0;
  }

  /** The session, where the proof of that fingerprint has been judged for it already, and no request that has shown it waits for that. */
  known(print: string): DeviceSession | undefined {
    return this.#judging.has(print) ? undefined : this.#judged(print);
  }

  /**
   * The session that this proof opens. Requests with one proof go on in their order; those with another proof, which may be wrong and
   * so judged slowly, hold up nobody. @throws Refused
   */
  session(proof: Shown, peer: string): Promise<DeviceSession> {
    const print = fingerprint(proof);
    const judging = this.#judging.get(print);
    if (judging !== undefined) return judging;
    const session = this.#turn.then(() => this.#judged(print) ?? this.#open(proof, peer));
    this.#judging.set(print, session);
    // Once the requests that have waited go on: one that comes meanwhile is behind them.
    const forget = (): void => void setImmediate(() => this.#judging.delete(print));
    session.then(forget, forget);
    return session;
  }

  /** From now on the device is given this. @throws Refused */
  want(kind: Observed): Promise<DeviceSession> {
    this.#wantedAt.set(kind, this.#parts.host.clock.monotonic());
    return this.#inTurn(async () => {
      const session = this.#session;
      if (session === undefined || !this.isOpen || this.#proof === undefined)
        throw new Refused('closed', 'the session has ended');
      if (this.#handled.has(kind)) return session;
      await this.#close();
      return this.#open(this.#proof, this.#peer);
    });
  }

  /** Ends what nobody asks for any more. @returns true = nothing is left of it */
  sweep(): boolean {
    const now = this.#parts.host.clock.monotonic();
    for (const [kind, at] of this.#wantedAt)
      if (now - at > WANTED_MS && this.observers.of(kind).length === 0) this.#wantedAt.delete(kind);
    if (this.isUnused) return true;
    if (!this.isOpen) return false;
    if (this.observers.size === 0 && now - this.usedAt > this.#parts.idleSeconds * 1000) {
      this.close().catch(this.#failed);
      return false;
    }
    if (this.#isTooMuch) this.#inTurn(() => this.#narrow()).catch(this.#failed);
    return false;
  }

  close(): Promise<void> {
    this.observers.end(codes.serviceUnavailable);
    return this.#inTurn(() => this.#close());
  }

  /** True = the session gives the device what nobody there asks for any more. */
  get #isTooMuch(): boolean {
    return this.isOpen && [...this.#handled].some((kind) => !this.#wantedAt.has(kind));
  }

  async #narrow(): Promise<void> {
    const proof = this.#proof;
    if (!this.#isTooMuch || proof === undefined) return;
    await this.#close();
    await this.#open(proof, this.#peer);
  }

  readonly #failed = (error: unknown): void => {
    this.#parts.host.log.warn('a session was not closed or opened again', {
      device: this.device,
      error: String(error),
    });
  };

  /** The session before stays until the proof is good: the host ends it for the new one. */
  async #open(proof: Shown, peer: string): Promise<DeviceSession> {
    const { host } = this.#parts;
    const { device } = this;
    if (proof.kind === 'psk') await this.#checkKey(proof.key, peer);
    const wanted = new Set(this.#wantedAt.keys());
    const handlers: Handlers = {
      closed: (reason) => {
        // One that is ended for another of this link's is not the end of the link.
        if (this.#session === session && (reason !== 'replaced' || this.#opening === 0)) this.#closed(reason);
      },
      ...(wanted.has('commands') && { command: (command, signal) => this.inbox.command(command, signal) }),
      ...(wanted.has('methods') && { method: (call, signal) => this.inbox.method(call, signal) }),
      ...(wanted.has('desired') && { desired: () => this.#desiredChanged() }),
    };
    const given = proof.kind === 'psk' ? { kind: 'psk' as const, device } : proof;
    let session: DeviceSession | undefined;
    this.#opening++;
    try {
      session = await host.connect(given, handlers, { peer, address: `coap ${peer}` });
    } finally {
      this.#opening--;
      // It was ended, and not for this one.
      const isEnded = session === undefined && this.#opening === 0 && this.#session?.signal.aborted;
      if (isEnded) this.#closed('replaced');
    }
    if (session.signal.aborted && this.#session !== undefined && this.isOpen) return this.#session;
    const print = fingerprint(proof);
    this.#proofs = [...this.#proofs.filter((other) => other !== print), print].slice(-PROOFS_MAX);
    this.#proof = proof;
    this.#peer = peer;
    this.#session = session;
    this.#handled = wanted;
    return session;
  }

  /** What was agreed upon under a key that has been changed since proves nothing any more. */
  async #checkKey(shown: Uint8Array, peer: string): Promise<void> {
    const key = await this.#parts.host.sharedKey(this.device, peer);
    if (key !== undefined && timingSafeEqual(digest(key), digest(shown))) return;
    this.#parts.revoked(this.device);
    throw new Refused('unauthorized', 'the key of the device has changed');
  }

  async #close(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.close();
  }

  #closed(reason: CloseReason): void {
    this.#session = undefined;
    const isRevoked = reason === 'disabled' || reason === 'deleted' || reason === 'credentials' || reason === 'expired';
    this.observers.end(isRevoked ? codes.unauthorized : codes.serviceUnavailable);
    if (!isRevoked) return;
    this.#proofs = [];
    this.#parts.revoked(this.device);
  }

  /** The state of the resource is the whole: who observes it is told of the newest (RFC 7641 section 1.3). */
  #desiredChanged(): void {
    for (const observer of this.observers.of('desired')) {
      this.observers
        .notifyNewest(observer, async () => {
          const session = this.#session;
          if (session === undefined) return { code: codes.serviceUnavailable };
          return this.#parts.sliced(this.device, observer, desiredAnswer(await session.twin()));
        })
        .catch((error) =>
          this.#parts.host.log.debug('desired properties were not told', { device: this.device, error: String(error) }),
        );
    }
  }

  #judged(print: string): DeviceSession | undefined {
    return this.isOpen && this.#proofs.includes(print) ? this.#session : undefined;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}

/** What tells one proof from another; no secret can be read from it. */
export function fingerprint(proof: Shown): string {
  const hash = createHash('sha256').update(proof.kind).update('\0');
  if (proof.kind === 'key') hash.update(proof.key);
  if (proof.kind === 'token') hash.update(proof.token);
  if (proof.kind === 'psk') hash.update(proof.key);
  if (proof.kind === 'certificate') hash.update(proof.chain[0] ?? '');
  return hash.digest('base64');
}

const digest = (key: Uint8Array): Buffer => createHash('sha256').update(key).digest();
