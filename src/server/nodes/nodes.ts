/**
 * This process as one of the nodes that serve a hub: its lease, the links to the others, and what is told and asked over them.
 * What each of them is told, and what happens where one cannot be reached, is in `docs/cluster.md`.
 */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import { HubError } from '../../core/errors.ts';
import type { EventLog } from '../../core/events/ports.ts';
import type { HubSecrets, NodeStore, Notice, ReceiverStore } from '../../core/nodes/ports.ts';
import type { NodeFacts } from '../../core/nodes/types.ts';
import type { Connections, Neighbours, Places } from '../../core/presence/places.ts';
import type { PresenceRoom } from '../../core/presence/presence.ts';
import type { PresenceStateStore } from '../../core/presence/states.ts';
import type { NodeStatus, NodesControl } from '../../protocols/shared/nodes-control.ts';
import type { ThreadLink } from '../threads/calls.ts';
import type { Elsewhere } from '../threads/change-feed.ts';
import { serveConnections } from '../threads/node-connections.ts';
import { ClearingUp } from './clearing-up.ts';
import { Comparing } from './comparing.ts';
import { endElsewhere } from './ending.ts';
import { leasedPlaces, withoutLease } from './leased-places.ts';
import { Membership, type MembershipParts } from './membership.ts';
import { type NodePort, openNodePort } from './node-port.ts';
import { type NodeTls, openNodeTls } from './node-tls.ts';
import { type GreetingCalls, Peer } from './peer.ts';
import { NodeReceivers } from './receivers.ts';
import { NodeRows, type RowCalls } from './rows.ts';
import { type Greeting, type NodeNotice, WORDS } from './words.ts';

/** What nodes share beside the stores of rooms. */
export interface NodeStores {
  readonly nodes: NodeStore;
  readonly receivers: ReceiverStore;
  readonly secrets: HubSecrets;
  /** What the node of that name has said of who is connected. */
  presenceOf(node: string): PresenceStateStore;
}

export interface NodesParts extends Omit<MembershipParts, 'store'> {
  readonly stores: NodeStores;
  readonly places: Places;
  /** Absent = those of this program. */
  readonly words?: number;
  /** What connections of this node write to. */
  readonly logs: readonly EventLog[];
  readonly hubName: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** What of this node others reach, once it is put together. */
export interface OwnRooms {
  readonly presence: PresenceRoom;
  /** Nothing that is remembered may be believed any more. */
  forgetAll(): void;
  /** Who was connected at a node that has gone is not any more. */
  recover(states: PresenceStateStore): Promise<void>;
  /** Which rows of the fleet this node has changed; absent = it tells nobody. */
  readonly rows?: RowCalls;
  /** Hears what another node has told, by note. */
  readonly heard: Readonly<Record<string, (value: never) => void>>;
}

export class Nodes implements NodesControl {
  readonly membership: Membership;
  /** As presence wants it. */
  readonly presence: Neighbours;
  /** Places that are not claimed without a lease. */
  readonly places: Places;
  readonly receivers: NodeReceivers;
  /** Other nodes as a change feed tells them. */
  readonly elsewhere: Elsewhere;
  /** Which rows of the fleet they change. */
  readonly rows: NodeRows;
  readonly #parts: NodesParts;
  readonly #peers = new Map<string, Peer>();
  readonly #comparing: Comparing;
  /** The others are to compare theirs, too: what became of a claim of this node is not known. */
  #isUnsure = false;
  /** Notes without a value that are told at the end of this turn, each once. */
  readonly #soon = new Set<string>();
  #tls: NodeTls | undefined;
  #port: NodePort | undefined;
  #rooms: OwnRooms | undefined;

