/** The process behind `connects.ts`: carries out one order, reports, and ends when its parent lets go of it. */
import net from 'node:net';
import tls from 'node:tls';
import type { ConnectsOrder, ConnectsReport, ConnectsTold } from './connects.ts';
import { Histogram } from './histogram.ts';
import { connectPacket, DISCONNECT, ShortPacketReader } from './mqtt-packets.ts';

const TICK_MS = 1;
/** An attempt that has neither an answer nor an end after this time is cut from here. */
const ATTEMPT_MS_MAX = 60_000;

class Attempts {
  readonly #order: ConnectsOrder;
  readonly #packets: readonly Buffer[];
  readonly #secureContext: tls.SecureContext | undefined;
  readonly #latency = new Histogram();
  readonly #counts = { begun: 0, accepted: 0, refused: 0, cut: 0 };
  readonly #refusedFrom: Record<string, number> = {};
  readonly #codes: Record<number, number> = {};
  readonly #marks: ConnectsReport['marks'][number][] = [];
  readonly #begunAt = performance.now();
  readonly #done: () => void;
  #underWay = 0;
  #stopped = false;
  #pacing: NodeJS.Timeout | undefined;

  constructor(order: ConnectsOrder, done: () => void) {
    this.#order = order;
    this.#done = done;
    this.#packets = order.logins.map((login) => connectPacket({ ...login, cleanSession: true, keepAliveSeconds: 60 }));
    if (order.ca !== undefined) this.#secureContext = tls.createSecureContext({ ca: order.ca });
  }

  start(): void {
    if (this.#order.ratePerSecond === undefined) this.#fill(this.#order.attemptsMax);
    this.#pacing = setInterval(() => this.#tick(), TICK_MS);
  }

  stop(): void {
    this.#stopped = true;
    this.#end();
  }

  mark(): void {
    const { user, system } = process.cpuUsage();
    this.#marks.push({ ...this.#counts, atMs: performance.now(), cpuSeconds: (user + system) / 1e6 });
    if (this.#marks.length === 1) this.#latency.clear();
  }

  report(): ConnectsReport {
    return {
      ...this.#counts,
      seconds: (performance.now() - this.#begunAt) / 1000,
      refusedFrom: this.#refusedFrom,
      codes: this.#codes,
      marks: this.#marks,
      latency: [...this.#latency.counts()],
    };
  }

  #tick(): void {
    const seconds = (performance.now() - this.#begunAt) / 1000;
    if (seconds >= this.#order.secondsMax) this.#stopped = true;
    this.#fill(this.#due(seconds));
    this.#end();
  }

  #due(seconds: number): number {
    const { ratePerSecond, attemptsMax } = this.#order;
    return ratePerSecond === undefined ? attemptsMax : Math.min(attemptsMax, Math.floor(seconds * ratePerSecond));
  }

  /** Begins attempts up to this number of all, as far as there are places. */
  #fill(upTo: number): void {
    while (!this.#stopped && this.#counts.begun < upTo && this.#underWay < this.#order.inFlightMax) this.#attempt();
  }

  #end(): void {
    if (!this.#stopped && this.#counts.begun < this.#order.attemptsMax) return;
    if (this.#underWay > 0) return;
    clearInterval(this.#pacing);
    this.#done();
  }

  #attempt(): void {
    const { addresses, port } = this.#order;
    const number = this.#counts.begun++;
    const localAddress = addresses[number % addresses.length];
    const place = { host: '127.0.0.1', port, localAddress };
    const secureContext = this.#secureContext;
    const socket =
      secureContext === undefined
        ? net.connect({ ...place, noDelay: true })
        : tls.connect({ ...place, secureContext, servername: 'localhost' });
    const reader = new ShortPacketReader();
    const begunAt = performance.now();
    let isAnswered = false;
    const connack = (code: number): void => {
      isAnswered = true;
      const measures = this.#marks.length < 2;
      if (measures) this.#latency.record(performance.now() - begunAt);
      this.#codes[code] = (this.#codes[code] ?? 0) + 1;
      if (code === 0) {
        this.#counts.accepted++;
        socket.end(DISCONNECT);
      } else {
        this.#counts.refused++;
        this.#refusedFrom[localAddress] = (this.#refusedFrom[localAddress] ?? 0) + 1;
        socket.destroy();
      }
    };
    this.#underWay++;
    socket.setTimeout(ATTEMPT_MS_MAX, () => socket.destroy());
    socket.on('data', (chunk: Buffer) => reader.take(chunk, chunk.length, { connack, puback() {} }));
    // What comes of an error is the close behind it.
    socket.on('error', () => {});
    socket.once('close', () => {
      this.#underWay--;
      if (!isAnswered) this.#counts.cut++;
      if (this.#order.ratePerSecond === undefined) this.#fill(this.#order.attemptsMax);
      this.#end();
    });
    socket.write(this.#packets[number % this.#packets.length]);
  }
}

process.once('message', (order: ConnectsOrder) => {
  const attempts = new Attempts(order, () => process.send?.(attempts.report()));
  process.on('message', (told: ConnectsTold) => {
    if (told.kind === 'mark') attempts.mark();
    else attempts.stop();
  });
  attempts.start();
});
process.once('disconnect', () => process.exit());
