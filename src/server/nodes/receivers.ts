/** Readers of this node, with places among those of all nodes. */
import type { Log } from '../../base/log.ts';
import { type ErrorCode, HubError } from '../../core/errors.ts';
import { displacement, type Receiver, type ReceiverPlace, type ReceiverPlaces } from '../../core/events/receivers.ts';
import type { ReceiverStore } from '../../core/nodes/ports.ts';

export interface NodeReceiversParts {
  readonly store: ReceiverStore;
  /** The name of this node among all. */
  own(): string;
  /** Whether this node has a lease. */
  isValid(): boolean;
  /** Resolves when that node's reader reads no more. */
  displace(node: string, receiver: number, newcomer: string): Promise<void>;
  readonly log: Log;
}

/** What `ReceiverStore.enter` says where nothing has changed. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set(['IotHubQuotaExceeded', 'LinkCreationConflict']);

interface Entered {
  readonly place: ReceiverPlace;
  readonly receiver: Receiver;
}

export class NodeReceivers implements ReceiverPlaces {
  readonly #parts: NodeReceiversParts;
  readonly #entered = new Map<number, Entered>();
  #last = 0;

  constructor(parts: NodeReceiversParts) {
    this.#parts = parts;
  }

  async enter(place: ReceiverPlace, receiver: Receiver): Promise<() => void> {
    const { store, log } = this.#parts;
    const number = ++this.#last;
    const node = this.#parts.own();
    this.#entered.set(number, { place, receiver });
    const { name, epoch } = receiver;
    const known = { node, receiver: number, name, ...(epoch !== undefined && { epoch }) };
    const leave = (): void => {
      this.#entered.delete(number);
      store
        .leave(place, known)
        .catch((error: unknown) => log.error({ error }, 'the place of a reader could not be freed'));
    };
    try {
      const displaced = await store.enter(place, known);
      await Promise.all(
        displaced.map((other) => {
          const newcomer = JSON.stringify({ name, ...(epoch !== undefined && { epoch }) });
          return other.node === node
            ? this.displaced(other.receiver, newcomer)
            : this.#parts.displace(other.node, other.receiver, newcomer);
        }),
      );
    } catch (error) {
      // Where the answer was lost, or a reader could not be told, the store may have let it in.
      if (error instanceof HubError && REFUSALS.has(error.code)) this.#entered.delete(number);
      else leave();
      throw error;
    }
    if (!this.#parts.isValid() || this.#parts.own() !== node) {
      leave();
      throw new HubError('ServiceUnavailable', undefined, { reason: 'this node has no lease at the moment' });
    }
    return () => {
      if (this.#entered.has(number)) leave();
    };
  }

  /** Another reader has the place now. Resolves when the one here reads no more. */
  async displaced(number: number, newcomer: string): Promise<void> {
    const entered = this.#entered.get(number);
    this.#entered.delete(number);
    const other = JSON.parse(newcomer) as Pick<Receiver, 'name' | 'epoch'>;
    await entered?.receiver.displaced(displacement(other, entered.receiver));
  }

  /** This node has no lease any more: others may have all places. */
  dropAll(): void {
    const all = [...this.#entered.values()];
    this.#entered.clear();
    const reason = new HubError('ServiceUnavailable', undefined, { reason: 'this node has no lease at the moment' });
    for (const { receiver } of all) void Promise.resolve(receiver.displaced(reason)).catch(() => {});
  }
}
