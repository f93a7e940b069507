import { limits } from '../../../base/limits.ts';
import { Turns } from '../../../base/turns.ts';
import type { TelemetrySender } from '../../../core/devices/telemetry-sender.ts';
import type { Slowing, TelemetryDoor } from '../../../core/devices/types.ts';
import { asHubError, HubError } from '../../../core/errors.ts';
import { readMessageBatch } from '../../../wire/amqp/bare-message.ts';
import { AmqpDecodeError, HeapBudget } from '../../../wire/amqp/values.ts';
import type { Delivery, DeliveryMark, IncomingLink } from '../engine/incoming-link.ts';
import type { LinkHost } from '../link-host.ts';
import type { AttachedDevice } from './attached-device.ts';
import { readTelemetry } from './telemetry-mapping.ts';

/** Several messages in one (device reference 3.4): its data sections hold a complete message each. */
const BATCH_FORMAT = 0x80013700;

/** Of this thread: what takes its time is the same for all connections. */
const turns = new Turns(() => limits.amqpBatchBytesPerTurn);

interface Waiting extends DeliveryMark {
  /** Number of the batch of the log that it is in. */
  readonly batch: number;
}

/**
 * The telemetry of one link on its way to the disk. A message is accepted when it is durable; what became durable together
 * is accepted in one frame.
 */
export class TelemetryIntake implements TelemetryDoor {
  readonly #link: IncomingLink;
  readonly #host: LinkHost;
  readonly #device: AttachedDevice;
  readonly #telemetry: TelemetrySender;
  /** In the order in which they came, so batch numbers do not go down. */
  #waiting: Waiting[] = [];
  /** How each slowing ends. */
  readonly #releases: Partial<Record<Slowing, () => void>> = {};

  /** @throws HubError IotHubUnauthorizedAccess */
  constructor(link: IncomingLink, host: LinkHost, device: AttachedDevice) {
    this.#link = link;
    this.#host = host;
    this.#device = device;
    const modelId = link.attach.properties.get('com.microsoft:model-id');
    const named = typeof modelId === 'string' && modelId !== '' ? modelId : undefined;
    this.#telemetry = device.connection.openTelemetry(this, named);
    link.whenClosed(() => this.#telemetry.close());
    link.onMessage = (delivery) => this.#take(delivery);
    // Credit that was given cannot be taken back: a device that is held to a rate gets little at a time.
    const creditMax =
      this.#telemetry.sender.meter === undefined ? limits.amqpTelemetryInflightMax : limits.amqpThrottledCreditMax;
    link.open({ creditMax, messageBytesMax: limits.amqpMessageBytesMax });
  }

  batchDurable(batch: number): void {
    const count = this.#waitingUpTo(batch);
    if (count === 0) return;
    this.#link.settleAll(this.#waiting.splice(0, count), { kind: 'accepted' });
  }

  batchFailed(batch: number, cause: Error): void {
    const failed = this.#waiting.splice(0, this.#waitingUpTo(batch));
    if (failed.length === 0) return;
    const refusal = new HubError('ServiceUnavailable', undefined, { cause });
    for (const mark of failed) this.#reject(mark, refusal);
    this.#link.detach(this.#host.error(refusal));
  }

  /** A device over its rate gets no credit, which holds up no other; a full log stops the reading of the connection. */
  slow(by: Slowing): void {
    this.#releases[by] = by === 'rate' ? this.#link.withhold() : this.#host.hold();
  }

  goOn(by: Slowing): void {
    this.#releases[by]?.();
  }

  #take(delivery: Delivery): void {
    this.#device.connection.touch();
    try {
      if (delivery.messageFormat === BATCH_FORMAT) this.#takeBatchInTurn(delivery);
      else {
        const batch = this.#telemetry.enqueue(readTelemetry(delivery.payload));
        this.#waiting.push({ id: delivery.id, isSettled: delivery.isSettled, batch });
      }
    } catch (error) {
      this.#refuse(delivery, error);
    }
  }

  /**
   * A batch of 20 KB can hold 4,000 messages, and a device can have many connections. Nothing more of this one is taken before its turn,
   * so that what it sends keeps its order. @throws HubError
   */
  #takeBatchInTurn(delivery: Delivery): void {
    const turn = turns.take(this.#device.connection.key.deviceId, delivery.payload.length);
    if (turn === undefined) {
      this.#takeBatch(delivery);
      return;
    }
    const goOn = this.#host.hold();
    // What it is read into is used again for the next reads.
    const kept = { ...delivery, payload: Buffer.from(delivery.payload) };
    turn.then(() => {
      try {
        if (this.#link.isOpen) this.#takeBatch(kept);
      } catch (error) {
        this.#refuse(kept, error);
      }
      goOn();
    });
  }

  /** All of a batch or nothing. @throws HubError */
  #takeBatch(delivery: Delivery): void {
    const budget = new HeapBudget(limits.amqpBatchDecodedBytesMax);
    const parts = readBatch(delivery.payload, budget);
    const max = limits.amqpBatchMessagesMax;
    if (parts.length > max) {
      throw new HubError('ArgumentInvalid', `A batch holds at most ${max} messages.`, {
        limit: { name: 'amqpBatchMessagesMax', scope: 'batch', current: parts.length, max },
      });
    }
    const mark = { id: delivery.id, isSettled: delivery.isSettled };
    this.#telemetry.send(parts.map((part) => readTelemetry(part, budget))).then(
      () => this.#link.settle(mark, { kind: 'accepted' }),
      (error) => this.#refuse(mark, error),
    );
  }

  /**
   * Where the log has failed, the link ends too, as an MQTT connection does: a device that has sent ahead, and loses its
   * connection before it hears of the refusal, sends all of it again in order, and nothing of it may be stored already.
   */
  #refuse(delivery: DeliveryMark, refusal: unknown): void {
    this.#reject(delivery, refusal);
    if (asHubError(refusal).code === 'ServiceUnavailable') this.#link.detach(this.#host.error(refusal));
  }

  #reject(delivery: DeliveryMark, refusal: unknown): void {
    this.#link.settle(delivery, { kind: 'rejected', error: this.#host.error(refusal) });
  }

  /** How many of the waiting are in `batch` or an earlier one. */
  #waitingUpTo(batch: number): number {
    const first = this.#waiting.findIndex((waiting) => waiting.batch > batch);
    return first === -1 ? this.#waiting.length : first;
  }
}

/** @throws HubError IotHubFormatError */
function readBatch(payload: Buffer, budget: HeapBudget): readonly Buffer[] {
  try {
    return readMessageBatch(payload, budget);
  } catch (error) {
    if (error instanceof AmqpDecodeError) throw new HubError('IotHubFormatError', `Not a batch: ${error.message}.`);
    throw error;
  }
}
