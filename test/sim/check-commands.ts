/**
 * Commands from what back ends and devices were told: each accepted one ends in one outcome, which a client or time brought
 * about; one receipt record says so to the back end that asked for it, at least once and not again when it was read; first
 * deliveries of an identity are in order; nobody gets what is another's or a former generation's.
 */
import { limits } from '../../src/base/limits.ts';
import { type Settlement, wantsReceipt } from '../../src/core/commands/lifecycle.ts';
import type { Command, CommandOutcome, ReceiptWish, TrailEntry } from '../../src/core/commands/types.ts';
import type { WholeHub } from '../../src/core/hub.ts';
import { identityName } from '../../src/core/identity/permissions.ts';
import type { Principal } from '../../src/core/identity/types.ts';
import type { Attempt } from './check-sessions.ts';
import type { DeviceCredential, Directory } from './directory.ts';
import type { SeenReceipt } from './service-door.ts';
import type { World } from './world.ts';

interface Offered {
  readonly messageId: string;
  readonly deviceId: string;
  readonly wish: ReceiptWish;
  readonly offeredAt: number;
  answer: 'none' | 'accepted' | 'refused';
  acceptedAt: number;
  sequence: number | undefined;
  /** What devices have said, whether or not it arrived. */
  readonly said: Set<Settlement>;
  abandons: number;
  /** What the hub has confirmed. */
  confirmed: CommandOutcome | undefined;
  deliveries: number;
  /** Their numbers, where the way tells them. */
  readonly receipts: Set<number>;
  hasReceipt: boolean;
  receiptOutcome: CommandOutcome | undefined;
  /** A back end has said that it has read it; the hub has confirmed that. */
  receiptReading: boolean;
  receiptRead: boolean;
}

const OUTCOMES: ReadonlySet<string> = new Set<CommandOutcome>([
  'completed',
  'rejected',
  'expired',
  'deliveryCountExceeded',
  'purged',
]);

export class CommandsChecker {
  readonly #world: World;
  readonly #directory: Directory;
  readonly #offered = new Map<string, Offered>();
  readonly #atMostOnce = new Set<string>();
  /** Identity and generation -> the highest sequence number that was handed over. */
  readonly #handedOver = new Map<string, number>();
  /** When the last purge that may have happened was answered; endless while one has had no answer. */
  readonly #purgedAt = new Map<string, number>();
  readonly #purging = new Map<string, number>();
  /** By message id, as the store has counted. */
  readonly #timesHandedOver = new Map<string, number>();
  /** Connection -> the highest sequence number that came over it for the first time. */
  readonly #firstOver = new WeakMap<Attempt, number>();

  constructor(world: World, directory: Directory) {
    this.#world = world;
    this.#directory = directory;
  }

