/**
 * This node's lease, and who else has one. A node whose lease cannot be renewed stops what others may take over before the lease
 * ends: by its own monotonic clock, `nodeMarginMs` early, so that neither a clock that jumps nor a pause of the process lets it go on.
 */
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import type { JoiningNode, Lease, LeasedNode, NodeStore, Notice } from '../../core/nodes/ports.ts';
import { processOf, type Standing } from '../../core/nodes/processes.ts';
import type { NodeFacts } from '../../core/nodes/types.ts';
import { Renewals } from './renewals.ts';

export interface MembershipParts {
  readonly store: NodeStore;
  /** All but what is known when the node's port is open. */
  readonly node: Omit<JoiningNode, 'id' | 'port'>;
  /** What one node does for all. */
  readonly duties: readonly string[];
  /** Connected to this node now; absent = it is not told. */
  readonly devices?: () => number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Each is called in order, and must not throw. */
export interface MembershipWatcher {
  /** Another node has a lease. */
  joined?(node: NodeFacts): void;
  /** Its lease is over, or it has left: it does nothing for the hub any more. */
  left?(node: NodeFacts): void;
  /** This node has no lease any more; what it holds is to be let go of at once. */
  lost?(): void;
  /** It has joined again, under another id. Resolves when every other node knows it by that. */
  rejoined?(): Promise<void>;
  /** It has a lease again, and every other node knows it. */
  regained?(): void;
  /** What others have left for this node; settled when it is taken. */
  notices?(notices: readonly Notice[]): Promise<void>;
  /** Nodes that are gone, and that this one is to clear up after. */
  buried?(nodes: readonly NodeFacts[]): void;
  /** This node does that for all from now on. */
  gained?(duty: string): void;
  /** An operator has asked for this node to be emptied. */
  drains?(): void;
  /** With each renewal. */
  renewed?(): void;
}

interface Known {
  readonly facts: NodeFacts;
  /** Monotonic: when this node has heard of it first. */
  readonly since: number;
  /** Monotonic, not before its lease is over. */
  until: number;
}

export class Membership {
  /** Names this process among all that have had its node's name, over its joins. */
  readonly process: string;
  readonly #parts: MembershipParts;
  readonly #clock: Clock;
  readonly #renewals: Renewals;
  readonly #watchers: MembershipWatcher[] = [];
  readonly #others = new Map<string, Known>();
  #duties: ReadonlySet<string> = new Set();
  #own: string;
  #port = 0;
  /** Monotonic: up to then this node may answer for the hub. */
  #validUntil = Number.NEGATIVE_INFINITY;
  #hasJoined = false;
  #isLost = false;
  #isReplaced = false;
  /** The others know this node by the id that it has: else what they ask and tell would not reach it. */
  #isKnown = true;
  /** The id by which the others are being told of it. */
  #becoming = '';
  #isDraining = false;
  #isClosed = false;
  #cancelFence: Cancel = () => {};
  #cancelLook: Cancel | undefined;
  #looking: Promise<void> | undefined;
  #renewing: Promise<void> | undefined;
  readonly #following = new Set<Promise<void>>();
  /** Notices that are being carried out: until then the database tells of them with each renewal. */
  readonly #inHand = new Set<string>();
  #buriesLeft = 0;

  constructor(parts: MembershipParts) {
    this.#parts = parts;
    this.#clock = parts.clock;
    const { clock, log, node } = parts;
    this.#renewals = new Renewals({ node: node.name, renew: () => this.#renewOnce(), clock, log });
    this.process = this.#freshId();
    this.#own = this.process;
  }

  /** Names this process since it has joined last. */
  get own(): string {
    return this.#own;
  }

