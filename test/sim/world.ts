import { createHash } from 'node:crypto';
import { seededRandom } from '../../src/base/random.ts';
import { type Plan, seedOf } from './plan.ts';
import { Scheduler } from './scheduler.ts';

export type Dice = ReturnType<typeof dice>;

/** Choices of one actor. */
export function dice(seed: number, name: string) {
  const random = seededRandom(seedOf(seed, name));
  const next = (): number => random.next();
  return {
    random,
    next,
    chance: (probability: number): boolean => next() < probability,
    /** A whole number, both ends included. */
    between: (low: number, high: number): number => Math.floor(low + next() * (high - low + 1)),
    pick: <Value>(values: readonly Value[]): Value => values[Math.floor(next() * values.length)],
    /** A wait of this mean: mostly short ones, and some long ones. */
    wait: (meanMs: number): number => -meanMs * Math.log(1 - next()),
  };
}

/** What was found wrong. */
export class Finding extends Error {
  override readonly name = 'Finding';
}

export interface Counters {
  crashes: number;
  stops: number;
  memberDeaths: number;
  linkBreaks: number;
  /** Brokers that have died or hung. */
  brokerFaults: number;
  /** Answers of the database that were lost. */
  lostAnswers: number;
  diskFaults: number;
  tableFaults: number;
  fullDisks: number;
  clockJumps: number;
  brokenConnections: number;
  vanishedPeers: number;
  stalledPeers: number;
  connections: number;
  /** Over HTTP. */
  requests: number;
  events: number;
  /** By AMQP. */
  eventsRead: number;
  acknowledgements: number;
  redeliveries: number;
  /** Answered to devices and back ends. */
  twinChanges: number;
  pushes: number;
  methods: number;
  /** Of routes, answered. */
  routeChanges: number;
  /** Requests that an endpoint of the routes did not carry out and answer as it should. */
  endpointFaults: number;
  /** Events that endpoints have taken, each for the first time and once more. */
  delivered: number;
  deliveredAgain: number;
}

const LINES_KEPT = 400;

/** What all actors of one simulation share. */
export class World {
  readonly plan: Plan;
  readonly scheduler: Scheduler;
  readonly counters: Counters = {
    crashes: 0,
    stops: 0,
    memberDeaths: 0,
    linkBreaks: 0,
    brokerFaults: 0,
    lostAnswers: 0,
    diskFaults: 0,
    tableFaults: 0,
    fullDisks: 0,
    clockJumps: 0,
    brokenConnections: 0,
    vanishedPeers: 0,
    stalledPeers: 0,
    connections: 0,
    requests: 0,
    events: 0,
    eventsRead: 0,
    acknowledgements: 0,
    redeliveries: 0,
    twinChanges: 0,
    pushes: 0,
    methods: 0,
    routeChanges: 0,
    endpointFaults: 0,
    delivered: 0,
    deliveredAgain: 0,
  };
  /** Set when faults have ended: everybody does what is left to do, and does it well. */
  calm = false;
  calmSince = 0;
  /** Set when all is at rest. */
  over = false;
  /** The furthest that the wall clock has shown. */
  wallMax: number;
  /** How far the wall clock was set, all together. */
  jumpedMs = 0;
  finding: Error | undefined;
  readonly #hash = createHash('sha256');
  readonly #lines: string[] = [];
  readonly #print: boolean;
  readonly #begunAt: number;

  constructor(plan: Plan, print = false) {
    this.plan = plan;
    this.scheduler = new Scheduler(Date.UTC(2026, 0, 1));
    this.#begunAt = this.scheduler.now();
    this.wallMax = this.#begunAt;
    this.#print = print;
  }

  /** How much longer than at work everybody waits between two looks: the longer all is calm, the more. */
  get patience(): number {
    return this.calm ? 1 + Math.min(30, (this.scheduler.monotonic() - this.calmSince) / 5000) : 1;
  }

  /** UTC milliseconds of the clock that gives events their times: that of the hub's machine, which is set, or the brokers'. */
  get logNow(): number {
    return this.plan.cluster ? this.#begunAt + Math.floor(this.scheduler.monotonic()) : this.scheduler.now();
  }

  dice(name: string): Dice {
    return dice(this.plan.seed, name);
  }

  /** One line of what happens; two runs of a plan give the same lines. */
  trace(who: string, what: string): void {
    const line = `${this.scheduler.monotonic().toFixed(3)} ${who}: ${what}`;
    this.#hash.update(`${line}\n`);
    this.#lines.push(line);
    if (this.#lines.length > 2 * LINES_KEPT) this.#lines.splice(0, LINES_KEPT);
    if (this.#print) process.stdout.write(`${line}\n`);
  }

  get lastLines(): readonly string[] {
    return this.#lines.slice(-LINES_KEPT);
  }

  traceHash(): string {
    return this.#hash.copy().digest('hex');
  }

  /** Remembers what is wrong; the first finding ends the simulation. */
  find(what: string): void {
    if (this.finding !== undefined) return;
    this.finding = new Finding(what);
    this.trace('checker', what);
  }

  check(holds: boolean, what: () => string): void {
    if (!holds) this.find(what());
  }

  /** Runs an actor. What it throws is a fault of the simulation or of the hub: both are findings. */
  act(name: string, work: () => Promise<void>): void {
    work().catch((error: unknown) => {
      this.finding ??= error instanceof Error ? error : new Error(String(error));
      this.trace(name, `failed: ${error}`);
    });
  }

  jump(byMs: number): void {
    this.latest();
    this.jumpedMs += Math.abs(byMs);
    this.scheduler.jump(byMs);
  }

  /** The latest that any clock reading so far may have been. */
  latest(): number {
    this.wallMax = Math.max(this.wallMax, this.scheduler.now());
    return this.wallMax;
  }
}