  offered(messageId: string, deviceId: string, wish: ReceiptWish): void {
    this.#offered.set(messageId, {
      ...{ messageId, deviceId, wish, offeredAt: this.#now(), answer: 'none', acceptedAt: 0, sequence: undefined },
      ...{ said: new Set<Settlement>(), abandons: 0, confirmed: undefined, deliveries: 0 },
      ...{
        receipts: new Set<number>(),
        hasReceipt: false,
        receiptOutcome: undefined,
        receiptReading: false,
        receiptRead: false,
      },
    });
  }

  accepted(messageId: string, sequence: number | undefined): void {
    const command = this.#of(messageId);
    command.answer = 'accepted';
    command.acceptedAt = this.#now();
    command.sequence = sequence;
    this.#world.counters.acknowledgements++;
  }

  refused(messageId: string): void {
    this.#of(messageId).answer = 'refused';
  }

  purging(deviceId: string): void {
    this.#purging.set(deviceId, (this.#purging.get(deviceId) ?? 0) + 1);
    this.#purgedAt.set(deviceId, Number.POSITIVE_INFINITY);
  }

  purged(deviceId: string): void {
    const left = (this.#purging.get(deviceId) ?? 0) - 1;
    this.#purging.set(deviceId, left);
    if (left === 0) this.#purgedAt.set(deviceId, this.#now());
  }

  /** The device subscribes at QoS 0: its commands are completed when they leave. */
  atMostOnce(deviceId: string): void {
    this.#atMostOnce.add(deviceId);
  }

  /** The store has locked these for a connection. */
  handedOver(commands: readonly Command[]): void {
    for (const { target, generationId, sequence, handedOver, message } of commands) {
      this.#timesHandedOver.set(message.messageId ?? '', handedOver);
      if (handedOver > 1) continue;
      const name = `${identityName(target)} ${generationId}`;
      const before = this.#handedOver.get(name) ?? 0;
      this.#world.check(sequence > before, () => `${name}: command ${sequence} is first handed over behind ${before}`);
      this.#handedOver.set(name, sequence);
    }
  }

  /** @param again the command has been handed over before, as the protocol tells; undefined = it does not */
  delivered(
    deviceId: string,
    by: Attempt | DeviceCredential,
    messageId: string,
    qos: number,
    again: boolean | undefined,
  ): void {
    const command = this.#offered.get(messageId);
    if (command === undefined || command.deviceId !== deviceId) {
      this.#world.find(`${deviceId} was given ${messageId}, which is not its own`);
      return;
    }
    if (command.deliveries++ > 0) this.#world.counters.redeliveries++;
    const credential = 'credential' in by ? by.credential : by;
    this.#world.check(command.answer !== 'accepted' || command.acceptedAt >= credential.madeBehind, () => {
      return `${deviceId}, made behind ${credential.madeBehind}, was given ${messageId}, accepted at ${command.acceptedAt}`;
    });
    const { sequence } = command;
    if (!('credential' in by) || qos === 0 || sequence === undefined) return;
    if (again ?? (this.#timesHandedOver.get(messageId) ?? 0) > 1) return;
    const before = this.#firstOver.get(by) ?? 0;
    this.#world.check(sequence > before, () => `${deviceId} was given ${sequence} for the first time behind ${before}`);
    this.#firstOver.set(by, sequence);
  }

  /** A device says what has become of a command. */
  settling(messageId: string, settlement: Settlement): void {
    const command = this.#of(messageId);
    command.said.add(settlement);
    if (settlement === 'abandon') command.abandons++;
  }

  /** The hub has confirmed it. */
  settled(messageId: string, settlement: Settlement): void {
    const command = this.#of(messageId);
    this.#world.counters.acknowledgements++;
    if (settlement === 'abandon') return;
    const outcome = settlement === 'complete' ? 'completed' : 'rejected';
    this.#world.check(command.confirmed === undefined, () => `${messageId} was settled twice`);
    command.confirmed = outcome;
  }

  receipts(receipts: readonly SeenReceipt[]): void {
    const names = new Set(receipts.map(({ originalMessageId }) => originalMessageId));
    this.#world.check(names.size === receipts.length, () => 'a batch of receipts has two of one command');
    for (const { originalMessageId, sequence, outcome, deviceId } of receipts) {
      const command = this.#offered.get(originalMessageId ?? '');
      if (command === undefined || command.deviceId !== deviceId) {
        this.#world.find(`a receipt for ${originalMessageId} of ${deviceId}, which was never sent`);
        continue;
      }
      if (sequence !== undefined) command.receipts.add(sequence);
      command.hasReceipt = true;
      const before = command.receiptOutcome ?? outcome;
      command.receiptOutcome = outcome;
      this.#world.check(before === outcome, () => `receipts of ${originalMessageId} say ${before} and ${outcome}`);
      this.#world.check(command.receipts.size <= 1, () => `${originalMessageId} has two receipts`);
      this.#world.check(!command.receiptRead, () => `the receipt of ${originalMessageId} was read, and came again`);
    }
  }

  receiptsReading(receipts: readonly SeenReceipt[]): void {
    for (const { originalMessageId } of receipts) this.#of(originalMessageId ?? '').receiptReading = true;
  }

  receiptsRead(receipts: readonly SeenReceipt[]): void {
    for (const { originalMessageId } of receipts) this.#of(originalMessageId ?? '').receiptRead = true;
    this.#world.counters.acknowledgements += receipts.length;
  }

  /** All is at rest, and the receipts have been read. */
  async verify(hub: WholeHub, owner: Principal): Promise<void> {
    for (const command of this.#offered.values()) {
      const { messageId, deviceId } = command;
      const found = await hub.commands.trail(owner, { deviceId }, { messageId });
      const mayBeGone = this.#directory.mayBeDeletedSince(deviceId, command.offeredAt);
      if (found.length === 0) {
        const mayBeMissing = command.answer !== 'accepted' || mayBeGone;
        this.#world.check(mayBeMissing, () => `${messageId} was accepted and is nowhere`);
        continue;
      }
      this.#world.check(found.length === 1, () => `${messageId} is there ${found.length} times`);
      this.#world.check(command.answer !== 'refused', () => `${messageId} was refused and is there`);
      this.#judge(command, found[0].command, found[0].trail, mayBeGone);
    }
  }

  #judge(offered: Offered, stored: Command, trail: readonly TrailEntry[], mayBeGone: boolean): void {
    const world = this.#world;
    const { messageId, deviceId, said } = offered;
    const ends = trail.filter(({ step }) => OUTCOMES.has(step));
    if (stored.state.kind !== 'ended') {
      world.check(mayBeGone, () => `${messageId} has not ended: ${JSON.stringify(stored.state)}`);
      world.check(ends.length === 0, () => `${messageId} has not ended, and its trail says so`);
      return;
    }
    const { outcome, endedTime } = stored.state;
    world.check(ends.length === 1 && ends[0].step === outcome, () => {
      return `${messageId} ended ${outcome}, its trail says ${ends.map(({ step }) => step)}`;
    });
    const behind = trail.slice(trail.findIndex(({ step }) => OUTCOMES.has(step)) + 1);
    world.check(
      behind.every(({ step }) => step.startsWith('receipt-')),
      () => `${messageId} went on behind its end`,
    );
    world.check(offered.confirmed === undefined || offered.confirmed === outcome, () => {
      return `${messageId} was confirmed as ${offered.confirmed} and ended ${outcome}`;
    });
    const causes: Readonly<Record<CommandOutcome, boolean>> = {
      completed: said.has('complete') || this.#atMostOnce.has(deviceId),
      rejected: said.has('reject'),
      deliveryCountExceeded: offered.abandons >= limits.commandDeliveryCountMax,
      expired: stored.expiresAt <= world.latest(),
      purged: (this.#purgedAt.get(deviceId) ?? -1) >= offered.offeredAt,
    };
    world.check(causes[outcome], () => `${messageId} ended ${outcome}, and nobody did that`);
    const wanted = wantsReceipt(offered.wish, outcome);
    world.check(wanted || !offered.hasReceipt, () => `${messageId} has a receipt that nobody asked for`);
    const mayBeOver = world.latest() - endedTime >= limits.receiptTimeToLiveMs;
    world.check(!wanted || offered.receiptReading || mayBeOver || mayBeGone, () => {
      return `${messageId} ended ${outcome}, and its receipt never came, or not again`;
    });
    world.check(offered.receiptOutcome === undefined || offered.receiptOutcome === outcome, () => {
      return `${messageId} ended ${outcome}, and its receipt says ${offered.receiptOutcome}`;
    });
  }

  #of(messageId: string): Offered {
    const command = this.#offered.get(messageId);
    if (command === undefined) throw new Error(`${messageId} was never offered`);
    return command;
  }

  #now(): number {
    return this.#world.scheduler.monotonic();
  }
}
