/**
 * One AMQP connection of a peer: SASL, one session, a pair of links to `$cbs`, and what its owner attaches. It has no
 * timers; libraries do. It knows one truth of the hub's side, read from what the hub writes before the network has it: which
 * links the hub holds.
 */
import { FrameSplitter, type Input } from '../../src/wire/amqp/frames.ts';
import { readCorrelationId, readMessage } from '../../src/wire/amqp/message.ts';
import { AmqpReader, type AmqpValue, Described } from '../../src/wire/amqp/values.ts';
import { anonymous, HEADER, SASL_HEADER } from '../drivers/amqp-bytes.ts';
import {
  type AttachOptions,
  attachFrame,
  beginFrame,
  closeFrame,
  type OutcomeName,
  openFrame,
  outcomes,
  putTokenMessage,
} from './amqp-frames.ts';
import { AmqpLink, type LinkEvents, type Verdict } from './amqp-link.ts';
import type { HubHost } from './hub-host.ts';
import type { Doors } from './members.ts';
import { Connection } from './network.ts';
import type { Dice, World } from './world.ts';

export interface ClientEvents {
  /** The hub answers: tokens can be put. */
  ready(): void;
  closed(condition: string | undefined): void;
}

interface Waiting {
  readonly link: AmqpLink;
  told(verdict: Verdict | undefined): void;
}

/** Frames of the hub are not larger than it says everywhere. */
const FRAME_BYTES_MAX = 64 * 1024;
const SILENCE_MS = 240_000;
const EMPTY_FRAME = Buffer.from([0, 0, 0, 8, 2, 0, 0, 0]);

export class AmqpClient {
  readonly connection: Connection;
  /** Largest frame that either side sends. */
  readonly frameBytesMax: number;
  isReady = false;
  readonly #world: World;
  readonly #name: string;
  readonly #dice: Dice;
  readonly #events: ClientEvents;
  readonly #links = new Map<number, AmqpLink>();
  readonly #read = new FrameSplitter(FRAME_BYTES_MAX);
  readonly #written = new FrameSplitter(FRAME_BYTES_MAX);
  readonly #window: number;
  #handles = 0;
  #deliveries = 0;
  #transfersSeen = 0;
  #windowLeft: number;
  #isOver = false;
  /** By delivery: of the peer's own, and of the hub's. */
  readonly #sent = new Map<number, Waiting>();
  readonly #settled = new Map<number, Waiting>();
  readonly #tokens = new Map<string, (isGranted: boolean | undefined) => void>();
  #tokensPut = 0;
  #requests: AmqpLink | undefined;

  /** Opens a connection to the hub that runs now; undefined when none does. */
  static open(world: World, host: HubHost, name: string, events: ClientEvents): AmqpClient | undefined {
    const doors = host.running?.doors(name);
    return doors && new AmqpClient(world, doors, name, events);
  }