  get name(): string {
    return this.#parts.node.name;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** It has ended its lease itself, or is about to. */
  get hasLeft(): boolean {
    return this.#isClosed;
  }

  /** Whether this node has had a lease. */
  get hasJoined(): boolean {
    return this.#hasJoined;
  }

  /** As which process the tables know this one. */
  get standing(): Standing {
    const { name, folder } = this.#parts.node;
    return { id: this.#own, name, folder, hasJoined: this.#hasJoined };
  }

  /** Whether another process has this node's name, and lives, as the last renewal has said. */
  get isReplaced(): boolean {
    return this.#isReplaced;
  }

  /** Whether this node may answer for the hub now. Cheap. */
  get isValid(): boolean {
    return this.#isKnown && this.#clock.monotonic() < this.#validUntil;
  }

  /** Another node whose lease lasts, as far as is known; undefined = it has gone. */
  of(id: string): NodeFacts | undefined {
    return this.#others.get(id)?.facts;
  }

  others(): readonly NodeFacts[] {
    return [...this.#others.values()].map(({ facts }) => facts);
  }

  /** Whether this node does that for all at the moment. */
  has(duty: string): boolean {
    return this.#duties.has(duty) && this.isValid;
  }

  watch(watcher: MembershipWatcher): void {
    this.#watchers.push(watcher);
  }

  /**
   * Joins the hub; waits where a node of this name has a lease that it may not renew.
   * @throws Error whose message says what to do
   */
  async join(port: number): Promise<void> {
    this.#port = port;
    await this.#untilFree(() => this.#tryJoin());
    this.#renewals.start();
  }

  /**
   * Waits while a node of this name lives in another process, before anything is done under the name: what that node holds is not this one's.
   * @throws Error whose message says what to do
   */
  async awaitName(): Promise<void> {
    const { store, node } = this.#parts;
    await this.#untilFree(async () => soonAfter(await store.namesake(node.name, node.folder)));
  }

  /** @param ask How long the name is another's; undefined = it is free */
  async #untilFree(ask: () => Promise<number | undefined>): Promise<void> {
    const giveUp = this.#clock.monotonic() + 2 * limits.nodeLeaseMs;
    for (;;) {
      const waitMs = await ask();
      if (waitMs === undefined) return;
      if (this.#clock.monotonic() + waitMs > giveUp) {
        throw new Error(`nodeName: another node of this hub has the name ${this.name}, and lives. Give each its own.`);
      }
      this.#parts.log.warn({ node: this.name, waitMs }, 'a node of this name has a lease; the start waits for its end');
      await this.#sleep(waitMs);
    }
  }

  /** Who has a lease. Calls at the same time share an answer. */
  async look(): Promise<void> {
    this.#looking ??= (async () => {
      const asked = this.#clock.monotonic();
      try {
        this.#heard(await this.#parts.store.list(), asked);
      } finally {
        this.#looking = undefined;
      }
    })();
    await this.#looking;
  }

  /** That node cannot be reached: it is looked whether it has gone when its lease may be over. */
  suspect(id: string): void {
    const known = this.#others.get(id);
    if (known === undefined || this.#cancelLook !== undefined || this.#isClosed) return;
    const delayMs = Math.max(limits.nodeRenewAgainMs, known.until - this.#clock.monotonic());
    this.#cancelLook = this.#clock.after(delayMs, () => {
      this.#cancelLook = undefined;
      this.look()
        .catch(() => {})
        .finally(() => this.suspect(id));
    });
  }

