import { limits } from '../../../base/limits.ts';
import { Turns } from '../../../base/turns.ts';
import type { DeviceOrigin } from '../../../core/devices/connection.ts';
import { asHubError, HubError } from '../../../core/errors.ts';
import type { DurabilityWaiter } from '../../../core/events/ports.ts';
import type { EventSender } from '../../../core/events/room.ts';
import { claimsSender } from '../../../core/events/rules.ts';
import type { Telemetry, TelemetrySystem } from '../../../core/events/types.ts';
import { identityName } from '../../../core/identity/permissions.ts';
import { shareName } from '../../../core/identity/share-name.ts';
import type { PolicyPrincipal, Proof } from '../../../core/identity/types.ts';
import { binary } from '../../../wire/amqp/fields.ts';
import { type BatchDevice, type ReceivedMessage, readBatch } from '../../../wire/gateway/batch.ts';
import { GatewayDecodeError } from '../../../wire/gateway/bytes.ts';
import { PARTLY_REFUSED, type RefusedKind, type RefusedMessage, writeRefused } from '../../../wire/gateway/refused.ts';
import { readOrRefuse } from '../command-mapping.ts';
import type { Delivery, DeliveryMark, IncomingLink } from '../engine/incoming-link.ts';
import type { LinkHost } from '../link-host.ts';

/** Of this thread, as for the batches of devices. */
const turns = new Turns(() => limits.amqpBatchBytesPerTurn);

interface Waiting extends DeliveryMark {
  /** Number of the batch of the log that its last message is in. */
  readonly batch: number;
  readonly refused: readonly RefusedMessage[];
}

/**
 * Batches of a gateway on their way to the disk, one after the other, so that each device's messages keep their order. A batch is
 * accepted when all of it is durable. What the hub refuses of it (an unknown device, a message that is too large) is named by the
 * outcome and keeps back nothing else.
 */
export class BatchIntake implements DurabilityWaiter {
  readonly #link: IncomingLink;
  readonly #host: LinkHost;
  readonly #principal: () => PolicyPrincipal;
  readonly #origin: DeviceOrigin;
  /** By the identity's name. */
  readonly #senders = new Map<string, EventSender>();
  readonly #line: Delivery[] = [];
  #isWorking = false;
  /** The batch that is being taken, of which a part may be on the disk, or have failed to come there, already. */
  #underway: { failure?: Error } | undefined;
  /** Number of the newest batch of the log that is durable. */
  #durable = -1;
  /** In the order in which they came, so batch numbers do not go down. */
  #waiting: Waiting[] = [];
  /** The right of each message, renewed with the gateway's token. */
  readonly #proof: { -readonly [Name in keyof Proof]: Proof[Name] };

  constructor(link: IncomingLink, host: LinkHost, principal: () => PolicyPrincipal, origin: DeviceOrigin) {
    this.#link = link;
    this.#host = host;
    this.#principal = principal;
    this.#origin = origin;
    this.#proof = { expiresAt: principal().expiresAt };
    link.onMessage = (delivery) => this.#take(delivery);
    link.open({ creditMax: limits.gatewayBatchesInflightMax, messageBytesMax: limits.gatewayTransferBytesMax });
  }

  batchDurable(batch: number): void {
    this.#durable = batch;
    const durable = this.#waiting.filter((waiting) => waiting.batch <= batch);
    this.#waiting = this.#waiting.filter((waiting) => waiting.batch > batch);
    for (const waiting of durable) this.#settle(waiting);
  }

