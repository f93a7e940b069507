/**
 * The way to one other node: a link that is opened as soon as the node is known, and again when it has closed, for as long as the node
 * has a lease. What is asked for is answered by that node, or by the end of its lease; there is no third way, so that what is told as
 * done holds for every node that lets devices in.
 */
import type net from 'node:net';
import tls from 'node:tls';
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { HubError } from '../../core/errors.ts';
import type { NodeStore } from '../../core/nodes/ports.ts';
import type { NodeFacts } from '../../core/nodes/types.ts';
import type { Connections, PlaceRef } from '../../core/presence/places.ts';
import type { Call } from '../../core/presence/types.ts';
import type { EveryCall, ThreadLink } from '../threads/calls.ts';
import { connectionsOver } from '../threads/node-connections.ts';
import { openSocketLink } from '../threads/socket-link.ts';
import { watchMember } from '../threads/watch-member.ts';
import { type LeftNotice, LeftNotices } from './left-notices.ts';
import type { Membership } from './membership.ts';
import type { NodeTls } from './node-tls.ts';
import { type RowCalls, rowCalls } from './rows.ts';
import type { Greeting, NodeNotice } from './words.ts';

/** What a node serves to one that has opened a link to it. */
export interface GreetingCalls {
  /** The first call of a link. @throws HubError the caller is no node with a lease */
  hello(greeting: Greeting): Promise<Greeting>;
  /** Answers when everything that was told before has been taken. */
  heard(): Promise<void>;
  /** @throws HubError as `Receiver.displaced` takes it, never */
  displaced(receiver: number, newcomer: string): Promise<void>;
  /** The node is to look at its own row in the table of nodes. */
  look(): Promise<void>;
  /** Answers when it has compared its connections with its places, and what it has ended is settled. */
  compare(): Promise<void>;
}

export const greetingCalls: EveryCall<GreetingCalls> = {
  hello: 'uncounted',
  heard: 'uncounted',
  displaced: 'uncounted',
  look: 'uncounted',
  compare: 'uncounted',
};

export interface PeerParts {
  readonly facts: NodeFacts;
  readonly membership: Membership;
  readonly store: NodeStore;
  readonly tls: NodeTls;
  readonly greeting: () => Greeting;
  readonly clock: Clock;
  readonly log: Log;
}

interface OpenWay {
  readonly link: ThreadLink;
  readonly calls: GreetingCalls;
  readonly connections: Connections;
  readonly rows: RowCalls;
}

type Tale = readonly [note: string, value: unknown];

export class Peer {
  readonly #parts: PeerParts;
  readonly #clock: Clock;
  #way: OpenWay | undefined;
  #socket: net.Socket | undefined;
  /** In order, what the node has not said to have taken: a link that closes may take some along, and what comes twice does no harm. */
  #kept: Tale[] = [];
  /** How many were told and taken before these. */
  #taken = 0;
  /** How often there was too much for keeping, and how often of these the node has heard that it is to begin anew. */
  #overflows = 0;
  #begunAnew = 0;
  #downSince: number;
  #hasGone = false;
  #cancelDial: Cancel = () => {};
  readonly #changed = new Set<() => void>();
  readonly #notices: LeftNotices;
  /** That it cannot be reached was told. */
  #isMissed = false;
  /** What the node at the other end says against this one. */
  #refusal: HubError | undefined;

  constructor(parts: PeerParts) {
    this.#parts = parts;
    this.#clock = parts.clock;
    this.#downSince = parts.clock.monotonic();
    this.#notices = new LeftNotices(parts.store, parts.facts.id, parts.clock);
    void this.#dial();
  }

  get facts(): NodeFacts {
    return this.#parts.facts;
  }

  /** Whether its link is open. */
  get isReached(): boolean {
    return this.#way !== undefined;
  }

  /** The connections of that node. */
  readonly connections: Connections = {
    drop: (place, reason) =>
      this.ask(({ connections }) => connections.drop(place, reason), {
        kind: 'drop',
        place: plain(place),
        reason,
      }),
    end: (key, reason) =>
      this.ask(({ connections }) => ifKnown(connections.end(key, reason)), { kind: 'end', key, reason }),
    wake: (place) => this.tell('node wakes', plain(place)),
    notify: (place, note) => this.tell('node notifies', [plain(place), note]),
    invoke: (place, call, signal) => this.#invoke(place, call, signal),
  };

