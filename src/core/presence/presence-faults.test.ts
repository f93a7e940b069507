/**
 * Presence over nodes that die, over a database that loses answers and carries out late what it has lost the answer to, and over links that
 * refuse: whoever is let in is alone, and nothing that another connection of the identity has handed over is on its way then. Random; the seed is told.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { seededRandom } from '../../base/random.ts';
import { createMemoryPlaces } from '../../stores/memory/places.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { Connections, PlaceOutcome, Places } from './places.ts';
import type { PresenceTicket } from './ports.ts';
import { createPresence, type PresenceRoom } from './presence.ts';

const SEED = Number(process.env.MOORING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const RUNS = Number(process.env.MOORING_TEST_PRESENCE_RUNS ?? 15);
const [NODES, DEVICES] = [3, 3];
/** Faults come for so long; then it is looked whether every device gets in, which takes as long at most. */
const [FAULTS_MS, CALM_MS] = [4000, 4000];
/** How often, per millisecond or per call. */
const CHANCES = { claim: 0.05, leave: 0.005, write: 0.3, death: 0.001, lost: 0.06, refused: 0.03 };
/** The longest that each takes. */
const LONGEST_MS = { call: 15, write: 40, late: 400, lease: 150, seen: 60 };
const COMPARE_MS = 300;

interface Connected {
  readonly name: string;
  readonly node: Node;
  readonly deviceId: string;
  state: 'claims' | 'in' | 'ended';
  ticket?: PresenceTicket;
}

interface Write {
  readonly of: Connected;
  readonly done: Promise<void>;
}

interface Node {
  readonly id: string;
  readonly room: PresenceRoom;
  isAlive: boolean;
  /** Its lease is over by the database's time: nothing of it is carried out any more. */
  isOver: boolean;
  readonly writes: Set<Write>;
  /** Those that have seen that this one has gone. */
  readonly seenBy: Set<string>;
}

class World {
  readonly clock = new VirtualClock();
  readonly places = createMemoryPlaces();
  readonly nodes: Node[] = [];
  readonly connected: Connected[] = [];
  readonly wrong: string[] = [];
  readonly counts = { in: 0, refused: 0, lost: 0, deaths: 0 };
  readonly trace: string[] = [];
  isCalm = false;
  readonly #next: () => number;
  #made = 0;

  constructor(seed: number) {
    this.#next = seededRandom(seed).next;
    for (let at = 0; at < NODES; at++) this.#start();
  }

  chance(of: number): boolean {
    return this.#next() < of;
  }