  constructor(parts: NodesParts) {
    this.#parts = parts;
    const { clock, log } = parts;
    this.#comparing = new Comparing({ clock, log, compare: async () => this.#rooms?.presence.compare() });
    const devices = (): number => this.#rooms?.presence.held() ?? 0;
    this.membership = new Membership({ ...parts, devices, store: parts.stores.nodes });
    const { membership } = this;
    const others = (): readonly Connections[] => [...this.#peers.values()].map(({ connections }) => connections);
    this.presence = {
      get own() {
        return membership.own;
      },
      of: (node) => this.#peers.get(node)?.connections,
      settled: async () => {
        await Promise.all(parts.logs.map(settled));
      },
      endElsewhere: (key) => endElsewhere(key, { membership, others, clock, log }),
    };
    this.places = leasedPlaces(parts.places, membership, () => {
      this.#isUnsure = true;
      this.#comparing.soon();
    });
    this.receivers = new NodeReceivers({
      store: parts.stores.receivers,
      own: () => membership.own,
      isValid: () => membership.isValid,
      displace: (node, receiver, newcomer) => this.#peers.get(node)?.displaced(receiver, newcomer) ?? Promise.resolve(),
      log: parts.log,
    });
    this.elsewhere = {
      tell: (store, change) => this.tellAll(`changed ${store}`, change),
      heard: async () => {
        await Promise.all([...this.#peers.values()].map((peer) => peer.heard()));
        if (!membership.isValid) throw withoutLease();
      },
    };
    const clearing = new ClearingUp({
      ...{ membership, places: parts.places, stores: parts.stores, log },
      rooms: () => this.#rooms,
      peers: () => [...this.#peers.values()],
    });
    membership.watch({
      joined: (facts) => this.#joined(facts),
      left: ({ id }) => {
        this.#peers.get(id)?.gone();
        this.#peers.delete(id);
        // It may have displaced connections, and have died before it could tell.
        this.#comparing.soon();
      },
      renewed: () => this.#renewed(),
      lost: () => this.#letGo(),
      rejoined: async () => {
        const { own } = membership;
        const isOver = (): boolean => membership.own !== own;
        await Promise.all([...this.#peers.values()].map((peer) => peer.greetAgain(isOver)));
      },
      regained: () => this.#rooms?.forgetAll(),
      notices: (notices) => this.#take(notices),
      buried: (gone) => void clearing.after(gone),
    });
    this.rows = new NodeRows({ membership, peer: (id) => this.#peers.get(id), clock, log });
  }

  /** Tells every other node, now or as soon as it can be reached. */
  tellAll(note: string, value: unknown): void {
    for (const peer of this.#peers.values()) peer.tell(note, value);
  }

  /** Tells every other node that there is something new, once for all of this turn. */
  hint(note: string): void {
    if (this.#soon.has(note)) return;
    this.#soon.add(note);
    setImmediate(() => {
      this.#soon.delete(note);
      this.tellAll(note, undefined);
    });
  }

  /** The way to the living node of that id; undefined = it has gone, or is this one. */
  peer(id: string): Peer | undefined {
    return this.#peers.get(id);
  }

  /**
   * Joins the others: from here on this node is told of what changes, so that it may let devices in.
   * @throws Error whose message says what to do
   */
  async join(rooms: OwnRooms, { port, addresses }: { readonly port: number; readonly addresses: readonly string[] }) {
    const { stores, hubName, clock, random, log } = this.#parts;
    this.#rooms = rooms;
    this.#tls = await openNodeTls({ secrets: stores.secrets, hubName, clock, random });
    const accept = (link: ThreadLink, greeted: () => void): void => this.#accept(link, greeted);
    this.#port = await openNodePort({ port, addresses, tls: this.#tls, clock, log, accept });
    await this.membership.join(this.#port.port);
    // Each knows this one when it has greeted it; what it told before then is not remembered here.
    await Promise.all([...this.#peers.values()].map((peer) => peer.reached(2 * limits.nodeLeaseMs)));
    rooms.forgetAll();
  }

  async list(): Promise<readonly NodeStatus[]> {
    const { own } = this.membership;
    return (await this.#parts.stores.nodes.list()).map((node) => ({ ...node, isAnswering: node.id === own }));
  }

  async drain(name: string): Promise<NodeStatus | undefined> {
    const facts = await this.#parts.stores.nodes.drain(name);
    if (facts === undefined) return undefined;
    if (facts.id === this.membership.own) await this.membership.renew();
    else await this.#peers.get(facts.id)?.look();
    return (await this.list()).find(({ id }) => id === facts.id);
  }

  /** Names of the other nodes that cannot be reached at the moment. */
  unreached(): readonly string[] {
    return [...this.#peers.values()].filter((peer) => !peer.isReached).map(({ facts }) => facts.name);
  }

  get port(): number | undefined {
    return this.#port?.port;
  }

  /** Ends the lease and the links; connections were ended before. */
  async close(): Promise<void> {
    await this.membership.leave();
    for (const peer of this.#peers.values()) peer.gone();
    this.#peers.clear();
    await this.#port?.close();
  }

  #joined(facts: NodeFacts): void {
    const { clock, log, stores } = this.#parts;
    const nodeTls = this.#tls;
    if (nodeTls === undefined) return;
    const greeting = (): Greeting => this.#greeting();
    const parts = { facts, membership: this.membership, store: stores.nodes, tls: nodeTls, greeting, clock, log };
    this.#peers.set(facts.id, new Peer(parts));
  }

  #greeting(): Greeting {
    const { membership } = this;
    return {
      id: membership.own,
      name: membership.name,
      version: this.#parts.node.version,
      words: this.#parts.words ?? WORDS,
    };
  }

  #accept(link: ThreadLink, greeted: () => void): void {
    let isKnown = false;
    const known = <Args extends readonly unknown[]>(work: (...args: Args) => Promise<void>) => {
      return async (...args: Args): Promise<void> => {
        if (!isKnown) throw new HubError('ServiceUnavailable', undefined, { reason: 'the link was not greeted' });
        await work(...args);
      };
    };
    link.serve('nodes', {
      hello: async ({ id, words }) => {
        const own = this.#parts.words ?? WORDS;
        if (Math.abs(words - own) > 1) {
          const reason = `nodes of form ${words} and ${own} cannot talk`;
          throw new HubError('PreconditionFailed', undefined, { reason });
        }
        if (this.membership.of(id) === undefined) await this.membership.look();
        if (this.membership.of(id) === undefined) {
          throw new HubError('ServiceUnavailable', undefined, { reason: 'the node that greets has no lease' });
        }
        greeted();
        if (!isKnown) this.#serve(link);
        isKnown = true;
        return this.#greeting();
      },
      heard: known(async () => {}),
      displaced: known((receiver: number, newcomer: string) => this.receivers.displaced(receiver, newcomer)),
      look: known(() => this.membership.renew()),
      compare: known(async () => this.#rooms?.presence.compare()),
    } satisfies GreetingCalls);
  }

  /** To a node that has said which one it is. */
  #serve(link: ThreadLink): void {
    const rooms = this.#rooms;
    if (rooms === undefined) return;
    serveConnections(link, rooms.presence.connections);
    if (rooms.rows !== undefined) link.serve('rows', rooms.rows);
    for (const [note, heard] of Object.entries(rooms.heard)) link.on(note, heard);
    link.on('anew', () => this.#letGo());
    link.on('places unsure', () => this.#comparing.soon());
  }

  #renewed(): void {
    // The database is there again.
    if (this.#isUnsure) this.tellAll('places unsure', undefined);
    this.#isUnsure = false;
    void this.#comparing.renewed();
  }

  /** This node holds nothing any more that another could not have. */
  #letGo(): void {
    this.receivers.dropAll();
    this.#rooms?.forgetAll();
    this.#rooms?.presence.dropAll('storage-failed').catch((error: unknown) => {
      this.#parts.log.error({ error }, 'connections of a node without a lease could not be ended');
    });
  }

  async #take(notices: readonly Notice[]): Promise<void> {
    await Promise.all(notices.map(({ body }) => this.#takeOne(JSON.parse(body) as NodeNotice)));
  }

  async #takeOne(notice: NodeNotice): Promise<void> {
    const rooms = this.#rooms;
    if (rooms === undefined) return;
    switch (notice.kind) {
      case 'drop':
        await rooms.presence.connections.drop(notice.place, notice.reason);
        return;
      case 'end':
        await rooms.presence.connections.end(notice.key, notice.reason);
        return;
      case 'compare':
        await rooms.presence.compare();
        return;
      case 'displaced':
        await this.receivers.displaced(notice.receiver, notice.newcomer);
        return;
      case 'told':
        for (const [note, value] of notice.tales) this.#hear(rooms, note, value);
        return;
      case 'anew':
        this.#letGo();
        return;
    }
  }

  /** What a link would have brought. */
  #hear({ presence: { connections }, heard }: OwnRooms, note: string, value: unknown): void {
    if (note === 'node wakes') connections.wake(value as never);
    else if (note === 'node notifies') connections.notify(...(value as Parameters<Connections['notify']>));
    else if (note === 'places unsure') this.#comparing.soon();
    else heard[note]?.(value as never);
  }
}

/** Resolves when everything handed over to the log before is durable or has failed. */
function settled({ writer }: EventLog): Promise<void> {
  if (writer.pendingBytes === 0) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => resolve();
    writer.await({ batchDurable: done, batchFailed: done });
  });
}
