/** A back end that reads events by AMQP from every kind of position, alone with an epoch or beside others. */
import type { AmqpClient } from './amqp-client.ts';
import type { AmqpLink } from './amqp-link.ts';
import { AmqpPeer } from './amqp-peer.ts';
import type { Parts } from './back-ends.ts';
import type { ReadersChecker, Reading, Start } from './check-readers.ts';
import type { Dice } from './world.ts';

export class AmqpReader {
  readonly #parts: Parts;
  readonly #checker: ReadersChecker;
  readonly #name: string;
  readonly #dice: Dice;
  readonly #peer: AmqpPeer;
  #link: AmqpLink | undefined;
  /** When it is to go somewhere else. */
  #endsAt = 0;

  constructor(parts: Parts, checker: ReadersChecker, name: string) {
    this.#parts = parts;
    this.#checker = checker;
    this.#name = name;
    this.#dice = parts.world.dice(name);
    this.#peer = new AmqpPeer(parts, name, this.#dice);
  }

  async live(): Promise<void> {
    const { world } = this.#parts;
    while (!world.over) {
      await world.scheduler.sleep(this.#dice.wait(700 * world.patience));
      const now = world.scheduler.monotonic();
      const { client, isProved } = this.#peer;
      if (client === undefined) this.#connect();
      else if (!client.isReady) continue;
      else if (!isProved) await this.#peer.prove(client, 'localhost', 'service');
      else if (this.#link === undefined) this.#attach(client, now);
      else if (now > this.#endsAt) this.#goElsewhere(client, this.#link);
      else this.#peer.beat(client);
    }
  }

  #connect(): void {
    this.#peer.connect();
    this.#link = undefined;
  }

  #attach(client: AmqpClient, now: number): void {
    const { world, checkers } = this.#parts;
    const dice = this.#dice;
    const partition = dice.between(0, world.plan.partitions - 1);
    const epoch = dice.chance(0.5) ? dice.between(0, 3) : undefined;
    const start = this.#start(checkers.events.seenCount(partition));
    const reading: Reading = {
      ...{ partition, epoch, start, next: undefined },
      get link() {
        return link;
      },
    };
    const address = `mooring/ConsumerGroups/$Default/Partitions/${partition}`;
    const options = { address, receives: true, ...(epoch !== undefined && { epoch }), ...selectorOf(start) };
    const link: AmqpLink = client.attach('events', options, {
      opened: () => {
        world.trace(this.#name, `reads partition ${partition} from ${JSON.stringify(start)}, epoch ${epoch}`);
        this.#checker.opened(reading);
        link.receive(dice.pick([1, 20, 300]));
      },
      ended: (condition) => {
        world.trace(this.#name, `does not read any more: ${condition}`);
        if (this.#link === link) this.#link = undefined;
      },
      message: ({ payload }) => this.#checker.received(reading, payload),
    });
    this.#link = link;
    this.#endsAt = now + dice.wait(4000 * world.patience);
  }

  /** @param seen how many events of the partition have been seen */
  #start(seen: number): Start {
    const dice = this.#dice;
    const sequence = dice.between(0, Math.max(0, seen - 1));
    const kind = seen === 0 ? 'start' : dice.pick(['start', 'end', 'sequence', 'sequence', 'time'] as const);
    if (kind === 'end') return { kind, seen };
    if (kind === 'sequence') return { kind, sequence, inclusive: dice.chance(0.5) };
    if (kind === 'time') return { kind, time: this.#parts.world.logNow - dice.between(0, 20_000) };
    return { kind: 'start' };
  }

  #goElsewhere(client: AmqpClient, link: AmqpLink): void {
    const { plan, calm } = this.#parts.world;
    const dice = this.#dice;
    const kind = calm ? 0 : dice.next();
    if (kind > 0.9 && plan.stalls) {
      this.#peer.stall(client);
      this.#endsAt += 5000;
      return;
    }
    if (kind < 0.7 || plan.breakEveryMs === 0) {
      link.detach();
      return;
    }
    if (kind < 0.75) client.close();
    else this.#peer.break(client);
  }
}

function selectorOf(start: Start): { readonly selector?: string } {
  switch (start.kind) {
    case 'start':
      return {};
    case 'end':
      return { selector: "amqp.annotation.x-opt-offset > '@latest'" };
    case 'sequence':
      return {
        selector: `amqp.annotation.x-opt-sequence-number ${start.inclusive ? '>=' : '>'} '${start.sequence}'`,
      };
    case 'time':
      return { selector: `amqp.annotation.x-opt-enqueued-time >= '${start.time}'` };
  }
}
