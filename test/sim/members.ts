/**
 * Members of the simulated hub: hubs made of stand-ins, as listener threads have them, over links of the simulation. What
 * crosses a link is copied, arrives late and in order; of two members, what one has sent later may arrive earlier. A
 * member dies now and then: what it had sent arrives, then the hub hears of its end, and another is started.
 */
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
    const { main, own, whenArrived } = linkedPorts(world, this.#dice, process, life);
    const link = openThreadLink(main);
    const presence = canary.memberPresence?.(host.hub.presence) ?? host.hub.presence;
    const end = serveHub(link, { ...host, hub: { ...host.hub, presence } }, name);
    const standIn = hubStandIn(openThreadLink(own), hubStart(host), {
      ...{ clock: life.clock, random: this.#dice.random, log: this.#parts.logOf(life), threads: world.plan.members },
    });
    const { hub } = standIn;
    const doors = { mqtt: mqttConnections(hub), amqp: amqpConnections(hub, () => amqpsPort) };
    const member: Member = { name, life, ...doors, settled: standIn.settled };
    this.#members.push(member);
    life.onEnd(() => {
      whenArrived(() => {
        link.close();
        end();
      });
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
        later(() => arrives(() => listener(copy)));
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
  return { main, own, whenArrived };
}