  /** Tells it now, or when there is a way to it. */
  tell(note: string, value: unknown): void {
    if (this.#hasGone) return;
    if (this.#kept.length < limits.nodeNotesKeptMax) this.#kept.push([note, value]);
    else {
      this.#taken += this.#kept.length;
      this.#kept = [];
      this.#overflows++;
      // What is open is not trusted to have carried them.
      this.#socket?.destroy();
      return;
    }
    this.#way?.link.tell(note, value);
  }

  /** Resolves when everything that was told before has been taken, or the node's lease is over. */
  async heard(): Promise<void> {
    const told = this.#taken + this.#kept.length;
    const overflows = this.#overflows;
    await this.ask(
      (way) => this.#heardOver(way),
      () => (this.#mustBeginAnew ? { kind: 'anew' } : { kind: 'told', tales: this.#kept }),
    );
    this.#forget(told, overflows);
  }

  displaced(receiver: number, newcomer: string): Promise<void> {
    return this.ask(({ calls }) => calls.displaced(receiver, newcomer), { kind: 'displaced', receiver, newcomer });
  }

  /** Resolves when it has ended those of its connections that have lost their places, or has gone. */
  compare(): Promise<void> {
    return this.ask(({ calls }) => ifKnown(calls.compare()), { kind: 'compare' });
  }

  /** What that node says of rows of the fleet, over the link that is open or opens within so long; undefined = there is none. */
  async rows(withinMs: number): Promise<RowCalls | undefined> {
    if (this.#way === undefined && withinMs > 0) await this.#waitForChange(withinMs);
    return this.#way?.rows;
  }

  /** It is to look at its own row, if it can be reached; else it does so with its next renewal. */
  async look(): Promise<void> {
    await this.#way?.calls.look().catch(() => {});
  }

  /**
   * Asks until it is answered or the node's lease is over. A node that lives and cannot be reached is told by the database, with the
   * next renewal of its lease, which it cannot have without.
   * @param left What is left for it; a function: one notice for all who ask at the same time, made when it is left
   */
  async ask(over: (way: OpenWay) => Promise<void>, left: NodeNotice | (() => NodeNotice)): Promise<void> {
    let notice: LeftNotice | undefined;
    try {
      while (!this.#hasGone) {
        const way = this.#way;
        if (way !== undefined) {
          try {
            await over(way);
            return;
          } catch (error) {
            if (way.link.isOpen) throw error;
            continue;
          }
        }
        this.#parts.membership.suspect(this.facts.id);
        await this.#waitForChange(notice === undefined ? limits.nodeNoticeLookMs : undefined, notice);
        if (this.#way !== undefined || this.#hasGone) continue;
        if (notice?.isTaken === true) return;
        if (this.#clock.monotonic() - this.#downSince < limits.nodeLinkPatienceMs) continue;
        notice ??= typeof left === 'function' ? this.#notices.leaveTogether(left) : this.#notices.leave(left);
      }
    } finally {
      notice?.forget();
    }
  }

  /** Its lease is over: nothing waits for it any more. */
  gone(): void {
    this.#hasGone = true;
    this.#notices.close();
    this.#kept = [];
    this.#cancelDial();
    this.#socket?.destroy();
    this.#way = undefined;
    this.#tellChange();
  }

  /**
   * Resolves when it has been reached, or its lease is over.
   * @throws Error it is not for `withinMs`, or will not talk to this node
   */
  async reached(withinMs: number): Promise<void> {
    const { name, version, address, port } = this.facts;
    const until = this.#clock.monotonic() + withinMs;
    while (!this.#hasGone && this.#way === undefined) {
      if (this.#refusal?.code === 'PreconditionFailed') {
        throw new Error(`This node cannot join node ${name}, version ${version}: ${this.#refusal.reason}.`);
      }
      if (this.#clock.monotonic() > until) {
        throw new Error(
          `Node ${name} has a lease and cannot be reached at ${address}:${port}. See its nodeAddress and nodePort, and what is between.`,
        );
      }
      this.#parts.membership.suspect(this.facts.id);
      await this.#waitForChange(limits.nodeNoticeLookMs);
    }
  }

  /** Resolves when the node knows this one by the id that it has now, when it has gone, or when `isOver` says so. */
  async greetAgain(isOver: () => boolean): Promise<void> {
    while (!this.#hasGone && !isOver()) {
      try {
        if (this.#way !== undefined) return void (await this.#way.calls.hello(this.#parts.greeting()));
      } catch {
        // It has looked before this one had joined, or the link has closed.
      }
      await this.#waitForChange(limits.nodeDialAgainMs);
    }
  }

  async #heardOver({ calls }: OpenWay): Promise<void> {
    const told = this.#taken + this.#kept.length;
    // The node was told to begin anew when the way was opened: a way that is open while there is too much is given up.
    const overflows = this.#overflows;
    await calls.heard();
    this.#forget(told, overflows);
  }

  get #mustBeginAnew(): boolean {
    return this.#overflows > this.#begunAnew;
  }

  /** So many, from the first one on, need not be told again. */
  #forget(count: number, overflows: number): void {
    this.#begunAnew = Math.max(this.#begunAnew, overflows);
    if (count <= this.#taken) return;
    this.#kept.splice(0, count - this.#taken);
    this.#taken = count;
  }

  async #invoke(place: PlaceRef, call: Call, signal: AbortSignal): Promise<unknown> {
    if (this.#way === undefined) await this.#waitForChange(limits.nodeDialMs);
    signal.throwIfAborted();
    const way = this.#way;
    if (way === undefined) throw new HubError('DeviceNotOnline');
    try {
      return await way.connections.invoke(place, call, signal);
    } catch (error) {
      // Whether the device has heard of it is not known: it is not asked again.
      if (way.link.isOpen || signal.aborted) throw error;
      throw new HubError('DeviceConnectionClosedRemotely', undefined, { cause: error });
    }
  }

  async #dial(): Promise<void> {
    const { facts, tls: nodeTls, log, membership } = this.#parts;
    const socket = tls.connect({ ...nodeTls.client(), host: facts.address, port: facts.port });
    this.#socket = socket;
    socket.setNoDelay(true);
    const late = this.#clock.after(limits.nodeDialMs, () => socket.destroy(new Error('no answer in time')));
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('secureConnect', resolve);
        socket.once('error', reject);
        socket.once('close', () => reject(new Error('the connection was closed')));
      });
      const link = openSocketLink(socket, (reason) => this.#closed(reason));
      const calls = link.remote<GreetingCalls>('nodes', greetingCalls);
      const { id } = await calls.hello(this.#parts.greeting());
      if (id !== facts.id) throw new Error(`another node answers there: ${id}`);
      this.#opened({ link, calls, connections: connectionsOver(link), rows: link.remote<RowCalls>('rows', rowCalls) });
    } catch (error) {
      socket.destroy();
      if (error instanceof HubError) this.#refusal = error;
      if (this.#hasGone) return;
      membership.suspect(facts.id);
      if (!this.#isMissed && this.#clock.monotonic() - this.#downSince >= limits.nodeLinkPatienceMs) {
        this.#isMissed = true;
        const reason = error instanceof Error ? error.message : String(error);
        log.warn({ node: facts.name, address: facts.address, port: facts.port, reason }, 'a node cannot be reached');
      }
      this.#cancelDial = this.#clock.after(limits.nodeDialAgainMs, () => void this.#dial());
    } finally {
      late();
    }
  }

  #opened(way: OpenWay): void {
    const { facts, log } = this.#parts;
    if (this.#hasGone) {
      way.link.close();
      this.#socket?.destroy();
      return;
    }
    this.#way = way;
    if (this.#mustBeginAnew) way.link.tell('anew', undefined);
    for (const [note, value] of this.#kept) way.link.tell(note, value);
    log.info({ node: facts.name, id: facts.id, version: facts.version, wasMissed: this.#isMissed }, 'linked to a node');
    this.#isMissed = false;
    const stop = watchMember(
      this.#clock,
      () => this.#heardOver(way),
      () => this.#socket?.destroy(),
    );
    way.link.onClose(stop);
    this.#tellChange();
  }

  #closed(reason: string | undefined): void {
    const wasOpen = this.#way !== undefined;
    this.#way = undefined;
    if (!wasOpen || this.#hasGone) return;
    this.#downSince = this.#clock.monotonic();
    this.#parts.log.debug({ node: this.facts.name, reason }, 'the link to a node has closed');
    this.#parts.membership.suspect(this.facts.id);
    this.#tellChange();
    this.#cancelDial = this.#clock.after(0, () => void this.#dial());
  }

  #tellChange(): void {
    for (const listener of [...this.#changed]) listener();
  }

  /**
   * Resolves when the link has opened or closed, the node has gone, or the notice is taken.
   * @param ms and after so long; undefined = however long that takes
   */
  #waitForChange(ms: number | undefined, notice?: LeftNotice): Promise<void> {
    return new Promise((resolve) => {
      let cancel: Cancel = () => {};
      const done = (): void => {
        cancel();
        this.#changed.delete(done);
        resolve();
      };
      if (ms !== undefined) cancel = this.#clock.after(ms, done);
      this.#changed.add(done);
      notice?.whenTaken(done);
    });
  }
}

/** A node of an older program, which does not know the call, goes on as it always has. */
async function ifKnown(call: Promise<void>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof HubError && error.code === 'OperationNotAvailable')) throw error;
  }
}

/** A holder is more than crosses. */
const plain = ({ key, connection }: PlaceRef): PlaceRef => ({ key, connection });