  private constructor(world: World, doors: Doors, name: string, events: ClientEvents) {
    this.#world = world;
    this.#name = name;
    this.#events = events;
    const dice = world.dice(name);
    this.#dice = dice;
    this.frameBytesMax = dice.pick([512, 4096, FRAME_BYTES_MAX]);
    this.#window = dice.pick([8, 100, 10_000]);
    this.#windowLeft = this.#window;
    this.connection = new Connection(world.scheduler, dice, doors.life, {
      bytes: (chunk) => this.#take(this.#read, chunk, (input) => this.#received(input)),
      written: (chunk) => this.#take(this.#written, chunk, (input) => this.#hubWrote(input)),
      closed: () => this.#over(undefined),
    });
    world.counters.connections++;
    doors.amqp.accept(this.connection.hubEnd, { protocol: 'amqp', peer: '127.0.0.1' });
    this.send(Buffer.concat([SASL_HEADER, anonymous()]));
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Some of it comes in two parts. */
  send(bytes: Buffer): void {
    const cut = this.#dice.chance(0.1) ? this.#dice.between(1, bytes.length) : bytes.length;
    this.connection.send(bytes.subarray(0, cut));
    if (cut < bytes.length) this.connection.send(bytes.subarray(cut));
  }

  /** A sign of life: the hub gives up who says nothing for minutes. */
  beat(): void {
    this.send(EMPTY_FRAME);
  }

  attach(name: string, options: AttachOptions, events: LinkEvents): AmqpLink {
    const link = new AmqpLink(this, this.#handles++, options, events);
    this.#links.set(link.handle, link);
    this.send(attachFrame(`${name}-${link.handle}`, link.handle, options));
    return link;
  }

  /** Undefined: the connection was over before the hub had answered. */
  putToken(audience: string, token: string): Promise<boolean | undefined> {
    const id = `token${this.#tokensPut++}`;
    return new Promise((resolve) => {
      if (this.#requests === undefined || this.#requests.credit === 0 || this.#isOver) {
        resolve(undefined);
        return;
      }
      this.#tokens.set(id, resolve);
      this.#requests.send(putTokenMessage(id, audience, token), { format: 0, settled: true }, () => {});
    });
  }

  /** Says good-bye, and goes. */
  close(): void {
    if (this.#isOver) return;
    this.send(closeFrame());
    this.connection.close();
    this.#over(undefined);
  }

  /** The owner has cut the connection, and hears no more of it. */
  abandon(): void {
    this.#over(undefined);
  }

  /** @internal a delivery's number; `waiting` hears of its end */
  nextDelivery(waiting: Waiting | undefined): number {
    const id = this.#deliveries++;
    if (waiting !== undefined) this.#sent.set(id, waiting);
    return id;
  }

  /** @internal the hub is to answer a disposition */
  awaitVerdict(id: number, waiting: Waiting): void {
    this.#settled.set(id, waiting);
  }

  /** @internal what a flow says of the session: its whole window is free again */
  window(): readonly [seen: number, window: number] {
    this.#windowLeft = this.#window;
    return [this.#transfersSeen, this.#window];
  }

  #take(splitter: FrameSplitter, chunk: Buffer, each: (input: Input) => void): void {
    try {
      for (const input of splitter.push(chunk)) {
        // Behind the outcome of SASL another protocol begins.
        if (input.kind === 'frame' && input.code === 0x44) splitter.expectHeader();
        each(input);
      }
    } catch (error) {
      this.#world.find(`${this.#name} received what is not AMQP: ${error}`);
    }
  }

  #hubWrote(input: Input): void {
    if (input.kind === 'header') return;
    const { code, fields } = input;
    if (code === 0x12 || code === 0x16) {
      const link = this.#links.get(Number(fields[code === 0x12 ? 1 : 0]));
      if (link !== undefined) link.isHeldByHub = code === 0x12;
    } else if (code === 0x17 || code === 0x18) {
      for (const link of this.#links.values()) link.isHeldByHub = false;
    }
  }

  #received(input: Input): void {
    if (input.kind === 'header' || this.#isOver) return;
    const { code, fields, payload } = input;
    const link = (field: number): AmqpLink | undefined => this.#links.get(Number(fields[field]));
    switch (code) {
      case 0x44:
        this.#world.check(fields[0] === 0, () => `${this.#name} is refused by SASL`);
        this.send(Buffer.concat([HEADER, openFrame(this.frameBytesMax, SILENCE_MS), beginFrame(this.#window)]));
        this.#openCbs();
        return;
      case 0x12:
        link(1)?.attached();
        return;
      case 0x13:
        if (fields[4] !== null) link(4)?.flow(Number(fields[5]), Number(fields[6]));
        return;
      case 0x14:
        this.#transfersSeen++;
        this.#windowLeft--;
        link(0)?.transfer(Number(fields[1]), Buffer.from(payload), fields[5] === true);
        if (this.#windowLeft <= this.#window / 2) this.#widen();
        return;
      case 0x15:
        this.#disposed(fields[0] === true ? this.#sent : this.#settled, fields);
        return;
      case 0x16:
        link(0)?.detached(conditionOf(fields[2]));
        return;
      case 0x17:
      case 0x18:
        this.connection.close();
        this.#over(conditionOf(fields[0]) ?? 'ended');
    }
  }

  #openCbs(): void {
    const answers = this.attach(
      'cbs',
      { address: '$cbs', receives: true },
      { message: ({ payload }) => this.#token(payload) },
    );
    answers.receive(50);
    this.#requests = this.attach(
      'cbs',
      { address: '$cbs', receives: false },
      {
        credit: () => {
          if (this.isReady) return;
          this.isReady = true;
          this.#events.ready();
        },
      },
    );
  }

  #token(payload: Buffer): void {
    const { applicationProperties } = readMessage(payload);
    const correlation = readCorrelationId(payload);
    const id = correlation === undefined ? '' : String(new AmqpReader(correlation).value());
    const told = this.#tokens.get(id);
    this.#world.check(told !== undefined, () => `${this.#name} is answered a token that it has not put: ${id}`);
    this.#tokens.delete(id);
    told?.(applicationProperties.get('status-code') === 200);
  }

  #disposed(waiting: Map<number, Waiting>, fields: readonly AmqpValue[]): void {
    const state = fields[4];
    if (!(state instanceof Described)) return;
    const outcome = (Object.keys(outcomes) as OutcomeName[]).find((name) => outcomes[name] === state.descriptor);
    if (outcome === undefined) return;
    const condition = Array.isArray(state.value) ? conditionOf(state.value[0]) : undefined;
    const last = Number(fields[2] ?? fields[1]);
    for (let id = Number(fields[1]); id <= last; id++) {
      const found = waiting.get(id);
      waiting.delete(id);
      found?.told({ outcome, condition });
    }
  }

  #widen(): void {
    const any = this.#links.get(0);
    if (any === undefined) return;
    any.receive(50);
  }

  #over(condition: string | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const link of this.#links.values()) link.end(condition);
    for (const { told } of [...this.#sent.values(), ...this.#settled.values()]) told(undefined);
    for (const told of this.#tokens.values()) told(undefined);
    this.#events.closed(condition);
  }
}

/** The condition of an error; undefined where there is none. */
function conditionOf(error: AmqpValue | undefined): string | undefined {
  if (!(error instanceof Described) || !Array.isArray(error.value)) return undefined;
  return String(error.value[0]);
}
