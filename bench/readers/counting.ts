import net from 'node:net';
import tls from 'node:tls';
import { connectionFields } from '../servers/hub.ts';
import * as amqp from './amqp-frames.ts';
import { FrameCutter } from './frame-cutter.ts';
import type { ReadAll, ReaderOptions } from './reader.ts';

const CREDIT = 2000;
const FRAME_BYTES_MAX = 1024 * 1024;
const READ_BYTES = 256 * 1024;
/** Performatives and SASL frames that it looks at (part 2, section 2.7; part 5, section 5.3). */
const OPEN = 0x10;
const TRANSFER = 0x14;
const DETACH = 0x16;
const CLOSE = 0x18;
/** A protocol header begins with "A", and no frame is that long. */
const PROTOCOL_HEADER = 0x41;
const SASL_MECHANISMS = 0x40;
const SASL_OUTCOME = 0x44;

/**
 * Reads every partition over one connection and counts: finds frames, looks at three fields of each transfer, tops up
 * credit. So the server is what is measured, not a client library.
 */
export const countingReader: ReadAll = (options, count) =>
  new Promise((resolve, reject) => {
    const reader = new CountingReader(options, count, resolve, reject);
    reader.start();
  });

class CountingReader {
  readonly #options: ReaderOptions;
  readonly #wanted: number;
  readonly #resolve: (milliseconds: number) => void;
  readonly #reject: (error: Error) => void;
  readonly #socket: net.Socket;
  readonly #transfer: amqp.Transfer = { handle: 0, settled: false, more: false };
  /** Deliveries per partition: handle = partition. */
  readonly #received: number[];
  readonly #credit: number[];
  #frames = 0;
  #count = 0;
  #unsettledFrom = 0;
  #deliveries = 0;
  #begun = 0;
  readonly #cutter = new FrameCutter((bytes, at, end) => {
    if (bytes[at] !== PROTOCOL_HEADER) this.#frame(bytes, at, end);
  });

  constructor(
    options: ReaderOptions,
    wanted: number,
    resolve: (milliseconds: number) => void,
    reject: (error: Error) => void,
  ) {
    this.#options = options;
    this.#wanted = wanted;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#received = new Array<number>(options.partitions).fill(0);
    this.#credit = new Array<number>(options.partitions).fill(CREDIT);
    const { host, port, ca } = options;
    // A plain socket reads into one buffer of its own; TLS sockets have no such option.
    const room = Buffer.allocUnsafe(READ_BYTES);
    const callback = (length: number): boolean => {
      this.#take(room, length);
      return true;
    };
    this.#socket =
      ca === undefined
        ? net.connect({ host, port, noDelay: true, onread: { buffer: room, callback } })
        : tls.connect({ host, port, ca, servername: 'localhost' });
    if (ca !== undefined) this.#socket.on('data', (chunk) => this.#take(chunk, chunk.length));
  }

  start(): void {
    this.#socket.on('error', this.#reject);
    this.#socket.on('close', () => this.#reject(new Error(`closed after ${this.#count} of ${this.#wanted} events`)));
    this.#socket.write(amqp.SASL_HEADER);
  }

  #take(chunk: Buffer, length: number): void {
    this.#cutter.push(chunk, length);
    this.#topUp();
  }

  #frame(bytes: Buffer, at: number, end: number): void {
    switch (amqp.performativeOf(bytes, at, end)) {
      case TRANSFER:
        this.#onTransfer(bytes, at);
        return;
      case SASL_MECHANISMS: {
        const fields = connectionFields(this.#options.connectionString);
        this.#socket.write(amqp.saslPlain(fields.SharedAccessKeyName, fields.SharedAccessKey));
        return;
      }
      case SASL_OUTCOME:
        if (!amqp.isSaslOk(bytes, at)) {
          this.#fail('the server refused the login');
          return;
        }
        this.#socket.write(
          Buffer.concat([amqp.AMQP_HEADER, amqp.open('bench', 'localhost', FRAME_BYTES_MAX), amqp.begin()]),
        );
        return;
      case OPEN:
        this.#attachAll();
        return;
      case DETACH:
      case CLOSE:
        this.#fail(`the server ended the reader: ${bytes.toString('latin1', at, end).replaceAll(/[^ -~]+/g, ' ')}`);
    }
  }

  #fail(message: string): void {
    this.#reject(new Error(message));
    this.#socket.destroy();
  }

  #attachAll(): void {
    const { connectionString, consumerGroup } = this.#options;
    const entity = connectionFields(connectionString).EntityPath;
    this.#begun = performance.now();
    const frames = this.#received.flatMap((_, partition) => [
      amqp.attach(partition, `${entity}/ConsumerGroups/${consumerGroup}/Partitions/${partition}`),
      amqp.flow(partition, 0, 0, CREDIT),
    ]);
    this.#socket.write(Buffer.concat(frames));
  }

  #onTransfer(bytes: Buffer, at: number): void {
    amqp.readTransfer(bytes, at, this.#transfer);
    this.#frames++;
    if (this.#transfer.more) return;
    if (this.#transfer.settled) this.#unsettledFrom = this.#deliveries + 1;
    this.#deliveries++;
    this.#received[this.#transfer.handle]++;
    this.#credit[this.#transfer.handle]--;
    if (this.#options.tally !== undefined) this.#options.tally.events++;
    if (++this.#count !== this.#wanted) return;
    const milliseconds = performance.now() - this.#begun;
    this.#socket.removeAllListeners('close');
    this.#socket.end(amqp.close());
    this.#resolve(milliseconds);
  }

  #topUp(): void {
    if (this.#socket.writableEnded) return;
    for (let handle = 0; handle < this.#credit.length; handle++) {
      if (this.#credit[handle] > CREDIT / 2) continue;
      this.#credit[handle] = CREDIT;
      if (this.#unsettledFrom < this.#deliveries) {
        this.#socket.write(amqp.accept(this.#unsettledFrom, this.#deliveries - 1));
        this.#unsettledFrom = this.#deliveries;
      }
      this.#socket.write(amqp.flow(handle, this.#frames, this.#received[handle], CREDIT));
    }
  }
}
