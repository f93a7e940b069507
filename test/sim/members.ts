/**
 * Members of the simulated hub: hubs made of stand-ins, as listener threads have them, over links of the simulation. What
 * crosses a link is copied, arrives late and in order; of two members, what one has sent later may arrive earlier. A
 * member dies now and then: what it had sent arrives, then the hub hears of its end, and another is started. A link breaks now and
 * then: what is on its way is lost, the member hears of it and is to serve nobody from then on, and the hub gives it up later: as
 * with a lease, the side that serves is the first to know.
 */
import { limits } from '../../src/base/limits.ts';
import type { Log } from '../../src/base/log.ts';
import { type AmqpConnections, amqpConnections } from '../../src/protocols/amqp/connections.ts';
import { type MqttConnections, mqttConnections } from '../../src/protocols/mqtt/connections.ts';
import { type MemberPort, openThreadLink, type Packet } from '../../src/server/threads/calls.ts';
import { type HubHostParts, hubStart, serveHub } from '../../src/server/threads/hub-host.ts';
import { hubStandIn } from '../../src/server/threads/hub-stand-in.ts';
import type { Canary } from './canary.ts';
import { Life } from './scheduler.ts';
import type { Dice, World } from './world.ts';

const RESTART_MS = 500;
/** The longest until a member hears that its link is broken, and the mean until the hub gives it up after that. */
const HEARD_MS = 500;
const GIVEN_UP_MS = 1000;
/** By when a member that has heard it has let go of everything, also of peers that have sent nothing yet. */
const LEFT_MS = limits.handshakeMs + 5000;

/** Where connections are accepted: the hub's own loop, or one of its members. */
export interface Doors {
  readonly life: Life;
  readonly mqtt: MqttConnections;
  readonly amqp: AmqpConnections;
}

interface Member extends Doors {
  readonly name: string;
  /** Everything that it has taken is durable or has failed. */
  settled(): Promise<void>;
  /** Nothing crosses its link any more. */
  cut(): void;
  /** The hub gives it up. */
  givenUp(): void;
  /** It hears that its link has closed. */
  hears(): void;
}

export interface MembersParts {
  readonly world: World;
  readonly canary: Canary;
  /** Of the process that they are in. */
  readonly life: Life;
  readonly host: HubHostParts;
  logOf(life: Life): Log;
  readonly amqpsPort: number;
}

export class Members {
  readonly #parts: MembersParts;
  readonly #dice: Dice;
  readonly #members: Member[] = [];
  /** Those whose link is broken, whether or not they have heard of it. */
  readonly #broken = new Set<Member>();
  #started = 0;

