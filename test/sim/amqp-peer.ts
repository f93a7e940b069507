/** A peer at the AMQP door: the connection that it has now, the next one when that is over, and what any peer does with it. */
import { AmqpClient } from './amqp-client.ts';
import type { Parts } from './back-ends.ts';
import type { Dice } from './world.ts';

const BEAT_MS = 100_000;
const STALL_MS = 5000;

export class AmqpPeer {
  /** Undefined: the last connection is over, or none could be opened. */
  client: AmqpClient | undefined;
  /** The token of a policy has been taken over this connection. */
  isProved = false;
  readonly #parts: Parts;
  readonly #name: string;
  readonly #dice: Dice;
  #connections = 0;
  #spokeAt = 0;

  /** @param dice of the actor whose peer it is */
  constructor(parts: Parts, name: string, dice: Dice) {
    this.#parts = parts;
    this.#name = name;
    this.#dice = dice;
  }

  /** Opens the next connection, and thinks no more of the one before. @param says what is traced of it */
  connect(says: (what: string) => void = () => {}): void {
    const { world, host } = this.#parts;
    const number = this.#connections++;
    const client: AmqpClient | undefined = AmqpClient.open(world, host, `${this.#name}/${number}`, {
      ready: () => says(`is heard (${number})`),
      closed: (condition) => {
        says(`is cut off (${number}${condition === undefined ? '' : `, ${condition}`})`);
        if (client === this.client) this.client = undefined;
      },
    });
    if (client !== undefined) says(`connects (${number})`);
    this.client = client;
    this.isProved = false;
    this.#spokeAt = world.scheduler.monotonic();
  }

  /** Puts a token of the hub's policy. */
  async prove(client: AmqpClient, audience: string, policy: string): Promise<void> {
    const { world, host } = this.#parts;
    const token = host.policyToken(policy);
    if (token === undefined) return;
    const isGranted = await client.putToken(audience, token);
    world.check(isGranted !== false, () => `${this.#name} was refused the token of the policy`);
    if (client === this.client && isGranted === true) this.isProved = true;
  }

  /** Gives a sign of life when it is time for one. */
  beat(client: AmqpClient): void {
    const now = this.#parts.world.scheduler.monotonic();
    if (now - this.#spokeAt <= BEAT_MS) return;
    this.#spokeAt = now;
    client.beat();
  }

  /** Does not read for a while. */
  stall(client: AmqpClient): void {
    const { counters, scheduler } = this.#parts.world;
    counters.stalledPeers++;
    client.connection.stall();
    scheduler.after(this.#dice.wait(STALL_MS), () => client.connection.unstall());
  }

  /** The connection breaks, or the peer vanishes without a word. */
  break(client: AmqpClient): void {
    const { plan, counters } = this.#parts.world;
    if (this.#dice.chance(plan.vanishRate)) {
      counters.vanishedPeers++;
      client.connection.vanish();
    } else {
      counters.brokenConnections++;
      client.connection.break();
    }
    client.abandon();
  }
}
