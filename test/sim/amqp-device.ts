import type { Settlement } from '../../src/core/commands/lifecycle.ts';
import { readBareMessage } from '../../src/wire/amqp/bare-message.ts';
import type { AmqpClient } from './amqp-client.ts';
import { BATCH_FORMAT, batchMessage, type OutcomeName, telemetryMessage } from './amqp-frames.ts';
import type { AmqpLink, Received, Verdict } from './amqp-link.ts';
import type { Parts } from './back-ends.ts';
import { ANY_GENERATION } from './check-events.ts';
import type { Attempt, Place } from './check-sessions.ts';
import type { DeviceCredential } from './directory.ts';
import { deviceToken } from './service-door.ts';
import type { Dice } from './world.ts';

const UNANSWERED_MAX = 12;
const DAY_MS = 86_400_000;
/** A hub takes a token for so long behind its end. */
const SKEW_MS = 300_000;

const outcomeOf: Readonly<Record<Settlement, OutcomeName>> = {
  complete: 'accepted',
  reject: 'rejected',
  abandon: 'released',
};

interface Message {
  readonly name: string;
  readonly body: string;
  readonly kind: string | undefined;
}

/** What one delivery carries: a message, or a batch of them. */
interface Unit {
  readonly messages: readonly Message[];
  readonly isBatch: boolean;
  /** The link that it was last sent on. */
  sentOn: AmqpLink | undefined;
}

/**
 * A device behind an AMQP connection which it may share with others. It outlives the connections: what has had no answer is
 * sent again over the next one, in the same order and before anything else.
 */
export class AmqpDevice {
  readonly id: string;
  /** A gateway speaks for it with the token of a policy. */
  isSpokenFor = false;
  readonly #parts: Parts;
  readonly #dice: Dice;
  readonly #stream: string;
  #count = 0;
  #unanswered: Unit[] = [];
  #credential: DeviceCredential | undefined;
  #tokenEndsAt = Number.POSITIVE_INFINITY;
  #jumpedMs = 0;
  #isProving = false;
  /** The token on its way is not of the generation that its links have: whose a new link would be, its answer tells. */
  #isChanging = false;
  #proved: AmqpClient | undefined;
  #attempt: Attempt | undefined;
  #client: AmqpClient | undefined;
  #telemetry: AmqpLink | undefined;
  #commands: AmqpLink | undefined;
  /** Links of the place that the device has now, or asks for. */
  #links: AmqpLink[] = [];

  /** @param stream names what it sends, apart from what the device sends another way at the same time */
  constructor(parts: Parts, id: string, stream: string) {
    this.#parts = parts;
    this.id = id;
    this.#stream = stream;
    this.#dice = parts.world.dice(`${stream} over AMQP`);
  }

  /** Nothing is left to do but to stay. */
  get isDone(): boolean {
    return this.#unanswered.length === 0 && this.#telemetry?.state === 'open' && this.#commands?.state === 'open';
  }

