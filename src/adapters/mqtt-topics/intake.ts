/** The packets of a connection, one behind the other: nothing is read of its socket while something must be waited for. */
import type { Duplex } from 'node:stream';
import { limits } from '../../base/limits.ts';
import { PacketReader } from '../../wire/mqtt/packet-reader.ts';

export interface IntakeOwner {
  readonly hasEnded: boolean;
  /** Too much of what it has sent waits for the hub. */
  readonly isFull: boolean;
  /** Handles the next packet; false = none has come as a whole. */
  takeNext(reader: PacketReader): boolean;
  /** A packet could not be read or handled. */
  broken(error: unknown): void;
}

export class Intake {
  readonly #socket: Duplex;
  readonly #owner: IntakeOwner;
  readonly #reader = new PacketReader();
  #holds = 0;
  #isReading = true;
  #isHandling = false;

  constructor(socket: Duplex, owner: IntakeOwner) {
    this.#socket = socket;
    this.#owner = owner;
  }

  get isReading(): boolean {
    return this.#isReading;
  }

  receive(bytes: Buffer): void {
    this.#reader.push(bytes);
    this.#handle();
    this.#reader.settle();
  }

  /** Nothing is handled until it has settled. */
  hold(until: Promise<unknown>): void {
    this.#holds++;
    const release = (): void => {
      this.#holds--;
      this.resume();
    };
    until.then(release, release);
  }

  /** There may be room again. */
  resume(): void {
    if (this.#owner.hasEnded || this.#isHandling || this.#isReading || this.#mustWait()) return;
    this.#handle();
    this.#reader.settle();
  }

  /** Handles what has come, until something must be waited for. */
  #handle(): void {
    this.#isHandling = true;
    try {
      while (!this.#owner.hasEnded && !this.#mustWait() && this.#owner.takeNext(this.#reader));
    } catch (error) {
      this.#owner.broken(error);
    }
    this.#isHandling = false;
    const isReading = !this.#mustWait();
    if (isReading === this.#isReading || this.#owner.hasEnded) return;
    this.#isReading = isReading;
    if (isReading) this.#socket.resume();
    else this.#socket.pause();
  }

  #mustWait(): boolean {
    return this.#holds > 0 || this.#owner.isFull || this.#socket.writableLength > limits.mqttTopicsOutputBytesMax;
  }
}
