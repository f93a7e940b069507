/** A back end that sends commands and receives their receipts over one AMQP connection. */
import type { ReceiptWish } from '../../src/core/commands/types.ts';
import { readBareMessage } from '../../src/wire/amqp/bare-message.ts';
import type { AmqpClient } from './amqp-client.ts';
import { commandMessage } from './amqp-frames.ts';
import type { AmqpLink, Received, Verdict } from './amqp-link.ts';
import { AmqpPeer } from './amqp-peer.ts';
import type { Parts } from './back-ends.ts';
import { receiptsOf } from './http-service-door.ts';
import type { Dice } from './world.ts';

/** What the hub says when it has failed, or stops: the command is stored or not. */
const UNSURE: ReadonlySet<string | undefined> = new Set(['amqp:internal-error', 'com.microsoft:server-busy']);

export class AmqpBackEnd {
  readonly #parts: Parts;
  readonly #name: string;
  readonly #dice: Dice;
  readonly #peer: AmqpPeer;
  #commands: AmqpLink | undefined;
  #receipts: AmqpLink | undefined;
  #count = 0;

  constructor(parts: Parts, name: string) {
    this.#parts = parts;
    this.#name = name;
    this.#dice = parts.world.dice(name);
    this.#peer = new AmqpPeer(parts, name, this.#dice);
  }

  async live(): Promise<void> {
    const { world } = this.#parts;
    while (!world.over) {
      await world.scheduler.sleep(this.#dice.wait(500 * Math.min(6, world.patience)));
      const { client, isProved } = this.#peer;
      if (client === undefined) this.#peer.connect();
      else if (!client.isReady) continue;
      else if (!isProved) await this.#peer.prove(client, 'localhost', 'service');
      else this.#act(client);
    }
  }

  #act(client: AmqpClient): void {
    const { plan, calm } = this.#parts.world;
    const dice = this.#dice;
    this.#peer.beat(client);
    if (this.#receipts === undefined) this.#attachReceipts(client);
    if (calm) {
      client.connection.unstall();
      return;
    }
    if (this.#commands === undefined) this.#attachCommands(client);
    else if (this.#commands.state === 'open')
      for (let nth = dice.between(0, 2); nth > 0; nth--) this.#send(this.#commands);
    const kind = dice.next();
    if (kind < 0.02) this.#receipts?.detach();
    else if (kind < 0.04 && plan.stalls) this.#peer.stall(client);
    else if (plan.breakEveryMs > 0 && kind > 0.96) {
      if (dice.chance(0.2)) client.close();
      else this.#peer.break(client);
    }
  }

  #attachCommands(client: AmqpClient): void {
    const link = client.attach(
      'commands',
      { address: '/messages/devicebound', receives: false },
      {
        ended: () => {
          if (this.#commands === link) this.#commands = undefined;
        },
      },
    );
    this.#commands = link;
  }

  #attachReceipts(client: AmqpClient): void {
    const dice = this.#dice;
    const options = {
      ...{ address: '/messages/serviceBound/feedback', receives: true },
      settlesSecond: dice.chance(0.7),
    };
    const link = client.attach('receipts', options, {
      opened: () => link.receive(dice.between(1, 10)),
      ended: () => {
        if (this.#receipts === link) this.#receipts = undefined;
      },
      message: (received) => this.#receipt(link, received),
    });
    this.#receipts = link;
  }

  #send(link: AmqpLink): void {
    if (link.credit <= 0) return;
    const { world, directory, checkers } = this.#parts;
    const dice = this.#dice;
    const messageId = `${this.#name}.${this.#count++}`;
    const deviceId = dice.pick(directory.ids);
    const ack = dice.pick<ReceiptWish>(['none', 'positive', 'negative', 'full', 'full']);
    const life = dice.pick([undefined, undefined, 2000, 10_000, 60_000]);
    const expiry = life === undefined ? {} : { expiry: world.scheduler.now() + dice.between(life / 2, life) };
    checkers.commands.offered(messageId, deviceId, ack);
    const payload = commandMessage({ messageId, deviceId, ack, ...expiry }, Buffer.from(messageId));
    link.send(payload, { format: 0, settled: false }, (verdict) => this.#told(messageId, verdict));
  }

  #told(messageId: string, verdict: Verdict | undefined): void {
    const { world, checkers } = this.#parts;
    if (verdict === undefined) return;
    world.trace(this.#name, `is told ${verdict.outcome} ${verdict.condition ?? ''} of ${messageId}`);
    if (verdict.outcome === 'accepted') checkers.commands.accepted(messageId, undefined);
    else if (!UNSURE.has(verdict.condition)) checkers.commands.refused(messageId);
  }

  /** Accepts, gives back, or says nothing until the lock or the link ends. */
  #receipt(link: AmqpLink, { id, payload }: Received): void {
    const { world, checkers } = this.#parts;
    const dice = this.#dice;
    const receipts = receiptsOf(readBareMessage(payload).body);
    checkers.commands.receipts(receipts);
    const kind = world.calm ? 0 : dice.next();
    if (kind >= 0.85) return;
    world.scheduler.after(dice.wait(dice.chance(0.05) ? 60_000 : 50), () => {
      if (link.state !== 'open') return;
      if (kind >= 0.65) {
        link.settle(id, 'released');
        return;
      }
      checkers.commands.receiptsReading(receipts);
      link.settle(id, 'accepted', (verdict) => {
        if (verdict?.outcome === 'accepted') checkers.commands.receiptsRead(receipts);
      });
    });
  }
}