  /** Does the next thing over this connection. */
  act(client: AmqpClient): void {
    const { calm, plan } = this.#parts.world;
    const dice = this.#dice;
    if (this.#client !== client) this.#begin(client);
    if (this.#proved !== client) {
      this.#prove(client);
      return;
    }
    const telemetry = this.#telemetry;
    if (telemetry === undefined || telemetry.state === 'ended') {
      this.#attach(client);
      return;
    }
    if (telemetry.state !== 'open') return;
    if (calm) {
      if (this.#commands === undefined) this.#attachCommands(client);
      return;
    }
    const kind = dice.next();
    if (kind < 0.45) for (let nth = dice.between(1, 6); nth > 0; nth--) this.#publish(false);
    else if (kind < 0.6) this.#publish(true);
    else if (kind < 0.65) this.#publishSettled(telemetry);
    else if (kind < 0.8 && this.#commands === undefined) this.#attachCommands(client);
    else if (kind < 0.83) this.#commands?.detach();
    else if (kind < 0.86) this.leave();
    else if (kind < 0.92 && plan.tokensEnd) this.#prove(client);
  }

  /** Ends its links, and with them its place. */
  leave(): void {
    this.#telemetry?.detach();
    this.#commands?.detach();
  }

  /** Another connection than before. */
  #begin(client: AmqpClient): void {
    this.#client = client;
    this.#proved = undefined;
    this.#isProving = false;
    this.#isChanging = false;
    this.#telemetry = undefined;
    this.#commands = undefined;
    this.#attempt = undefined;
    this.#tokenEndsAt = Number.POSITIVE_INFINITY;
  }

  #prove(client: AmqpClient): void {
    const { world, directory } = this.#parts;
    const dice = this.#dice;
    const known = directory.credentials(this.id);
    const newest = known.at(-1);
    if (newest === undefined || this.#isProving) return;
    if (this.isSpokenFor) {
      this.#credential = { ...newest, generationId: ANY_GENERATION, madeBehind: 0, isAny: true };
      this.#proved = client;
      return;
    }
    const credential = !world.calm && dice.chance(0.05) ? dice.pick(known) : newest;
    const lifeMs = world.plan.tokensEnd && !world.calm && dice.chance(0.5) ? dice.between(3000, 15_000) : DAY_MS;
    const isRenewal = this.#proved === client;
    const endsAt = world.scheduler.monotonic() + lifeMs;
    // While the answer is on its way either may hold.
    this.#tokenEndsAt = isRenewal ? Math.max(this.#tokenEndsAt, endsAt) : endsAt;
    this.#jumpedMs = world.jumpedMs;
    if (this.#attempt !== undefined) this.#note(this.#attempt);
    this.#isProving = true;
    this.#isChanging = this.#isThere && credential !== this.#credential;
    const token = deviceToken(world, this.id, credential, lifeMs - SKEW_MS);
    world.act(this.id, async () => {
      const isGranted = await client.putToken(`localhost/devices/${this.id}`, token);
      if (this.#client !== client) return;
      this.#isProving = false;
      this.#isChanging = false;
      world.trace(this.#stream, `has put a token: ${isGranted}`);
      if (isGranted !== true) return;
      this.#proved = client;
      // A renewal changes nothing for links that are there.
      if (!isRenewal || !this.#isThere) this.#credential = credential;
    });
  }

  get #isThere(): boolean {
    return [this.#telemetry, this.#commands].some((link) => link !== undefined && link.state !== 'ended');
  }

  #note(attempt: Attempt): void {
    attempt.endsAt = this.#tokenEndsAt;
    attempt.jumpedMs = this.#jumpedMs;
  }

  #attach(client: AmqpClient): void {
    if (this.#isChanging) return;
    const { world } = this.#parts;
    this.#openPlace(client);
    world.trace(this.#stream, 'attaches');
    const link = client.attach(
      'telemetry',
      { address: `/devices/${this.id}/messages/events`, receives: false },
      {
        opened: () => this.#opened(link),
        ended: (condition) => this.#ended(link, condition),
        credit: () => this.#sendAll(link),
      },
    );
    this.#telemetry = link;
    this.#links.push(link);
  }

  /** The first link asks for the identity's place. */
  #openPlace(client: AmqpClient): void {
    const credential = this.#credential;
    if (this.#isThere || credential === undefined) return;
    const links: AmqpLink[] = [];
    this.#links = links;
    const place: Place = {
      get isHeld() {
        return links.some((link) => link.isHeld);
      },
      get isOpen() {
        return client.connection.isOpen && links.some((link) => link.state !== 'ended');
      },
    };
    this.#attempt = this.#parts.checkers.sessions.connecting(this.id, place, credential);
    this.#note(this.#attempt);
  }

  #opened(link: AmqpLink): void {
    const { world, checkers } = this.#parts;
    world.trace(this.#stream, `has a link (${link.options.receives ? 'commands' : 'telemetry'})`);
    const attempt = this.#attempt;
    if (attempt !== undefined && !attempt.accepted) checkers.sessions.accepted(attempt);
  }

  #ended(link: AmqpLink, condition: string | undefined): void {
    if (condition !== undefined) this.#parts.world.trace(this.#stream, `loses a link: ${condition}`);
    if (link === this.#telemetry) this.#telemetry = undefined;
    if (link === this.#commands) this.#commands = undefined;
    // It may be that the token is not good any more, or that the device is another one now.
    if (condition !== undefined) this.#proved = undefined;
  }

  #attachCommands(client: AmqpClient): void {
    const attempt = this.#attempt;
    if (attempt === undefined || this.#isChanging) return;
    const options = {
      ...{ address: `/devices/${this.id}/messages/devicebound`, receives: true },
      settlesSecond: this.#dice.chance(0.5),
    };
    const link = client.attach('commands', options, {
      opened: () => {
        this.#opened(link);
        link.receive(this.#dice.pick([1, 5, 50]));
      },
      ended: (condition) => this.#ended(link, condition),
      message: (received) => this.#commanded(link, attempt, received),
    });
    this.#commands = link;
    this.#links.push(link);
  }

  #commanded(link: AmqpLink, attempt: Attempt, { id, payload }: Received): void {
    const { world, checkers } = this.#parts;
    const dice = this.#dice;
    const text = readBareMessage(payload).body.toString();
    world.trace(this.#stream, `is given ${text}`);
    checkers.commands.delivered(this.id, attempt, text, 1, undefined);
    if (!world.calm && dice.chance(world.plan.deafRate)) return;
    const settlement: Settlement = world.calm ? 'complete' : dice.pick(['complete', 'complete', 'reject', 'abandon']);
    world.scheduler.after(dice.wait(dice.chance(0.05) ? 30_000 : 50), () => {
      if (link.state !== 'open') return;
      checkers.commands.settling(text, settlement);
      link.settle(id, outcomeOf[settlement], (verdict) => {
        if (verdict?.outcome === 'accepted') checkers.commands.settled(text, settlement);
      });
    });
  }

  #publish(isBatch: boolean): void {
    if (this.#unanswered.length >= UNANSWERED_MAX) return;
    const messages = Array.from({ length: isBatch ? this.#dice.between(1, 8) : 1 }, () => this.#message());
    this.#unanswered.push({ messages, isBatch, sentOn: undefined });
    if (this.#telemetry !== undefined) this.#sendAll(this.#telemetry);
  }

  /** Nobody answers for these. */
  #publishSettled(link: AmqpLink): void {
    if (link.credit <= 0) return;
    const message = this.#message();
    this.#sent(message);
    link.send(telemetryMessage(message.body, message.kind), { format: 0, settled: true }, () => {});
  }

  #message(): Message {
    const dice = this.#dice;
    const name = `${this.#stream}:${this.#count++}`;
    const size = dice.chance(0.02) ? dice.between(0, 60_000) : dice.between(0, 400);
    return { name, body: `${name}|${'.'.repeat(size)}`, kind: dice.pick([undefined, 'a', 'b']) };
  }

  /** Everything that has not been sent on this link, in order, as far as its credit goes. */
  #sendAll(link: AmqpLink): void {
    if (link !== this.#telemetry || link.state !== 'open') return;
    for (const unit of this.#unanswered) {
      if (unit.sentOn === link) continue;
      if (link.credit <= 0) return;
      unit.sentOn = link;
      for (const message of unit.messages) this.#sent(message);
      const parts = unit.messages.map(({ body, kind }) => telemetryMessage(body, kind));
      const payload = unit.isBatch ? batchMessage(parts) : parts[0];
      const options = { format: unit.isBatch ? BATCH_FORMAT : 0, settled: false };
      link.send(payload, options, (verdict) => this.#answered(unit, verdict));
    }
  }

  #sent({ name, body, kind }: Message): void {
    this.#parts.checkers.events.sent(name, body, kind, this.#attempt?.credential.generationId ?? '');
  }

  #answered(unit: Unit, verdict: Verdict | undefined): void {
    if (verdict === undefined) return;
    // Refused is refused: what the device sends then is another message.
    this.#unanswered = this.#unanswered.filter((other) => other !== unit);
    if (verdict.outcome !== 'accepted') return;
    for (const { name } of unit.messages) this.#parts.checkers.events.acknowledged(name);
  }
}
