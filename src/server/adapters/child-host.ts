/** The host on the adapter's side: sessions over frames to the hub. In the adapter's process, or in the hub's beside it. */
import { systemClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { createHostParts, hostLimits } from '../../gateway/host-parts.ts';
import type { TlsMaterial } from '../../gateway/listeners.ts';
import { openMemory } from '../../gateway/memory.ts';
import { Refused } from '../../gateway/refused.ts';
import { HostedSession, type SessionWire } from '../../gateway/session.ts';
import type {
  ConnectOptions,
  DeviceFiles,
  Facts,
  Handlers,
  Host,
  Log,
  Proof,
  Telemetry,
  Twin,
} from '../../gateway/types.ts';
import { commandAt, FrameFault, FrameWriter, frameKinds, readWord } from './frames.ts';
import { Heads } from './heads.ts';
import type { CommandHead, SentFilePart, SentProof, ToAdapter, ToHub } from './words.ts';

/** The way to the hub. */
export interface Link {
  /** False = it waits: `drained` is to be called when it does not any more. */
  write(bytes: Buffer): boolean;
}

interface Waiting<Value> {
  resolve(value: Value): void;
  reject(error: Error): void;
}

interface Open {
  readonly session: HostedSession;
  readonly heads: Heads;
  /** Of messages that the hub has not answered, the oldest first; `first` of them are answered. */
  sent: Waiting<void>[];
  first: number;
  /** The hub takes nothing of it for the moment. */
  isSlowed: boolean;
}

export class ChildHost {
  readonly host: Host;
  readonly parts: ReturnType<typeof createHostParts>;
  readonly #link: Link;
  readonly #writer = new FrameWriter();
  #isFlushing = false;
  /** Messages that the hub has not answered. */
  #unanswered = 0;
  /** What was written waits for company. */
  #gathering: NodeJS.Timeout | undefined;
  #isCongested = false;
  readonly #sessions = new Map<number, Open>();
  readonly #connecting = new Map<number, Waiting<void>>();
  readonly #questions = new Map<number, Waiting<unknown>>();
  readonly #keys = new Map<string, { readonly until: number; readonly key: Promise<Uint8Array | undefined> }>();
  /** Until when it counts that they have none. */
  readonly #keyless = new Map<string, number>();
  readonly #memory: ReturnType<typeof openMemory>;
  #certificate: TlsMaterial | undefined;
  #lastSession = 0;
  #lastQuestion = 0;
  readonly #control: (word: ToAdapter) => void;
  #lines = { second: 0, count: 0 };

  /** @param control Gets the words that are not about sessions */
  constructor(link: Link, memoryFile: string, control: (word: ToAdapter) => void) {
    this.#link = link;
    this.#control = control;
    this.#memory = openMemory(memoryFile);
    const say =
      (level: 'debug' | 'info' | 'warn' | 'error') =>
      (text: string, facts: Facts = {}): void =>
        this.#log(level, text, facts);
    const log: Log = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') };
    this.parts = createHostParts({
      log,
      certificate: () => this.#certificate,
      sharedKey: (identity, peer) => this.#sharedKey(identity, peer),
      listening: ({ host, port }) => this.say({ kind: 'listening', host, port }),
      healthTold: (health) => this.say({ kind: 'health', ...health }),
    });
    this.host = {
      ...{ log, clock: systemClock, limits: hostLimits, memory: this.#memory, hubReachable: true },
      ...{ metrics: this.parts.metrics, listeners: this.parts.listeners, health: this.parts.health },
      sharedKey: (device, peer) => this.#sharedKey(device, peer),
      connect: (proof, handlers, options = {}) => this.#connect(proof, handlers, options),
    };
  }

  /** A frame of the hub, as `FrameReader` gives it. @throws FrameFault */
  take(kind: number, bytes: Buffer, start: number, end: number): void {
    if (kind === frameKinds.done) this.#done(bytes, start, end);
    else if (kind === frameKinds.command) {
      const { head, body } = commandAt(bytes, start, end);
      const { s, expires, ...command } = head as CommandHead;
      this.#sessions.get(s)?.session.command({ ...command, body, expires: new Date(expires) });
    } else if (kind === frameKinds.word) this.#word(readWord(bytes, start, end) as ToAdapter);
    else throw new FrameFault(`a frame of kind ${kind}`);
  }

  /** The link takes more again. */
  drained(): void {
    this.#setCongested(false);
  }

  say(word: ToHub): void {
    this.#writer.word(word);
    this.#flushLater();
  }

  set certificate(certificate: TlsMaterial | undefined) {
    this.#certificate = certificate;
  }

  /** Ends what is open; behind this nothing is said. */
  async close(): Promise<void> {
    await this.parts.listeners.close();
    for (const { session } of this.#sessions.values()) session.closed('stopping');
    this.#flush();
    this.#memory.close();
  }

  #word(word: ToAdapter): void {
    switch (word.kind) {
      case 'opened':
        this.#connecting.get(word.s)?.resolve();
        return;
      case 'refused':
        this.#connecting.get(word.s)?.reject(new Refused(word.code, word.text, word.retry));
        return;
      case 'refusedMessage':
        this.#answered(word.s, 1, new Refused(word.code, word.text));
        return;
      case 'reply': {
        const question = this.#questions.get(word.r);
        this.#questions.delete(word.r);
        if (word.code === undefined) question?.resolve(word.value);
        else question?.reject(new Refused(word.code, word.text ?? word.code));
        return;
      }
      case 'method':
        this.#sessions.get(word.s)?.session.method(word.id, { name: word.name, payload: word.payload });
        return;
      case 'over':
        this.#sessions.get(word.s)?.session.commandOver(word.id);
        return;
      case 'desired':
        this.#sessions.get(word.s)?.session.desired(word.patch, word.version);
        return;
      case 'writable': {
        const open = this.#sessions.get(word.s);
        if (open === undefined) return;
        open.isSlowed = !word.isWritable;
        open.session.setWritable(word.isWritable && !this.#isCongested);
        return;
      }
      case 'closed': {
        const open = this.#sessions.get(word.s);
        this.#forget(word.s);
        open?.session.closed(word.reason);
        return;
      }
      case 'certificate':
        this.#certificate = word;
        return;
      default:
        this.#control(word);
    }
  }

  async #connect(proof: Proof, handlers: Handlers, options: ConnectOptions): Promise<HostedSession> {
    if (this.#sessions.size >= limits.adapterSessionsMax) {
      throw new Refused('queueFull', `An adapter has up to ${limits.adapterSessionsMax} sessions.`);
    }
    const s = ++this.#lastSession;
    const { command, method, desired } = handlers;
    const wants = { command: command !== undefined, method: method !== undefined, desired: desired !== undefined };
    const { peer, address, commandsAtOnce, modelId } = options;
    const session = new HostedSession({
      ...{ device: proof.device, handlers, options, clock: systemClock, log: this.host.log },
      ended: () => {},
    });
    session.wire = this.#wire(s);
    const opened = new Promise<void>((resolve, reject) => this.#connecting.set(s, { resolve, reject }));
    // What comes right behind the answer finds its session.
    this.#sessions.set(s, { session, heads: new Heads(), sent: [], first: 0, isSlowed: false });
    this.say({
      ...{ kind: 'connect', s, proof: sentProof(proof), wants },
      ...{
        ...(peer && { peer }),
        ...(address && { address }),
        ...(commandsAtOnce && { commandsAtOnce }),
        ...(modelId && { modelId }),
      },
    });
    try {
      await opened;
      return session;
    } catch (error) {
      this.#sessions.delete(s);
      throw error;
    } finally {
      this.#connecting.delete(s);
    }
  }

  #wire(s: number): SessionWire {
    return {
      send: (message) => this.#send(s, message),
      report: (patch) => this.#ask<number>((r) => ({ kind: 'report', s, r, patch })),
      twin: () => this.#ask<Twin>((r) => ({ kind: 'twin', s, r })),
      settle: (id, how) => this.say({ kind: 'settle', s, id, how }),
      answer: (id, answer) => this.say({ kind: 'answer', s, id, answer }),
      desiredTaken: (version) => this.say({ kind: 'taken', s, version }),
      files: this.#files(s),
      close: async (reason) => {
        if (!this.#sessions.has(s)) return;
        // The hub may have ended it in the same moment.
        await this.#ask((r) => ({ kind: 'close', s, r, ...(reason && { reason }) })).catch(() => {});
        this.#forget(s);
      },
    };
  }

  #files(s: number): DeviceFiles {
    return {
      read: async (name, from, length) => {
        const part = await this.#ask<SentFilePart>((r) => ({ kind: 'fileRead', s, r, name, from, length }));
        return { ...part, bytes: Buffer.from(part.bytes, 'base64') };
      },
      upload: async (name, contentType) => {
        const begin = { kind: 'fileBegin', s, name, ...(contentType !== undefined && { contentType }) } as const;
        const u = await this.#ask<string>((r) => ({ ...begin, r }));
        const end = (isWhole: boolean): Promise<void> => this.#ask((r) => ({ kind: 'fileEnd', s, r, u, isWhole }));
        return {
          write: async (bytes) => {
            // More would not fit into a frame.
            if (bytes.length > limits.adapterFilePartBytesMax)
              throw new Refused('invalid', `A part of a file has up to ${limits.adapterFilePartBytesMax} bytes.`);
            const text = Buffer.from(bytes).toString('base64');
            await this.#ask((r) => ({ kind: 'fileWrite', s, r, u, bytes: text }));
          },
          finish: () => end(true),
          abandon: () => end(false),
        };
      },
    };
  }

  #send(s: number, message: Telemetry): Promise<void> {
    const open = this.#sessions.get(s);
    if (open === undefined) return Promise.reject(new Refused('closed', 'The session has ended.'));
    try {
      const head = open.heads.of(message);
      if (head.isTold) this.#writer.again(s, head.slot, message.body);
      else {
        this.#writer.message(s, head.slot, head.bytes, message.body);
        head.isTold = true;
      }
    } catch (error) {
      return Promise.reject(error);
    }
    if (this.#unanswered++ === 0 || this.#writer.length > limits.adapterGatheredBytesMax) this.#flushLater();
    else if (!this.#isFlushing) this.#gathering ??= setTimeout(() => this.#flush(), limits.adapterGatheringMs);
    return new Promise((resolve, reject) => open.sent.push({ resolve, reject }));
  }

  #done(bytes: Buffer, start: number, end: number): void {
    for (let at = start; at + 8 <= end; at += 8) this.#answered(bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4));
    // The hub has taken a batch: what was gathered meanwhile is the next one.
    if (!this.#writer.isEmpty) this.#flushLater();
  }

  #answered(s: number, count: number, refusal?: Refused): void {
    const open = this.#sessions.get(s);
    if (open === undefined) return;
    const { sent } = open;
    for (let at = 0; at < count && open.first < sent.length; at++) {
      this.#unanswered--;
      const { resolve, reject } = sent[open.first++];
      if (refusal === undefined) resolve();
      else reject(refusal);
    }
    if (open.first === sent.length) Object.assign(open, { sent: [], first: 0 });
    else if (open.first > 1024) Object.assign(open, { sent: sent.slice(open.first), first: 0 });
  }

  /** What was not answered has not been taken, as far as is known. */
  #forget(s: number): void {
    const open = this.#sessions.get(s);
    this.#sessions.delete(s);
    for (const { reject } of open?.sent.slice(open.first) ?? []) {
      this.#unanswered--;
      reject(new Refused('closed', 'The session has ended.'));
    }
  }

  #ask<Value>(word: (r: number) => ToHub): Promise<Value> {
    const r = ++this.#lastQuestion;
    return new Promise((resolve, reject) => {
      this.#questions.set(r, { resolve: resolve as (value: unknown) => void, reject });
      this.say(word(r));
    });
  }

  /** Asked for once for the handshakes of one device that follow each other. */
  #sharedKey(device: string, peer?: string): Promise<Uint8Array | undefined> {
    const now = systemClock.monotonic();
    const known = this.#keys.get(device);
    if (known !== undefined && known.until > now) return known.key;
    if ((this.#keyless.get(device) ?? 0) > now) return Promise.resolve(undefined);
    const asked = this.#ask<string | null>((r) => ({ kind: 'sharedKey', r, device, ...(peer && { peer }) }));
    const key: Promise<Uint8Array | undefined> = asked.then((text) => {
      if (text !== null) return Buffer.from(text, 'base64');
      // Anybody may ask for many names that have no key: they push out none that have.
      if (this.#keys.get(device)?.key !== key) return undefined;
      this.#keys.delete(device);
      this.#keyless.delete(device);
      this.#keyless.set(device, now + limits.adapterKeyKeptMs);
      for (const oldest of this.#keyless.keys()) {
        if (this.#keyless.size <= limits.adapterKeysKeptMax) break;
        this.#keyless.delete(oldest);
      }
      return undefined;
    });
    for (const oldest of this.#keys.keys()) {
      if (this.#keys.size < limits.adapterKeysKeptMax) break;
      this.#keys.delete(oldest);
    }
    this.#keys.set(device, { until: now + limits.adapterKeyKeptMs, key });
    key.catch(() => this.#keys.delete(device));
    return key;
  }

  #log(level: 'debug' | 'info' | 'warn' | 'error', text: string, facts: Facts): void {
    const second = Math.floor(systemClock.monotonic() / 1000);
    if (this.#lines.second !== second) this.#lines = { second, count: 0 };
    if (++this.#lines.count <= limits.adapterLogLinesPerSecond)
      this.say({ kind: 'log', level, text: text.slice(0, 1000), facts });
    else this.parts.metrics.count('log_lines_left_out');
  }

  #flushLater(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#isFlushing = false;
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    if (!this.#writer.isEmpty && !this.#link.write(this.#writer.take())) this.#setCongested(true);
  }

  /** The hub reads what the adapter says more slowly than it comes: devices are slowed. */
  #setCongested(isCongested: boolean): void {
    if (this.#isCongested === isCongested) return;
    this.#isCongested = isCongested;
    for (const { session, isSlowed } of this.#sessions.values()) session.setWritable(!isCongested && !isSlowed);
  }
}

function sentProof(proof: Proof): SentProof {
  if (proof.kind !== 'certificate') return proof;
  return { ...proof, chain: proof.chain.map((certificate) => Buffer.from(certificate).toString('base64')) };
}