  pick<Value>(all: readonly Value[]): Value {
    return all[Math.floor(this.#next() * all.length)];
  }

  pause(msMax: number): Promise<void> {
    return new Promise((resolve) => void this.clock.after(1 + Math.floor(this.#next() * msMax), resolve));
  }

  get living(): readonly Node[] {
    return this.nodes.filter(({ isAlive }) => isAlive);
  }

  note(what: string): void {
    this.trace.push(`${this.clock.monotonic()} ${what}`);
  }

  /** One millisecond. */
  async step(): Promise<void> {
    const hasFaults = !this.isCalm;
    if (hasFaults && this.chance(CHANCES.claim)) this.connect(`d${Math.floor(this.#next() * DEVICES)}`);
    for (const each of this.connected.filter(({ state }) => state === 'in')) {
      if (hasFaults && this.chance(CHANCES.leave)) this.#leave(each);
      else if (this.chance(CHANCES.write)) this.#write(each);
    }
    if (hasFaults && this.chance(CHANCES.death) && this.living.length > 1) this.#kill(this.pick(this.living));
    if (this.clock.monotonic() % COMPARE_MS === 0) for (const { room } of this.living) room.compare().catch(() => {});
    this.clock.advance(1);
    await new Promise((resolve) => setImmediate(resolve));
  }

  connect(deviceId: string): Connected {
    const node = this.pick(this.living);
    const each: Connected = { name: `${deviceId}#${this.#made++}@${node.id}`, node, deviceId, state: 'claims' };
    this.connected.push(each);
    this.note(`${each.name} claims`);
    const claim = {
      ...({ key: { deviceId }, generationId: 'g1', protocol: 'mqtt', credential: 'sas', peer: '127.0.0.1' } as const),
      drop: (reason: string): void => {
        this.note(`${each.name} is dropped: ${reason}`);
        each.state = 'ended';
      },
    };
    node.room.claim(claim).then(
      (ticket) => {
        if (!node.isAlive || each.state !== 'claims') return;
        each.ticket = ticket;
        each.state = 'in';
        this.counts.in++;
        this.note(`${each.name} is in`);
        this.#check(each);
      },
      () => {
        this.counts.refused++;
        each.state = 'ended';
        this.note(`${each.name} is refused`);
      },
    );
    return each;
  }

  #check(newest: Connected): void {
    const others = this.connected.filter(
      (each) => each !== newest && each.deviceId === newest.deviceId && each.node.isAlive,
    );
    for (const each of others) {
      if (each.state === 'in') this.wrong.push(`${newest.name} is in beside ${each.name}`);
      else if (each.node !== newest.node && [...each.node.writes].some(({ of }) => of === each)) {
        this.wrong.push(`${newest.name} is in, and something of ${each.name} is on its way`);
      }
    }
    if (this.wrong.length > 0) this.note(this.wrong[0]);
  }

  #leave(each: Connected): void {
    this.note(`${each.name} leaves`);
    each.state = 'ended';
    each.ticket?.release('by-client');
  }

  #write(of: Connected): void {
    const { writes } = of.node;
    const before = [...writes].at(-1)?.done;
    const write: Write = {
      of,
      done: Promise.all([before, this.pause(LONGEST_MS.write)]).then(() => void writes.delete(write)),
    };
    writes.add(write);
  }

  #kill(node: Node): void {
    this.counts.deaths++;
    this.note(`${node.id} dies`);
    node.isAlive = false;
    for (const each of this.connected) if (each.node === node) each.state = 'ended';
    void (async () => {
      await this.pause(LONGEST_MS.lease);
      node.isOver = true;
      this.note(`the lease of ${node.id} is over`);
      await Promise.all(this.living.map((other) => this.pause(LONGEST_MS.seen).then(() => node.seenBy.add(other.id))));
      await this.#clearUp(node);
    })();
    this.#start();
  }

  /** Of those that live one does it; where that dies, another one. */
  async #clearUp(gone: Node): Promise<void> {
    for (let isDone = false; !isDone; ) {
      const own = this.pick(this.living);
      gone.seenBy.add(own.id);
      const work = async (): Promise<void> => {
        const others = this.living.filter((node) => node !== own);
        await Promise.all([
          own.room.compare(),
          ...others.map((node) => this.#call(own.id, node, () => node.room.compare())),
        ]);
        if (!own.isAlive) return;
        await this.places.leave(gone.id);
        this.note(`${own.id} has cleared up after ${gone.id}`);
        isDone = true;
      };
      await Promise.race([work().catch(() => {}), this.#hasDied(own)]);
      await this.pause(LONGEST_MS.call);
    }
  }

  async #hasDied(node: Node): Promise<void> {
    while (node.isAlive) await this.pause(LONGEST_MS.lease);
  }

  /** A call over a link is answered, or its node is seen to have gone. */
  async #call(from: string, to: Node, work: () => Promise<void>): Promise<void> {
    await this.pause(LONGEST_MS.call);
    if (to.isAlive) {
      await Promise.race([work(), this.#hasDied(to)]);
      await this.pause(LONGEST_MS.call);
    }
    while (!to.isAlive && !to.seenBy.has(from)) await this.pause(LONGEST_MS.call);
  }

  #start(): void {
    const id = `n${this.nodes.length}`;
    const of = (name: string): Connections | undefined => {
      const node = this.nodes.find((each) => each.id === name);
      return node === undefined || node.seenBy.has(id) ? undefined : this.#connections(id, node);
    };
    const endElsewhere = async (key: IdentityKey): Promise<void> => {
      for (;;) {
        const others = this.nodes.filter((node) => node.id !== id && of(node.id) !== undefined);
        try {
          await Promise.all(others.map((node) => this.#connections(id, node).end(key, 'taken-over')));
          return;
        } catch {
          await this.pause(LONGEST_MS.call);
        }
      }
    };
    const settled = async (): Promise<void> => {
      await Promise.all([...node.writes].map(({ done }) => done));
    };
    const places = this.#placesOf(() => node);
    const room = createPresence({ places, clock: this.clock, nodes: { own: id, of, settled, endElsewhere } });
    const node: Node = { id, room, isAlive: true, isOver: false, writes: new Set(), seenBy: new Set() };
    // It has met those that it does not find among the living.
    for (const other of this.nodes) if (other.isOver) other.seenBy.add(id);
    this.nodes.push(node);
  }

  #connections(from: string, to: Node): Connections {
    const reached = async (work: () => Promise<void>): Promise<void> => {
      if (!this.isCalm && this.chance(CHANCES.refused)) throw new Error('refused');
      await this.#call(from, to, work);
    };
    return {
      ...to.room.connections,
      drop: (place, reason) => reached(() => to.room.connections.drop(place, reason)),
      end: (key, reason) => reached(() => to.room.connections.end(key, reason)),
    };
  }

  #placesOf(own: () => Node): Places {
    const { places } = this;
    const lost = (): boolean => !this.isCalm && this.chance(CHANCES.lost);
    const isTold = async (): Promise<void> => {
      await this.pause(LONGEST_MS.call);
      // A node that is dead hears nothing.
      if (!own().isAlive) await new Promise(() => {});
    };
    /** Carries it out now, late or never. */
    const perhaps = (work: () => Promise<unknown>): void => {
      const late = this.pick([0, 1, LONGEST_MS.late, undefined]);
      if (late === undefined) return;
      void this.pause(late).then(() => (own().isOver ? undefined : work()));
    };
    return {
      ...places,
      claim: async (claims) => {
        await this.pause(LONGEST_MS.call);
        const { isOver } = own();
        const isLost = lost();
        if (isLost) {
          this.counts.lost++;
          this.note(
            `the answer to claims of ${own().id} is lost: ${claims.map(({ key, connection }) => `${key.deviceId}/${connection}`)}`,
          );
          perhaps(() => places.claim(claims));
        }
        const outcomes = isLost || isOver ? [] : await places.claim(claims);
        await isTold();
        return isLost ? claims.map((): PlaceOutcome => ({ kind: 'unknown', error: new Error('lost') })) : outcomes;
      },
      release: async (holders) => {
        await this.pause(LONGEST_MS.call);
        const isLost = lost();
        if (isLost) perhaps(() => places.release(holders));
        else if (!own().isOver) await places.release(holders);
        await isTold();
        if (isLost) throw new Error('lost');
      },
      find: async (key) => {
        await this.pause(LONGEST_MS.call);
        return places.find(key);
      },
      of: async (node) => {
        await this.pause(LONGEST_MS.call);
        const all = await places.of(node);
        await isTold();
        return all;
      },
    };
  }
}

test('whoever is let in is alone, and comes behind all that others of the identity have handed over', async (t) => {
  const sums = { in: 0, refused: 0, lost: 0, deaths: 0 };
  for (let run = 0; run < RUNS; run++) {
    const seed = SEED + run;
    const world = new World(seed);
    const said = (): string =>
      `MOORING_TEST_SEED=${seed}: ${world.wrong[0] ?? ''}\n${world.trace.slice(-60).join('\n')}`;
    for (let ms = 0; ms < FAULTS_MS && world.wrong.length === 0; ms++) await world.step();
    world.isCalm = true;
    // Places that could not be freed are freed again after that time.
    for (let ms = 0; ms < CALM_MS; ms++) await world.step();
    world.clock.advance(limits.placesFreeAgainMs);
    const last = Array.from({ length: DEVICES }, (_, at) => world.connect(`d${at}`));
    for (let ms = 0; ms < CALM_MS && last.some(({ state }) => state === 'claims'); ms++) await world.step();
    assert.deepEqual(
      last.map(({ state }) => state),
      last.map(() => 'in'),
      said(),
    );
    assert.deepEqual(world.wrong, [], said());
    for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += world.counts[name];
  }
  t.diagnostic(`MOORING_TEST_SEED=${SEED}, ${RUNS} runs: ${JSON.stringify(sums)}`);
  assert.ok(sums.in > 50 * RUNS && sums.lost > 5 * RUNS && sums.deaths > RUNS, JSON.stringify(sums));
});
