/**
 * Connections between peers and the hub: bytes arrive late but in order within a direction; a connection breaks, and each
 * side hears of it at its own time or, when the peer has vanished, the hub never does. Connections know nothing of each
 * other, so that bytes of an older one may arrive behind those of a newer one.
 */
import { Duplex } from 'node:stream';
import type { Life, Scheduler } from './scheduler.ts';
import type { Dice } from './world.ts';

/** Bytes that the network takes from the hub for a peer that does not read. */
const UNREAD_BYTES_MAX = 64 * 1024;

export interface PeerEvents {
  bytes(chunk: Buffer): void;
  /** The hub has written these: the truth of its side, which the peer cannot know yet. */
  written?(chunk: Buffer): void;
  /** The connection has ended, whichever way. */
  closed(): void;
}

/** One connection as the peer holds it; `hubEnd` is what the hub is given. */
export class Connection {
  readonly hubEnd: HubEnd;
  readonly #scheduler: Scheduler;
  readonly #dice: Dice;
  readonly #life: Life;
  readonly #events: PeerEvents;
  readonly #delayMs: number;
  #toHubAt = 0;
  #toPeerAt = 0;
  /** The peer is told of nothing any more. */
  #peerClosed = false;
  #peerGone = false;
  #stalled = false;
  #unread: Buffer[] = [];
  #unreadBytes = 0;
  #withheld: (() => void)[] = [];

  constructor(scheduler: Scheduler, dice: Dice, life: Life, events: PeerEvents) {
    this.#scheduler = scheduler;
    this.#dice = dice;
    this.#life = life;
    this.#events = events;
    this.#delayMs = dice.pick([0.2, 2, 20, 150]);
    this.hubEnd = new HubEnd(this);
    life.onEnd(() => void scheduler.after(dice.between(0, 3000), () => this.#peerHears()));
  }

  /** The hub's process runs and has the connection. */
  get isHeld(): boolean {
    return !this.#life.over && !this.hubEnd.destroyed && !this.hubEnd.writableEnded;
  }

  get isOpen(): boolean {
    return !this.#peerClosed && !this.#peerGone;
  }

  send(bytes: Buffer): void {
    if (this.#peerClosed || this.#peerGone) return;
    this.#toHub(() => this.hubEnd.arrive(bytes));
  }

  /** The peer closes politely, behind what it has sent. */
  close(): void {
    if (this.#peerClosed) return;
    this.#peerClosed = true;
    this.#toHub(() => this.hubEnd.arrive(null));
  }

  /** The connection breaks: what is on its way is lost, the hub hears of it late. */
  break(): void {
    if (this.#peerGone) return;
    this.vanish();
    this.#peerHears();
    this.#scheduler.after(this.#dice.wait(1000), () => this.#hubHears());
  }

  /** The peer is gone and says nothing, nor does the network: only silence tells. */
  vanish(): void {
    this.#peerGone = true;
  }

  /** The peer does not read for a while. */
  stall(): void {
    this.#stalled = true;
  }

  unstall(): void {
    this.#stalled = false;
    const chunks = this.#unread;
    this.#unread = [];
    this.#unreadBytes = 0;
    for (const chunk of chunks) this.#toPeer(() => this.#events.bytes(chunk));
    for (const written of this.#withheld.splice(0)) this.#atHub(0.1, written);
  }

  /** @internal by the hub's end, at once: what has been written before waits for the network. */
  hubWrites(chunk: Buffer): void {
    if (!this.#life.over) this.#events.written?.(chunk);
  }

  /** @internal by the hub's end */
  fromHub(chunk: Buffer, written: () => void): void {
    if (this.#life.over) return;
    if (this.#stalled || this.#peerGone) {
      this.#unreadBytes += chunk.length;
      if (!this.#peerGone) this.#unread.push(chunk);
      if (this.#unreadBytes > UNREAD_BYTES_MAX) this.#withheld.push(written);
      else this.#atHub(0.1, written);
      return;
    }
    this.#toPeer(() => this.#events.bytes(chunk));
    this.#atHub(this.#dice.next(), written);
  }

  /** @internal by the hub's end: it has closed. */
  hubClosed(): void {
    if (this.#life.over) return;
    this.#toPeer(() => this.#peerHears());
  }

  #toHub(callback: () => void): void {
    const at = this.#scheduler.monotonic() + this.#delay();
    this.#toHubAt = Math.max(this.#toHubAt, at);
    this.#scheduler.after(this.#toHubAt - this.#scheduler.monotonic(), () => {
      if (!this.#peerGone && !this.#life.over) callback();
    });
  }

  #toPeer(callback: () => void): void {
    const at = this.#scheduler.monotonic() + this.#delay();
    this.#toPeerAt = Math.max(this.#toPeerAt, at);
    this.#scheduler.after(this.#toPeerAt - this.#scheduler.monotonic(), () => {
      if (!this.#peerGone && !this.#peerClosed) callback();
    });
  }

  #atHub(delayMs: number, callback: () => void): void {
    this.#life.clock.after(delayMs, callback);
  }

  #delay(): number {
    return this.#dice.wait(this.#delayMs);
  }

  #peerHears(): void {
    if (this.#peerClosed) return;
    this.#peerClosed = true;
    this.#events.closed();
  }

  #hubHears(): void {
    if (!this.#life.over && !this.hubEnd.destroyed) this.hubEnd.destroy(new Error('ECONNRESET'));
  }
}

/** The hub's side: a stream as its listeners hand them to a door. */
export class HubEnd extends Duplex {
  readonly #connection: Connection;
  #arrived: (Buffer | null)[] = [];
  #wanted = false;

  constructor(connection: Connection) {
    super({ allowHalfOpen: false });
    this.#connection = connection;
  }

  arrive(chunk: Buffer | null): void {
    if (this.destroyed) return;
    this.#arrived.push(chunk);
    this.#pump();
  }

  /** As a socket has it, which an HTTP server asks for. */
  destroySoon(): void {
    if (this.writableFinished) this.destroy();
    else this.end(() => this.destroy());
  }

  override write(chunk: Buffer, ...more: never[]): boolean {
    this.#connection.hubWrites(chunk);
    return super.write(chunk, ...more);
  }

  override _read(): void {
    this.#wanted = true;
    this.#pump();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.#connection.fromHub(Buffer.from(chunk), callback);
  }

  override _final(callback: () => void): void {
    this.#connection.hubClosed();
    callback();
  }

  override _destroy(_error: Error | null, callback: (error: Error | null) => void): void {
    this.#connection.hubClosed();
    callback(null);
  }

  #pump(): void {
    while (this.#wanted) {
      const chunk = this.#arrived.shift();
      if (chunk === undefined) return;
      this.#wanted = this.push(chunk);
    }
  }
}
