/** What became of many commands: what was accepted, what devices saw, what receipts say; and whether that can be true. */
import assert from 'node:assert/strict';
import type { SeenReceipt } from './back-ends.ts';
import type { Client } from './client.ts';
import type { SeenCommand } from './device-sdks.ts';

interface Entry {
  readonly deviceId: string;
  /** Place among the commands of its device, in the order of sending. */
  readonly n: number;
  readonly isShortLived: boolean;
  isAccepted: boolean;
  deliveries: number;
  readonly receipts: string[];
}

export class CommandLedger {
  readonly #entries = new Map<string, Entry>();
  readonly #nextOf = new Map<string, number>();
  /** Places in the order in which each device saw them first. */
  readonly #firstSeen = new Map<string, number[]>();

  /** Before it is sent. */
  add(messageId: string, deviceId: string, isShortLived = false): void {
    const n = this.#nextOf.get(deviceId) ?? 0;
    this.#nextOf.set(deviceId, n + 1);
    this.#entries.set(messageId, { deviceId, n, isShortLived, isAccepted: false, deliveries: 0, receipts: [] });
  }

  /** Takes what a back end's process has reported since the last call; for a process of devices, the same. */
  take(client: Client): void {
    for (const { messageId, error } of client.takeAll('sent')) {
      if (error === null) this.#entry(messageId).isAccepted = true;
    }
    for (const receipt of client.takeAll('receipt') as readonly SeenReceipt[]) {
      const entry = this.#entry(receipt.originalMessageId);
      assert.equal(receipt.deviceId, entry.deviceId, 'a receipt names the device');
      entry.receipts.push(receipt.statusCode);
    }
    for (const command of client.takeAll('command') as readonly SeenCommand[]) this.#saw(command);
  }

  get accepted(): number {
    return this.#count(({ isAccepted }) => isAccepted);
  }

  /** Accepted commands of which nobody has said yet how they ended. */
  get open(): number {
    return this.#count(({ isAccepted, receipts }) => isAccepted && receipts.length === 0);
  }

  /** Of the open ones: how many each device has, and how many of those it has seen. For the message of a failure. */
  describeOpen(): string {
    const open = [...this.#entries.values()].filter(({ isAccepted, receipts }) => isAccepted && receipts.length === 0);
    const lines = [...Map.groupBy(open, ({ deviceId }) => deviceId)].map(
      ([id, some]) => `${id}: ${some.length}, ${some.filter(({ deliveries }) => deliveries > 0).length} seen`,
    );
    return `${open.length} of ${this.accepted} accepted commands have no receipt (${lines.join('; ')})`;
  }

  /**
   * Everything that must hold when all commands have ended; returns the figures.
   * @param inOrder devices that must see their commands for the first time in the order of sending
   */
  check(inOrder: (deviceId: string) => boolean = () => true): string {
    for (const [messageId, entry] of this.#entries) {
      const outcomes = new Set(entry.receipts);
      if (entry.isAccepted) assert.equal(outcomes.size, 1, `${messageId} ends in one way: ${[...outcomes]}`);
      else assert.ok(outcomes.size <= 1, `${messageId} ends in one way at most: ${[...outcomes]}`);
      if (outcomes.has('Success')) assert.ok(entry.deliveries > 0, `${messageId} was completed, but nobody saw it`);
      else if (outcomes.has('Expired')) assert.ok(entry.isShortLived, `${messageId} had an hour to live, and expired`);
      else assert.deepEqual([...outcomes], [], `${messageId}: no device gives such an answer`);
    }
    for (const [deviceId, places] of this.#firstSeen) {
      if (!inOrder(deviceId)) continue;
      const sorted = places.toSorted((a, b) => a - b);
      assert.deepEqual(places, sorted, `${deviceId} sees its commands for the first time in the order of sending`);
    }
    const status = (code: string): number => this.#count(({ receipts }) => receipts.includes(code));
    const again = this.#count(({ deliveries }) => deliveries > 1);
    const repeated = this.#count(({ receipts }) => receipts.length > 1);
    return (
      `${this.#entries.size} sent, ${this.accepted} accepted; ${status('Success')} completed, ${status('Expired')} expired; ` +
      `${again} delivered more than once, ${repeated} receipts handed out more than once`
    );
  }

  #saw({ device, messageId }: SeenCommand): void {
    const entry = this.#entry(messageId);
    assert.equal(device, entry.deviceId, 'a command reaches its own device');
    if (entry.deliveries++ > 0) return;
    const places = this.#firstSeen.get(device) ?? [];
    this.#firstSeen.set(device, places);
    places.push(entry.n);
  }

  #entry(messageId: string): Entry {
    const entry = this.#entries.get(messageId);
    assert.ok(entry !== undefined, `${messageId} was never sent`);
    return entry;
  }

  #count(match: (entry: Entry) => boolean): number {
    let count = 0;
    for (const entry of this.#entries.values()) if (match(entry)) count++;
    return count;
  }
}