  /** What a failed batch of the log held comes again in order, on a new link: see `devices/telemetry-intake.ts`. */
  batchFailed(batch: number, cause: Error): void {
    if (this.#underway !== undefined) this.#underway.failure = cause;
    const failed = this.#waiting.filter((waiting) => waiting.batch <= batch);
    if (failed.length === 0) return;
    this.#waiting = this.#waiting.filter((waiting) => waiting.batch > batch);
    this.#fail(failed, new HubError('ServiceUnavailable', undefined, { cause }));
  }

  #take(delivery: Delivery): void {
    // What it is read into is used again for the next reads.
    this.#line.push({ ...delivery, payload: Buffer.from(delivery.payload) });
    if (this.#isWorking) return;
    this.#isWorking = true;
    void this.#work();
  }

  /** Never rejects. */
  async #work(): Promise<void> {
    for (let next = this.#line.shift(); next !== undefined && this.#link.isOpen; next = this.#line.shift()) {
      try {
        await turns.take(shareName(this.#principal()), next.payload.length);
        if (this.#link.isOpen) await this.#store(next);
      } catch (error) {
        this.#fail([next], error);
      } finally {
        this.#underway = undefined;
      }
    }
    this.#isWorking = false;
  }

  /** @throws HubError for a batch of which nothing was taken, or that the log cannot take now */
  async #store(delivery: Delivery): Promise<void> {
    const messages = readMessages(delivery.payload);
    this.#link.session.worked(messages.length);
    const refused: RefusedMessage[] = [];
    const used = new Set<EventSender>();
    const openings = await this.#open(messages);
    const underway: { failure?: Error } = {};
    this.#underway = underway;
    let batch = 0;
    let spent = 0;
    for (let at = 0; at < messages.length; at++) {
      const message = messages[at];
      // Few bytes may name much: a long header for each of many messages.
      if (spent > limits.amqpBatchBytesPerTurn) {
        await this.#goOn(used, spent);
        if (!this.#link.isOpen) return;
        spent = 0;
      }
      spent += message.size;
      const sender = openings.get(message.device);
      if (sender === undefined || typeof sender === 'string') {
        refused.push({ at, kind: sender ?? 'unknown' });
        continue;
      }
      try {
        batch = this.#host.hub.events.enqueue(sender, telemetryOf(message), this);
        used.add(sender);
      } catch (error) {
        refused.push({ at, kind: kindOf(error) });
      }
    }
    if (underway.failure !== undefined) {
      throw new HubError('ServiceUnavailable', undefined, { cause: underway.failure });
    }
    const waiting = { id: delivery.id, isSettled: delivery.isSettled, batch, refused };
    if (used.size === 0 || batch <= this.#durable) this.#settle(waiting);
    else this.#waiting.push(waiting);
    await this.#heed(used);
  }

  /** A sender for each device of the batch, or why it has none. */
  async #open(messages: readonly ReceivedMessage[]): Promise<ReadonlyMap<BatchDevice, EventSender | RefusedKind>> {
    const { authentication, events, guard } = this.#host.hub;
    const { protocol, peer } = this.#origin;
    const policy = this.#principal();
    this.#proof.expiresAt = policy.expiresAt;
    const found = new Map<BatchDevice, EventSender | RefusedKind>();
    for (const { device } of messages) {
      if (found.has(device)) continue;
      const { deviceId, moduleId } = device;
      const key = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
      const name = identityName(key);
      try {
        const principal = await authentication.spokenFor(policy, key);
        let sender = this.#senders.get(name);
        if (sender?.stamp.generationId !== principal.generationId) {
          sender = events.openSender(principal, key, { via: { protocol, peer }, proof: this.#proof });
          this.#remember(name, sender);
          await events.ready(key);
        }
        found.set(device, sender);
      } catch (error) {
        const { code, reason } = asHubError(error);
        if (code !== 'IotHubUnauthorized') throw error;
        guard.refused({ operation: 'devices.speakFor', principal: policy, target: key }, error);
        found.set(device, reason === 'disabled-identity' ? 'disabled' : 'unknown');
      }
    }
    return found;
  }

  #remember(name: string, sender: EventSender): void {
    if (this.#senders.size >= limits.gatewaySendersMax) {
      for (const oldest of this.#senders.keys()) {
        this.#senders.delete(oldest);
        break;
      }
    }
    this.#senders.set(name, sender);
  }

  /**
   * Takes no further batch while a device of this one is over its rate, or too much waits for the disk. A device that is slowed slows its
   * gateway, which has messages of others in the same batches; the gateway's credit runs out meanwhile.
   */
  async #heed(senders: ReadonlySet<EventSender>): Promise<void> {
    const { events, clock } = this.#host.hub;
    for (const sender of senders) {
      await this.#relieved(sender);
      if (sender.meter === undefined) continue;
      for (let waitMs = events.waitMs(sender); waitMs > 0 && this.#link.isOpen; waitMs = events.waitMs(sender)) {
        const goOn = events.slowed(sender, 'rate');
        await new Promise<void>((resolve) => clock.after(Math.min(waitMs, limits.gatewayLookMs), resolve));
        goOn();
      }
    }
  }

  /** In the midst of a batch: others are served, and the log is not given more than it may hold. */
  async #goOn(senders: ReadonlySet<EventSender>, bytes: number): Promise<void> {
    for (const sender of senders) await this.#relieved(sender);
    await turns.take(shareName(this.#principal()), bytes);
  }

  async #relieved(sender: EventSender): Promise<void> {
    if (!sender.log.writer.congested) return;
    const goOn = this.#host.hub.events.slowed(sender, 'congestion');
    await new Promise<void>((resolve) => sender.log.writer.whenRelieved(resolve));
    goOn();
  }

  #settle({ refused, ...mark }: Waiting): void {
    if (refused.length === 0) {
      this.#link.settle(mark, { kind: 'accepted' });
      return;
    }
    const error = {
      condition: PARTLY_REFUSED,
      description: `${refused.length} messages of the batch are refused, the others are stored.`,
      info: [['refused', binary(writeRefused(refused))]] as const,
    };
    this.#link.settle(mark, { kind: 'rejected', error });
  }

  /** Nothing of these batches may count as stored. Where the log has failed, or the proof has ended, the link ends too. */
  #fail(marks: readonly DeliveryMark[], refusal: unknown): void {
    const error = this.#host.error(refusal);
    for (const mark of marks) this.#link.settle(mark, { kind: 'rejected', error });
    if (asHubError(refusal).code !== 'IotHubFormatError') this.#link.detach(error);
  }
}

/** @throws HubError IotHubFormatError */
function readMessages(payload: Buffer): readonly ReceivedMessage[] {
  try {
    return readBatch(readOrRefuse(payload).body);
  } catch (error) {
    if (error instanceof GatewayDecodeError) throw new HubError('IotHubFormatError', `Not a batch: ${error.message}.`);
    throw error;
  }
}

/** Of one message. @throws whatever keeps all others from being taken too */
function kindOf(error: unknown): RefusedKind {
  const { code } = asHubError(error);
  if (code === 'MessageTooLarge') return 'tooLarge';
  if (code === 'ArgumentInvalid') return 'invalid';
  throw error;
}

function telemetryOf({ header, created, messageId, body }: ReceivedMessage): Telemetry {
  const system: { -readonly [Name in keyof TelemetrySystem]: TelemetrySystem[Name] } = {};
  // What is out of the calendar says nothing.
  if (created >= 0 && created <= limits.gatewayCreatedMsMax) system.creationTime = created;
  if (messageId !== undefined) system.messageId = messageId;
  if (header.correlationId !== undefined) system.correlationId = header.correlationId;
  if (header.contentType !== undefined) system.contentType = header.contentType;
  if (header.contentEncoding !== undefined) system.contentEncoding = header.contentEncoding;
  const { properties } = header;
  const isForged = properties.some(([name]) => claimsSender(name));
  const telemetry = {
    system,
    properties: isForged ? properties.filter(([name]) => !claimsSender(name)) : properties,
    body,
  };
  const { address } = header;
  return address === undefined ? telemetry : { ...telemetry, address: address.slice(0, limits.adapterAddressCharsMax) };
}