  /** Renews now, hears what is new, and has done what it asks for. */
  async renew(): Promise<void> {
    await this.#renewOnce();
    await Promise.all(this.#following);
  }

  #renewOnce(): Promise<void> {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  /** This node takes no connections any more, and gives up what it does for all. */
  async drain(): Promise<void> {
    if (this.#isDraining) return;
    this.#isDraining = true;
    await this.#parts.store.drain(this.name);
    await this.renew();
  }

  /** Ends the lease; what it holds was let go of before. */
  async leave(): Promise<void> {
    this.#isClosed = true;
    this.#renewals.close();
    this.#cancelFence();
    this.#cancelLook?.();
    await this.#renewing?.catch(() => {});
    this.#validUntil = Number.NEGATIVE_INFINITY;
    await this.#parts.store.leave(this.#own);
  }

  async #tryJoin(): Promise<number | undefined> {
    const { store, node } = this.#parts;
    this.#own = this.#freshId();
    const asked = this.#clock.monotonic();
    const outcome = await store.join({ ...node, id: this.#own, port: this.#port }, limits.nodeLeaseMs);
    if (outcome.kind === 'full') throw new Error(`There are ${limits.nodesMax} nodes already, and no more can join.`);
    if (outcome.kind === 'taken') return soonAfter(outcome.forMs);
    this.#took(outcome.lease, asked);
    return undefined;
  }

  async #renew(): Promise<void> {
    const { store, duties } = this.#parts;
    const asked = this.#clock.monotonic();
    const lease = await store.renew(this.#own, limits.nodeLeaseMs, duties, this.#parts.devices?.());
    if (lease === undefined) {
      this.#lose();
      if (this.#isClosed) return;
      this.#isKnown = false;
      const waitMs = await this.#tryJoin();
      this.#isReplaced = waitMs !== undefined;
      if (waitMs !== undefined) throw new Error('another node has this one’s name meanwhile');
    } else {
      this.#took(lease, asked);
    }
    // Also where the answer to its join was lost, and this renewal is the first that it hears of it.
    if (!this.#isKnown && this.#becoming !== this.#own) this.#becomeKnown();
    this.#regain();
    this.#tell((watcher) => watcher.renewed?.());
    const following = this.#follow(lease?.notices ?? [])
      .catch((error: unknown) => {
        const what = 'what a renewal of the lease asked for could not be done; it is tried again with the next';
        this.#parts.log.warn({ node: this.name, error }, what);
      })
      .finally(() => this.#following.delete(following));
    this.#following.add(following);
  }

  /** What a renewal asks for, while the next ones go on: it may wait for connections that end, and those for brokers. */
  async #follow(notices: readonly Notice[]): Promise<void> {
    const fresh = notices.filter(({ id }) => !this.#inHand.has(id));
    for (const { id } of fresh) this.#inHand.add(id);
    try {
      if (fresh.length > 0) {
        await Promise.all(this.#watchers.map((watcher) => watcher.notices?.(fresh)));
        await this.#parts.store.noticesTaken(fresh.map(({ id }) => id));
      }
    } finally {
      for (const { id } of fresh) this.#inHand.delete(id);
    }
    await this.#bury();
  }

  /**
   * A node that has joined again answers for the hub when every other knows its new id: has been told over a link, or has renewed its own
   * lease since, which who has one has done after the length of a lease.
   */
  #becomeKnown(): void {
    const own = this.#own;
    this.#becoming = own;
    let cancel: Cancel = () => {};
    const renewed = new Promise<void>((resolve) => {
      cancel = this.#clock.after(limits.nodeLeaseMs, resolve);
    });
    const told = Promise.all(this.#watchers.map((watcher) => watcher.rejoined?.()));
    Promise.race([told, renewed])
      .then(() => {
        if (this.#own !== own || this.#isClosed) return;
        this.#isKnown = true;
        this.#regain();
      })
      .finally(cancel);
  }

  #regain(): void {
    if (!this.#isLost || !this.isValid) return;
    this.#isLost = false;
    this.#parts.log.info({ node: this.name }, 'this node has a lease again');
    this.#tell((watcher) => watcher.regained?.());
  }

  #took(lease: Lease, asked: number): void {
    this.#hasJoined = true;
    this.#validUntil = asked + limits.nodeLeaseMs - limits.nodeMarginMs;
    const before = this.#duties;
    this.#duties = new Set(lease.duties);
    this.#cancelFence();
    const leftMs = Math.max(0, this.#validUntil - this.#clock.monotonic());
    this.#cancelFence = this.#clock.after(leftMs, () => this.#lose());
    const own = lease.nodes.find(({ id }) => id === this.#own);
    if (own?.isDraining === true && !this.#isDraining) {
      this.#isDraining = true;
      this.#tell((watcher) => watcher.drains?.());
    }
    this.#heard(lease.nodes, asked);
    for (const duty of lease.duties) if (!before.has(duty)) this.#tell((watcher) => watcher.gained?.(duty));
  }

  #lose(): void {
    if (this.#isLost || this.#isClosed) return;
    this.#isLost = true;
    this.#validUntil = Number.NEGATIVE_INFINITY;
    this.#duties = new Set();
    this.#parts.log.error(
      { node: this.name },
      'this node could not renew its lease: it lets go of its connections, and answers for the hub again when the database is there',
    );
    this.#tell((watcher) => watcher.lost?.());
  }

  /** With the next renewal nodes that have gone are looked for, though none is missed. */
  buryAgain(): void {
    this.#buriesLeft = 0;
  }

  /** Once in a while also where nobody was missed: a node may have gone while nobody else was there. */
  async #bury(): Promise<void> {
    if (this.#buriesLeft-- > 0) return;
    this.#buriesLeft = BURY_EVERY;
    const buried = await this.#parts.store.bury(this.#own);
    if (buried.length > 0) this.#tell((watcher) => watcher.buried?.(buried));
  }

  /** @param asked Monotonic, before the database was: of a node that was met since then an absence says nothing */
  #heard(nodes: readonly LeasedNode[], asked: number): void {
    const now = this.#clock.monotonic();
    const there = new Set<string>();
    for (const { leaseMs, ...facts } of nodes) {
      if (facts.id === this.#own) continue;
      there.add(facts.id);
      const known = this.#others.get(facts.id);
      const until = Math.max(known?.until ?? 0, now + leaseMs);
      this.#others.set(facts.id, { facts, since: known?.since ?? now, until });
      if (known === undefined) this.#tell((watcher) => watcher.joined?.(facts));
    }
    for (const [id, { facts, since }] of this.#others) {
      if (there.has(id) || since > asked) continue;
      this.#others.delete(id);
      this.#buriesLeft = 0;
      this.#parts.log.info({ node: facts.name, id }, 'a node has gone');
      this.#tell((watcher) => watcher.left?.(facts));
    }
  }

  #tell(call: (watcher: MembershipWatcher) => void): void {
    for (const watcher of this.#watchers) {
      try {
        call(watcher);
      } catch (error) {
        this.#parts.log.error(
          { error },
          'what a change of nodes asks for could not be done: this is a fault of the hub',
        );
      }
    }
  }

  #freshId(): string {
    return processOf(this.#parts.node.name, this.#parts.random.bytes(8).toString('hex'));
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(ms, resolve));
  }
}

const soonAfter = (ms: number | undefined): number | undefined =>
  ms === undefined ? undefined : Math.max(limits.nodeRenewAgainMs, ms + 1);

/** Renewals between two looks for nodes that have gone unseen. */
const BURY_EVERY = 10;
