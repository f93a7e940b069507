/**
 * Appends sealed batches to the partitions of one topic: in order and once each, across broken connections and brokers that die.
 * What is not answered is sent again as it was, with the same sequence number, and the broker leaves out what it has already.
 *
 * A broker remembers the last five batches of a producer and partition, so no more are under way, and nothing new is sent before
 * what must be sent again. Giving up is for all partitions: what fails is followed by nothing of the same time, so the producer's
 * epoch rises in each partition, and whatever of the older epoch arrives late is refused (error 47).
 */
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { apis } from '../../wire/kafka/apis.ts';
import { kafkaErrorName } from '../../wire/kafka/errors.ts';
import { sealBatch } from '../../wire/kafka/record-batch.ts';
import { type ProduceAnswer, produceRequest, readProduceAnswers } from '../../wire/kafka/records-requests.ts';
import { EventLogUnavailable } from '../event-log/errors.ts';
import type { Broker } from './broker-connection.ts';
import type { KafkaCluster } from './cluster.ts';
import { newProducerId } from './producer-id.ts';
import { type FilledBatch, type Line, newLine } from './producer-line.ts';

export interface ProducerParts {
  readonly cluster: KafkaCluster;
  readonly topic: string;
  readonly partitionCount: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Runs a callback soon; absent = at the end of this turn of the event loop. */
  readonly defer?: (callback: () => void) => void;
  /** Whether anything may be sent now: what waits while it may not is given up. Absent = always. */
  readonly mayAppend?: () => boolean;
  /** By which lease of its node the process works now: what waits when another comes is given up. Undefined = it has had none yet. */
  readonly leaseTerm?: () => string | undefined;
}

/** Not appended, or perhaps appended and not yet held by enough replicas: to be sent again, in order. */
const AGAIN = new Set([3, 5, 6, 7, 9, 13, 19, 20, 56, 74, 75]);
const OUT_OF_ORDER = 45;
/** The broker has the batch, and no longer knows where. */
const DUPLICATE = 46;
const UNDER_WAY_MAX = 5;
const SEQUENCES = 2 ** 31;
const EPOCH_MAX = 32_767;

export class KafkaProducer {
  readonly #parts: ProducerParts;
  readonly #lines: Line[];
  #id: bigint;
  #scheduled = false;
  #closed = false;
  /** How often everything was given up: what was on its way before is not listened to. */
  #generation = 0;
  /** What went wrong last with what waits, or why everything was given up. */
  #trouble: string | undefined;
  /** Everything was given up, and whether brokers take anything again is not known. */
  #hasGivenUp = false;
  #isTrying = false;
  /** Epochs of the producer's id are used up. */
  #needsId = false;
  /** The lease under which all came that waits. */
  #term: string | undefined;
  #watch: Cancel | undefined;

