/**
 * One endpoint at this node: takes the cursors of partitions that nobody has, delivers them, renews its lease on them, and stops what it
 * has lost. Where the store has not answered for the time of a lease, another node may have them: everything stops until it has.
 */
import type { Cancel } from '../../base/clock.ts';
import { Gate } from '../../base/gate.ts';
import { limits } from '../../base/limits.ts';
import type { EndpointSink, HeldCursor } from '../../core/routes/ports.ts';
import type { PlacedEndpoint } from '../../core/routes/types.ts';
import { afterFailure, afterSuccess, type EndpointCondition, untried } from './endpoint-state.ts';
import { PartitionRun } from './partition-run.ts';
import type { DeliveryParts } from './parts.ts';

/** What this node knows of an endpoint. */
export interface EndpointFacts {
  readonly name: string;
  readonly kind: string;
  readonly condition: EndpointCondition;
  /** Partitions that this node delivers. */
  readonly partitions: readonly { readonly partition: number; readonly sequence: number; readonly behind: number }[];
  /** Records of its partitions that are not looked at yet; not each of them is for it. */
  readonly behind: number;
  /** Age of the oldest event that is known to wait for it, milliseconds. */
  readonly behindMs: number;
  /** Of this run of the hub. */
  readonly delivered: number;
  readonly refused: number;
  readonly missed: number;
  readonly failures: number;
}

export class EndpointRun {
  readonly placed: PlacedEndpoint;
  readonly #parts: DeliveryParts;
  readonly #sink: EndpointSink;
  readonly #gate: Gate;
  readonly #runs = new Map<number, PartitionRun>();
  readonly #counts = { delivered: 0, refused: 0, missed: 0, failures: 0 };
  #condition: EndpointCondition;
  #timer: Cancel | undefined;
  #claiming: Promise<void> = Promise.resolve();
  #isClosed = false;
  /** Monotonic time at which the leases that are held end, as far as this node knows. */
  #leaseEnd = 0;

  constructor(placed: PlacedEndpoint, parts: DeliveryParts) {
    this.placed = placed;
    this.#parts = parts;
    this.#sink = parts.sinkOf(placed.endpoint);
    this.#gate = new Gate(this.#sink.inFlightMax);
    this.#condition = untried(parts.clock.now());
    this.#claimSoon(0);
  }

  facts(): EndpointFacts {
    const { log, clock } = this.#parts;
    const { name, kind } = this.placed.endpoint;
    const runs = [...this.#runs.values()].sort((a, b) => a.partition - b.partition);
    const partitions = runs.map(({ partition, at }) => {
      const behind = Math.max(0, log.lastKnown(partition).lastSequence + 1 - at);
      return { partition, sequence: at, behind };
    });
    const oldest = Math.min(...runs.map(({ waitingSince }) => waitingSince ?? Number.POSITIVE_INFINITY));
    return {
      ...{ name, kind, condition: this.#condition, partitions, ...this.#counts },
      behind: partitions.reduce((sum, { behind }) => sum + behind, 0),
      behindMs: Number.isFinite(oldest) ? Math.max(0, clock.now() - oldest) : 0,
    };
  }

  /** Ends what is under way; cursors are free for another node then. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.();
    await this.#claiming;
    await Promise.all([...this.#runs.values()].map((run) => run.stop(true)));
    this.#runs.clear();
    await this.#sink.close();
  }

  #claimSoon(delayMs: number): void {
    this.#timer = this.#parts.clock.after(delayMs, () => {
      this.#claiming = this.#claim().finally(() => {
        if (!this.#isClosed) this.#claimSoon(limits.deliveryLeaseMs / 3);
      });
    });
  }

  async #claim(): Promise<void> {
    const { cursors, clock, storeTime, node, log } = this.#parts;
    const asked = clock.monotonic();
    let held: readonly HeldCursor[];
    try {
      const terms = { node, now: storeTime(), leaseMs: limits.deliveryLeaseMs, countMax: log.partitionCount };
      const { endpoint, since } = this.placed;
      held = await cursors.claim({ endpoint: endpoint.name, since }, terms);
    } catch (error) {
      this.#failed(`its places in the log could not be taken: ${(error as Error).message}`);
      if (clock.monotonic() < this.#leaseEnd) return;
      held = [];
    }
    if (held.length > 0) this.#leaseEnd = asked + limits.deliveryLeaseMs;
    const kept = new Set(held.map(({ hold }) => hold.partition));
    for (const [partition, run] of this.#runs) {
      if (kept.has(partition)) continue;
      await run.stop(false);
      this.#runs.delete(partition);
    }
    if (this.#isClosed) return;
    for (const cursor of held) if (!this.#runs.has(cursor.hold.partition)) this.#start(cursor);
  }

  #start(cursor: HeldCursor): void {
    const { log, cursors, clock, chance, mayWork } = this.#parts;
    const run = new PartitionRun(
      {
        ...{ log, cursors, clock, chance, mayWork, sink: this.#sink, gate: this.#gate, slots: 1 << this.placed.slot },
        enriched: (records) => this.#parts.enriched(this.placed.endpoint.name, records),
        told: {
          taken: (events) => {
            this.#counts.delivered += events;
            this.#becomes(afterSuccess(this.#condition, clock.now()));
          },
          refused: (events, reason) => {
            this.#counts.refused += events;
            this.#parts.hubLog.warn(
              { endpoint: this.placed.endpoint.name, events, reason },
              'an endpoint refuses events for good; they are dropped',
            );
          },
          missed: (records) => {
            this.#counts.missed += records;
            this.#parts.hubLog.error(
              { endpoint: this.placed.endpoint.name, records },
              'events were removed by retention before an endpoint had them',
            );
          },
          failed: (reason) => this.#failed(reason),
        },
      },
      cursor,
    );
    this.#runs.set(run.partition, run);
    // It ends by itself when the hold is lost; a later claim may take the partition again.
    void run.ended.then(() => {
      if (this.#runs.get(run.partition) === run) this.#runs.delete(run.partition);
    });
  }

  #failed(reason: string): void {
    this.#counts.failures += 1;
    this.#becomes(afterFailure(this.#condition, reason, this.#parts.clock.now()));
  }

  #becomes(next: EndpointCondition): void {
    const before = this.#condition;
    this.#condition = next;
    if (before.health !== next.health) this.#parts.changed(this.placed.endpoint, before, next);
  }
}
