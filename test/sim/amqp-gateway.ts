/**
 * An AMQP connection over which devices come, one or many, each with its own token and its own links. At times it comes for
 * a device that has a connection of its own elsewhere, which then loses its place.
 */
import type { AmqpClient } from './amqp-client.ts';
import { AmqpDevice } from './amqp-device.ts';
import { AmqpPeer } from './amqp-peer.ts';
import type { Parts } from './back-ends.ts';
import type { Dice } from './world.ts';

export class AmqpGateway {
  readonly name: string;
  readonly #parts: Parts;
  readonly #dice: Dice;
  readonly #devices: readonly AmqpDevice[];
  readonly #elsewhere: readonly string[];
  /** It speaks for its devices with the token of a policy. */
  readonly #speaks: boolean;
  readonly #stays: boolean;
  readonly #visitors = new Map<string, AmqpDevice>();
  #visitor: AmqpDevice | undefined;
  #visitEndsAt = 0;
  readonly #peer: AmqpPeer;
  #hasLeft = false;

  /** @param elsewhere devices that it visits */
  constructor(parts: Parts, name: string, ids: readonly string[], elsewhere: readonly string[]) {
    this.name = name;
    this.#parts = parts;
    this.#dice = parts.world.dice(name);
    this.#peer = new AmqpPeer(parts, name, this.#dice);
    this.#devices = ids.map((id) => new AmqpDevice(parts, id, id));
    this.#elsewhere = elsewhere;
    this.#speaks = this.#dice.chance(0.25);
    this.#stays = this.#dice.chance(0.7);
    for (const device of this.#devices) device.isSpokenFor = this.#speaks;
  }

  /** Nothing is left to do but to stay. */
  get isDone(): boolean {
    return this.#isReady && this.#visitor === undefined && this.#devices.every((device) => device.isDone);
  }

  async live(): Promise<void> {
    const { world } = this.#parts;
    while (!world.over) {
      await world.scheduler.sleep(this.#dice.wait(world.calm ? 500 : 200));
      const { client } = this.#peer;
      if (client === undefined) {
        if (!this.#hasLeft) this.#connect();
      } else if (this.#isReady) this.#act(client);
      else if (client.isReady) world.act(this.name, () => this.#peer.prove(client, 'localhost/devices', 'device'));
      else this.#loseHeart(client);
    }
  }

  /** All work is done: some leave politely, the others stay. */
  settle(): void {
    if (this.#stays) return;
    this.#hasLeft = true;
    this.#peer.client?.close();
  }

  get #isReady(): boolean {
    return this.#peer.client?.isReady === true && (this.#peer.isProved || !this.#speaks);
  }

  #connect(): void {
    this.#peer.connect((what) => this.#parts.world.trace(this.name, what));
  }

  #act(client: AmqpClient): void {
    const { plan, calm } = this.#parts.world;
    const dice = this.#dice;
    this.#peer.beat(client);
    this.#visit(client);
    if (calm) {
      client.connection.unstall();
      for (const device of this.#devices) device.act(client);
      return;
    }
    const kind = dice.next();
    if (kind < 0.9) {
      const device = this.#visitor !== undefined && dice.chance(0.4) ? this.#visitor : dice.pick(this.#devices);
      device.act(client);
    } else if (kind < 0.92 && plan.stalls) this.#peer.stall(client);
    else if (plan.breakEveryMs === 0) return;
    else if (kind < 0.93) client.close();
    else if (kind < 0.94) {
      // Once more, while the hub has the connection before.
      this.#parts.world.trace(this.name, 'connects once more');
      this.#connect();
    } else if (dice.chance(400 / plan.breakEveryMs)) this.#peer.break(client);
  }

  #visit(client: AmqpClient): void {
    const { plan, calm, scheduler } = this.#parts.world;
    const now = scheduler.monotonic();
    const dice = this.#dice;
    if (this.#visitor !== undefined && (calm || now > this.#visitEndsAt)) {
      if (dice.chance(0.7) || calm) this.#visitor.leave();
      this.#visitor = undefined;
    }
    if (calm || !plan.visits || this.#visitor !== undefined || this.#elsewhere.length === 0) return;
    if (!client.isReady || !dice.chance(0.05)) return;
    const id = dice.pick(this.#elsewhere);
    const visitor = this.#visitors.get(id) ?? new AmqpDevice(this.#parts, id, `${id}.${this.name}`);
    visitor.isSpokenFor = this.#speaks;
    this.#visitors.set(id, visitor);
    this.#visitor = visitor;
    this.#visitEndsAt = now + dice.wait(4000);
  }

  /** The hub has not answered yet. */
  #loseHeart(client: AmqpClient): void {
    if (this.#parts.world.calm || this.#parts.world.plan.breakEveryMs === 0 || !this.#dice.chance(0.1)) return;
    this.#peer.break(client);
  }
}
