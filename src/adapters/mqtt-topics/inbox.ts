/** Messages of one connection on their way to the hub, and their acknowledgements, which leave when the hub has them on a disk. */
import { limits } from '../../base/limits.ts';
import { type Host, Refused } from '../../gateway/index.ts';
import { MalformedPacket, type PublishPacket } from '../../wire/mqtt/packets.ts';
import { Acknowledgements } from './acknowledgements.ts';
import { type Dialogue, type Outcome, outcomes } from './dialogue.ts';
import { checkTopicShape } from './pattern.ts';

/** Undefined = it is on a disk, or there was nothing to store; otherwise why it is not. */
export type Done = (error?: unknown) => void;

/** Where they go. */
export interface Sink {
  /** For the log. */
  readonly name: string;
  /** Whether a message on that topic has come before. */
  knows(topic: string): boolean;
  /** @param payload a view, used before this returns @param done called once unless this throws @throws Refused */
  receive(topic: string, payload: Buffer, retain: boolean, done: Done): void;
  /** Resolves when more may come; undefined = it may. */
  readonly congested: Promise<void> | undefined;
}

export interface InboxOwner {
  write(bytes: Buffer): void;
  /** There may be room again. */
  resume(): void;
  /** Nothing is read until it has settled. */
  hold(until: Promise<unknown>): void;
  /** The hub takes no more for now: the client is to come again and send again what was not acknowledged. */
  giveUp(): void;
}

export class Inbox {
  readonly #host: Host;
  readonly #sink: Sink;
  readonly #dialogue: Dialogue;
  readonly #owner: InboxOwner;
  readonly #acknowledgements = new Acknowledgements();
  /** QoS 2 messages until their PUBREL (4.3.3), and whether they are on a disk. */
  readonly #unreleased = new Map<number, boolean>();
  /** QoS 0 messages that wait for the hub. */
  #unacknowledged = 0;
  #flushing = false;

  constructor(host: Host, sink: Sink, dialogue: Dialogue, owner: InboxOwner) {
    this.#host = host;
    this.#sink = sink;
    this.#dialogue = dialogue;
    this.#owner = owner;
  }

  get isFull(): boolean {
    const { waiting, bytes } = this.#acknowledgements;
    return waiting + this.#unacknowledged >= limits.mqttTopicsInflightMax || bytes >= limits.mqttTopicsInflightBytesMax;
  }

  /** @throws MalformedPacket */
  publish({ topic, payload, qos, packetId, retain }: PublishPacket): void {
    if (qos === 2 && !this.#isNew(packetId)) return;
    if (qos === 0) {
      this.#unacknowledged++;
      this.take(topic, payload, retain, () => {
        this.#unacknowledged--;
        this.#owner.resume();
      });
      return;
    }
    const slot = this.#acknowledgements.add(qos === 1 ? 'puback' : 'pubrec', packetId, payload.length);
    this.take(topic, payload, retain, (outcome) => {
      if (outcome === 'later') {
        this.#owner.giveUp();
        return;
      }
      slot.outcome = qos === 2 ? this.#taken(packetId, outcome) : outcome;
      this.#flushSoon();
    });
  }

  release(packetId: number): void {
    this.#unreleased.delete(packetId);
    this.#owner.write(this.#dialogue.acknowledgement('pubcomp', packetId, outcomes.success));
  }

  /**
   * Never throws. @param settled called once, maybe at once; `later` = the client is to send it again
   * @param payload a view, used before this returns
   */
  take(topic: string, payload: Buffer, retain: boolean, settled: (outcome: Outcome | 'later') => void): void {
    const sink = this.#sink;
    try {
      if (!sink.knows(topic)) {
        checkTopicShape(topic, 'topic');
        if (topic.startsWith('$') || /[+#]/.test(topic)) {
          throw new Refused('invalid', 'the topic has a wildcard, or begins with $');
        }
      }
      sink.receive(topic, payload, retain, (error) => {
        settled(error === undefined ? outcomes.success : this.#refused(error, topic));
      });
      const { congested } = sink;
      if (congested !== undefined) this.#owner.hold(congested);
    } catch (error) {
      settled(this.#refused(error, topic));
    }
  }

  /** Of a QoS 2 message: one that was taken before, and whose PUBREC got lost, is answered again [MQTT-4.3.3-2]. */
  #isNew(packetId: number): boolean {
    const before = this.#unreleased.get(packetId);
    if (before === true) this.#owner.write(this.#dialogue.acknowledgement('pubrec', packetId, outcomes.success));
    if (before !== undefined) return false;
    if (this.#unreleased.size >= limits.mqttTopicsReleasesMax)
      throw new MalformedPacket('too many QoS 2 messages without PUBREL');
    this.#unreleased.set(packetId, false);
    return true;
  }

  #taken(packetId: number, outcome: Outcome): Outcome {
    // A PUBREC with an error ends the exchange in MQTT 5 (4.3.3); a client of 3.1.1 goes on with its PUBREL.
    if (outcome >= outcomes.unspecifiedError && this.#dialogue.version === 5) this.#unreleased.delete(packetId);
    else this.#unreleased.set(packetId, true);
    return outcome;
  }

  /** A message that will never be taken is answered: a client of 3.1.1 would send it again for ever, and hold up what is behind it. */
  #refused(error: unknown, topic: string): Outcome | 'later' {
    this.#host.metrics.count('refused');
    this.#host.log.warn('A message was refused', {
      user: this.#sink.name,
      topic: topic.slice(0, 200),
      reason: (error as Error).message,
    });
    if (!(error instanceof Refused)) return outcomes.unspecifiedError;
    if (error.retry || error.code === 'closed') return 'later';
    return error.code === 'tooLarge' ? outcomes.packetTooLarge : outcomes.notAuthorized;
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    process.nextTick(() => {
      this.#flushing = false;
      const bytes = this.#acknowledgements.take(this.#dialogue);
      if (bytes !== undefined) this.#owner.write(bytes);
      this.#owner.resume();
    });
  }
}