  constructor(parts: MembersParts) {
    this.#parts = parts;
    const { world, life } = parts;
    this.#dice = world.dice(`members-${world.counters.crashes + world.counters.stops}`);
    for (let nth = 0; nth < world.plan.members; nth++) this.#start();
    life.onEnd(() => {
      for (const member of this.#members) member.life.end();
    });
    if (world.plan.memberDeathEveryMs > 0) this.#planDeath();
    if (world.plan.linkBreakEveryMs > 0) this.#planBreak();
  }

  /** The kernel gives a connection to any of those that run. */
  pick(dice: Dice): Doors | undefined {
    return this.#members.length === 0 ? undefined : dice.pick(this.#members);
  }

  async drain(): Promise<void> {
    await Promise.all(
      this.#members.map(async ({ life, mqtt, amqp, settled }) => {
        const drained = Promise.all([mqtt.drain(), amqp.drain()]).then(settled);
        await Promise.race([drained, new Promise<void>((resolve) => life.onEnd(resolve))]);
      }),
    );
  }

  #start(): void {
    const { world, canary, life: process, host, amqpsPort } = this.#parts;
    const name = `member ${++this.#started}`;
    const life = new Life(world.scheduler);
    const { main, own, whenArrived, cut } = linkedPorts(world, this.#dice, process, life);
    const link = openThreadLink(main);
    const presence = canary.memberPresence?.(host.hub.presence) ?? host.hub.presence;
    const end = serveHub(link, { ...host, hub: { ...host.hub, presence } }, name);
    const ownLink = openThreadLink(own);
    const standIn = hubStandIn(ownLink, hubStart(host), {
      ...{ clock: life.clock, random: this.#dice.random, log: this.#parts.logOf(life), threads: world.plan.members },
    });
    const { hub } = standIn;
    const doors = { mqtt: mqttConnections(hub), amqp: amqpConnections(hub, () => amqpsPort) };
    const givenUp = (): void => {
      if (!link.isOpen || process.over) return;
      link.close();
      end();
    };
    const hears = (): void => {
      if (canary.isDeaf === undefined) ownLink.close();
    };
    this.#members.push({ name, life, ...doors, settled: standIn.settled, cut, givenUp, hears });
    life.onEnd(() => whenArrived(givenUp));
  }

  #planBreak(): void {
    const { world, life } = this.#parts;
    life.clock.after(this.#dice.wait(world.plan.linkBreakEveryMs), () => {
      if (world.calm) return;
      if (this.#members.length > 0) this.#break(this.#dice.pick(this.#members));
      this.#planBreak();
    });
  }

  #break(member: Member): void {
    const { world, life } = this.#parts;
    if (this.#broken.has(member)) return;
    this.#broken.add(member);
    world.counters.linkBreaks++;
    world.trace('hub', `the link of ${member.name} breaks`);
    member.cut();
    life.onEnd(() => member.life.end());
    const heardMs = this.#dice.between(0, HEARD_MS);
    life.clock.after(heardMs + this.#dice.wait(GIVEN_UP_MS), () => member.givenUp());
    member.life.clock.after(heardMs, () => this.#retire(member));
  }

  /** It has heard that its link is broken; another member comes in its place. */
  #retire(member: Member): void {
    const { world, life } = this.#parts;
    world.trace('hub', `${member.name} hears that its link is broken`);
    member.hears();
    this.#members.splice(this.#members.indexOf(member), 1);
    life.clock.after(this.#dice.wait(RESTART_MS), () => this.#start());
    member.life.clock.after(LEFT_MS, () => {
      const count = member.mqtt.count();
      world.check(count === 0, () => `${member.name} serves ${count} connections, and its link has closed`);
      member.life.end();
    });
  }

  #planDeath(): void {
    const { world, life } = this.#parts;
    life.clock.after(this.#dice.wait(world.plan.memberDeathEveryMs), () => {
      if (world.calm) return;
      const member = this.#members.shift();
      if (member !== undefined) {
        world.counters.memberDeaths++;
        world.trace('hub', `${member.name} dies`);
        member.life.end();
      }
      life.clock.after(this.#dice.wait(RESTART_MS), () => this.#start());
      this.#planDeath();
    });
  }
}

/** The ends of a link between the hub's own loop and a member. */
function linkedPorts(world: World, dice: Dice, process: Life, member: Life) {
  const { scheduler } = world;
  const meanMs = dice.pick([0.1, 1, 8, 40]);
  let isCut = false;
  const direction = (arrives: (callback: () => void) => void) => {
    let lastAt = 0;
    let listener: (packet: Packet) => void = () => {};
    const later = (callback: () => void): void => {
      lastAt = Math.max(lastAt, scheduler.monotonic() + dice.wait(meanMs));
      scheduler.after(lastAt - scheduler.monotonic(), callback);
    };
    return {
      send(packet: unknown, transfer: readonly ArrayBuffer[]): void {
        const copy = structuredClone(packet, { transfer: [...transfer] }) as Packet;
        later(() => isCut || arrives(() => listener(copy)));
      },
      listen(to: (packet: Packet) => void): void {
        listener = to;
      },
      later,
    };
  };
  // What a member had sent arrives, also when it has ended meanwhile; what is sent to one that has ended does not.
  const toMain = direction((callback) => process.over || callback());
  const toMember = direction((callback) => process.over || member.over || callback());
  const main: MemberPort = {
    postMessage: (packet, transfer) => toMember.send(packet, transfer ?? []),
    on: (_event: 'message', to: (packet: Packet) => void) => toMain.listen(to),
  };
  const own: MemberPort = {
    postMessage: (packet, transfer) => member.over || toMain.send(packet, transfer ?? []),
    on: (_event: 'message', to: (packet: Packet) => void) => toMember.listen(to),
  };
  const whenArrived = (callback: () => void): void => toMain.later(() => process.over || callback());
  const cut = (): void => {
    isCut = true;
  };
  return { main, own, whenArrived, cut };
}