  private constructor(parts: ProducerParts, id: bigint) {
    this.#parts = parts;
    this.#id = id;
    this.#lines = Array.from({ length: parts.partitionCount }, (_, partition) => newLine(partition));
    parts.cluster.whenLeadersChange(() => this.#leadersChanged());
    this.#look();
  }

  /** @throws Error no broker gives a producer id in time */
  static async open(parts: ProducerParts): Promise<KafkaProducer> {
    return new KafkaProducer(parts, await newProducerId(parts));
  }

  /**
   * Why nothing is appended at the moment; undefined = it is, as far as is known. `isHeld`: what is appended waits until it is; else it
   * would wait for nothing, and is better refused. That ends by itself when brokers can be reached.
   */
  get failure(): { readonly reason: string; readonly isHeld: boolean } | undefined {
    if (this.#trouble === undefined) return undefined;
    const isHeld = !this.#hasGivenUp;
    return isHeld && !this.#waits ? undefined : { reason: this.#trouble, isHeld };
  }

  get #waits(): boolean {
    return this.#lines.some(({ pending }) => pending.length > 0);
  }

  /**
   * @returns where the batch stands and since when
   * @throws EventLogUnavailable it, and everything else that waits, was given up: whether it stands there is not known
   */
  append(partition: number, batch: FilledBatch): Promise<ProduceAnswer> {
    if (this.#closed) return Promise.reject(new EventLogUnavailable('the event log is closed'));
    this.#heedLease();
    const line = this.#lines[partition];
    const { bytes, end, count, time = this.#parts.clock.now(), nature } = batch;
    const mark = { id: this.#id, epoch: line.epoch, sequence: line.sequence };
    sealBatch(bytes, end, count, mark, time, nature);
    line.sequence = (line.sequence + count) % SEQUENCES;
    const answer = new Promise<ProduceAnswer>((resolve, reject) => {
      line.pending.push({ batch, since: this.#parts.clock.monotonic(), resolve, reject });
    });
    this.#pump();
    return answer;
  }

  /**
   * What is on its way to a broker that leads no more comes back unanswered, and goes to the one that does: else the new leader
   * would get later batches first.
   */
  #leadersChanged(): void {
    const { cluster, topic } = this.#parts;
    for (const { partition, sent, broker, via } of this.#lines) {
      if (sent > 0 && cluster.leaderOf(topic, partition) !== broker)
        via?.close(new Error('another broker leads a partition now'));
    }
    this.#pump();
  }

  close(): void {
    this.#closed = true;
    this.#watch?.();
    this.#giveUp('the event log is closed');
  }

  /** At the end of this turn: batches for the same broker share a request, which is what brokers pay for. */
  #pump(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    const { defer = setImmediate } = this.#parts;
    defer(() => {
      this.#scheduled = false;
      if (!this.#maySend()) return;
      for (const [broker, lines] of this.#ready()) void this.#sendTo(broker, lines);
    });
  }

  /** A process that was held may go on when others write in its place: what it had not sent by then, and what it would send again, comes too late. */
  #maySend(): boolean {
    this.#heedLease();
    if (this.#parts.mayAppend?.() !== false) return true;
    if (this.#waits) this.#giveUp('this node has no lease, and appends nothing');
    return false;
  }

  /** What waits behind a broker that hangs may outlast the end of a lease, and the node may have the next one by then: others have written since. */
  #heedLease(): void {
    const term = this.#parts.leaseTerm?.();
    if (term === this.#term) return;
    const isAnother = this.#term !== undefined;
    this.#term = term;
    if (isAnother && this.#waits) this.#giveUp('the lease is over under which this node was to append');
  }

  #isReady(line: Line): boolean {
    return !line.isRecovering && line.sent < Math.min(line.pending.length, UNDER_WAY_MAX);
  }

  #ready(): Map<number, Line[]> {
    const { cluster, topic } = this.#parts;
    const byBroker = new Map<number, Line[]>();
    for (const line of this.#lines) {
      const broker = this.#isReady(line) ? cluster.leaderOf(topic, line.partition) : -1;
      if (broker < 0) continue;
      const lines = byBroker.get(broker);
      if (lines === undefined) byBroker.set(broker, [line]);
      else lines.push(line);
    }
    return byBroker;
  }

  async #sendTo(broker: number, lines: readonly Line[]): Promise<void> {
    const { cluster, topic } = this.#parts;
    let connection: Broker;
    try {
      connection = await cluster.connection(broker, 'write');
    } catch (error) {
      // `#look` asks who leads now, and pumps again.
      this.#trouble = (error as Error).message;
      return;
    }
    for (;;) {
      // The connection may have taken a while: what was to be sent may have been given up, or go elsewhere now.
      if (!this.#maySend()) return;
      const now = lines.filter((line) => this.#isReady(line) && cluster.leaderOf(topic, line.partition) === broker);
      if (now.length === 0 || connection.isGone) return;
      // A request holds one batch of a partition.
      this.#send(connection, broker, now);
    }
  }

  #send(connection: Broker, broker: number, lines: readonly Line[]): void {
    const batches = lines.map((line) => {
      line.broker = broker;
      line.via = connection;
      const { bytes, end } = line.pending[line.sent++].batch;
      return { partition: line.partition, batch: [bytes.subarray(0, end)], bytes: end };
    });
    const generation = this.#generation;
    const { topic } = this.#parts;
    const waitMs = limits.kafkaAcknowledgeMs;
    connection
      .request(apis.produce, produceRequest(topic, batches, waitMs), waitMs)
      .then(readProduceAnswers)
      .then(
        (answers) => {
          this.#heedLease();
          if (generation !== this.#generation) return;
          const byPartition = new Map(answers.map((answer) => [answer.partition, answer]));
          for (const line of lines) this.#answered(line, byPartition.get(line.partition));
        },
        (error: Error) => {
          if (generation !== this.#generation) return;
          this.#trouble = error.message;
          for (const line of lines) this.#answered(line, undefined);
        },
      )
      .finally(() => this.#pump());
  }

  /** @param answer undefined = it is not known what became of the batch */
  #answered(line: Line, answer: ProduceAnswer | undefined): void {
    line.sent--;
    const error = answer?.error ?? 0;
    if (answer !== undefined && !line.isRecovering && (error === 0 || error === DUPLICATE)) {
      this.#trouble = undefined;
      this.#hasGivenUp = false;
      line.pending.shift()?.resolve(answer);
      return;
    }
    if (line.isRecovering) {
      // Behind one that is sent again: whatever is said of it, it is sent again as well.
    } else if (answer === undefined || AGAIN.has(error)) {
      line.isRecovering = true;
      if (answer !== undefined)
        this.#trouble = `partition ${line.partition}: ${kafkaErrorName(error)} ${answer.message}`;
    } else {
      const what = error === OUT_OF_ORDER ? 'the topic has lost events that were acknowledged' : answer.message;
      this.#giveUp(`Kafka refuses a batch of partition ${line.partition}: ${kafkaErrorName(error)} ${what}`);
      return;
    }
    if (line.sent > 0) return;
    line.isRecovering = false;
    this.#refresh();
  }

  /** Fails everything that waits, in every partition, and sees to it that nothing of it is taken any more. */
  #giveUp(reason: string): void {
    this.#generation++;
    this.#trouble = reason;
    this.#hasGivenUp = true;
    const failed = this.#lines.flatMap((line) => line.pending);
    if (failed.length > 0 && !this.#closed)
      this.#parts.log.error({ reason, batches: failed.length }, 'batches of events were given up');
    for (const line of this.#lines) {
      if (line.pending.length === 0) continue;
      // Its batches are filled again soon: nothing of them may be sent any more.
      if (line.sent > 0) line.via?.close(new Error(reason));
      line.pending = [];
      line.sent = 0;
      line.isRecovering = false;
      line.sequence = 0;
      line.epoch++;
      if (line.epoch > EPOCH_MAX) this.#needsId = true;
    }
    const error = new EventLogUnavailable(reason);
    for (const { reject } of failed) reject(error);
  }

  /** Everything was given up. What comes is taken again when each partition has a leader that can be reached; nobody else would find out. */
  async #tryAgain(): Promise<void> {
    if (this.#isTrying) return;
    this.#isTrying = true;
    const { cluster, topic } = this.#parts;
    const generation = this.#generation;
    try {
      await cluster.refresh();
      await Promise.all(this.#lines.map(({ partition }) => cluster.leaderConnection(topic, partition, 'write')));
      if (this.#needsId) await this.#renew();
      if (generation === this.#generation) this.#hasGivenUp = false;
    } catch (error) {
      if (this.#hasGivenUp) this.#trouble = (error as Error).message;
    } finally {
      this.#isTrying = false;
    }
  }

  /** A producer of a new id begins where its epochs would not fit any more: after 32,767 failures. */
  async #renew(): Promise<void> {
    this.#id = await newProducerId(this.#parts);
    this.#needsId = false;
    for (const line of this.#lines) Object.assign(line, { epoch: 0, sequence: 0 });
  }

  #refresh(): void {
    void this.#parts.cluster
      .refresh()
      .catch((error: Error) => {
        this.#trouble = error.message;
      })
      .finally(() => this.#pump());
  }

  /**
   * Who waits for long asks who leads now, because a broker that hangs does not close its connections; and what has waited for too
   * long is given up.
   */
  #look(): void {
    this.#watch = this.#parts.clock.after(limits.kafkaSlowMs / 2, () => {
      if (this.#closed) return;
      this.#look();
      this.#maySend();
      if (this.#hasGivenUp) void this.#tryAgain();
      else if (!this.#waits) this.#trouble = undefined;
      const now = this.#parts.clock.monotonic();
      const oldest = Math.min(...this.#lines.map(({ pending }) => pending[0]?.since ?? now));
      if (now - oldest > limits.kafkaDeliveryMs) {
        this.#giveUp(
          `Kafka has not taken a batch for ${limits.kafkaDeliveryMs / 1000} s: ${this.#trouble ?? 'no answer'}`,
        );
      } else if (now - oldest > limits.kafkaSlowMs) this.#refresh();
    });
  }
}
