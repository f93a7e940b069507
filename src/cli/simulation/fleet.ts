import type { Failure } from '../failure.ts';
import { type DeviceIdentity, type DeviceTarget, SimulatedDevice } from './device.ts';
import { Histogram } from './histogram.ts';
import type { OwnSideOptions } from './own-side.ts';
import type { Payload } from './payload.ts';

const TICK_MS = 10;
const KEEP_ALIVE_CHECK_MS = 5000;
const BACKOFF_MS_MIN = 250;
const BACKOFF_MS_MAX = 10_000;

export interface FleetOptions extends OwnSideOptions {
  readonly target: DeviceTarget;
  readonly qos: 0 | 1;
  /** Unacknowledged messages of one device before it waits. */
  readonly windowMax: number;
  /** The topic's property bag, encoded. */
  readonly properties: string;
  readonly payload: Payload;
  /** Messages per second of all devices together; Infinity = as fast as the hub acknowledges. */
  readonly ratePerSecond: number;
  /** Reported patches per second of all devices together. */
  readonly reportsPerSecond: number;
  /** Messages of each device; Infinity = until stopped. */
  readonly messagesPerDevice: number;
  readonly connectsAtOnce: number;
}

/** Counts since the start; what is counted twice (a repeated message) is counted once. */
export interface FleetFacts {
  readonly devices: number;
  readonly connected: number;
  readonly sent: number;
  readonly acknowledged: number;
  /** Messages that were due and could not be sent yet. */
  readonly behind: number;
  readonly unacknowledged: number;
  /** Reported patches: that were sent, that the hub took, that it refused. */
  readonly reported: number;
  readonly reportsAccepted: number;
  readonly reportsRefused: number;
  readonly methodsAnswered: number;
  /** Connections that ended unasked, and tries that failed. */
  readonly errors: number;
  readonly lastError: Failure | undefined;
}

/**
 * Many devices in one process. Connects are bounded in number; a lost device comes back by itself, later each time it
 * fails. Messages fall due by the clock, device after device; one whose window is full keeps them owed and catches up.
 */
export class Fleet {
  readonly latency = new Histogram();
  /** Latencies since this was last reset: what a live display shows. */
  readonly recent = new Histogram();
  readonly #options: FleetOptions;
  readonly #devices: readonly SimulatedDevice[];
  readonly #attempts = new Map<SimulatedDevice, number>();
  readonly #queue: SimulatedDevice[] = [];
  readonly #timers = new Set<NodeJS.Timeout>();
  #connecting = 0;
  #connected = 0;
  #sent = 0;
  #acknowledged = 0;
  #reported = 0;
  #reportsAccepted = 0;
  #reportsRefused = 0;
  #methodsAnswered = 0;
  #errors = 0;
  #lastError: Failure | undefined;
  #closed = false;
  #running = false;
  /** How many messages have fallen due. */
  #due = 0;
  /** The same of reports. */
  #reportsDue = 0;
  #wake: () => void = () => {};

  constructor(identities: readonly DeviceIdentity[], options: FleetOptions) {
    this.#options = options;
    const events = {
      acknowledged: (_: SimulatedDevice, latencyMs: number): void => {
        this.#acknowledged += 1;
        this.latency.record(latencyMs);
        this.recent.record(latencyMs);
        this.#wake();
      },
      ready: (device: SimulatedDevice): void => this.#pump(device),
      reported: (isAccepted: boolean): void => {
        if (isAccepted) this.#reportsAccepted += 1;
        else this.#reportsRefused += 1;
        this.#wake();
      },
      methodAnswered: (): void => {
        this.#methodsAnswered += 1;
      },
      lost: (device: SimulatedDevice, failure: Failure): void => {
        this.#connected -= 1;
        this.#failed(device, failure);
      },
    };
    this.#devices = identities.map((identity) => new SimulatedDevice(identity, options, events));
    const keepAlive = setInterval(() => {
      const now = performance.now();
      for (const device of this.#devices) device.tick(now);
    }, KEEP_ALIVE_CHECK_MS);
    this.#timers.add(keepAlive);
  }

  facts(): FleetFacts {
    return {
      devices: this.#devices.length,
      connected: this.#connected,
      sent: this.#sent,
      acknowledged: this.#acknowledged,
      behind: Math.max(0, this.#due - this.#sent),
      unacknowledged: this.#options.qos === 0 ? 0 : this.#sent - this.#acknowledged,
      reported: this.#reported,
      reportsAccepted: this.#reportsAccepted,
      reportsRefused: this.#reportsRefused,
      methodsAnswered: this.#methodsAnswered,
      errors: this.#errors,
      lastError: this.#lastError,
    };
  }

  /** Connects all; resolves when each has been tried once, or when stopped. Those that failed are tried again. */
  async connect(stop: AbortSignal): Promise<void> {
    this.#queue.push(...this.#devices);
    this.#connectNext();
    await this.#until(stop, () => this.#connected + this.#attempts.size >= this.#devices.length);
  }

  /** Sends until each device has sent its messages and they are acknowledged, or until stopped. */
  async run(stop: AbortSignal): Promise<void> {
    const { ratePerSecond, messagesPerDevice } = this.#options;
    const startedAt = performance.now();
    const total = this.#devices.length * messagesPerDevice;
    this.#running = true;
    const fallDue = (): void => {
      const due = Math.min(total, Math.floor(((performance.now() - startedAt) / 1000) * ratePerSecond) + 1);
      for (; this.#due < due; this.#due++) {
        const device = this.#devices[this.#due % this.#devices.length];
        device.owed += 1;
        this.#pump(device);
      }
    };
    const pace = ratePerSecond === Number.POSITIVE_INFINITY ? undefined : setInterval(fallDue, TICK_MS);
    if (pace === undefined) this.#oweAll(messagesPerDevice);
    else this.#timers.add(pace);
    const reporting = this.#options.reports ? setInterval(() => this.#reportWhatIsDue(startedAt), TICK_MS) : undefined;
    if (reporting !== undefined) this.#timers.add(reporting);
    await this.#until(stop, () => this.#isDone(total));
    this.#running = false;
    clearInterval(pace);
    clearInterval(reporting);
  }

  /** Waits for the acknowledgements and answers that are missing, at most `waitMs`. */
  async settle(waitMs: number): Promise<void> {
    const isSettled = (): boolean =>
      this.facts().unacknowledged === 0 && this.#devices.every(({ unansweredReports }) => unansweredReports === 0);
    await this.#until(AbortSignal.timeout(waitMs), isSettled);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    await Promise.all(this.#devices.map((device) => device.close()));
  }

  /** Device after device, by the clock. One that is away does not report: its next report says more than the missed one. */
  #reportWhatIsDue(startedAt: number): void {
    const seconds = (performance.now() - startedAt) / 1000;
    const due = Math.floor(seconds * this.#options.reportsPerSecond) + 1;
    for (; this.#reportsDue < due; this.#reportsDue++) {
      if (this.#devices[this.#reportsDue % this.#devices.length].report()) this.#reported += 1;
    }
  }

  #isDone(total: number): boolean {
    if (this.#sent < total) return false;
    return this.#options.qos === 0 || this.#acknowledged >= total;
  }

  #oweAll(messages: number): void {
    for (const device of this.#devices) {
      device.owed = messages;
      this.#pump(device);
    }
  }

  #pump(device: SimulatedDevice): void {
    while (this.#running && device.owed > 0 && device.canSend) {
      device.owed -= 1;
      const { id: deviceId, sent } = device;
      device.send(this.#options.payload({ deviceId, sequence: sent + 1, time: Date.now(), random: Math.random }));
      this.#sent += 1;
      if (this.#options.qos === 0) this.#wake();
    }
  }

  #connectNext(): void {
    while (!this.#closed && this.#connecting < this.#options.connectsAtOnce) {
      const device = this.#queue.shift();
      if (device === undefined) return;
      this.#connecting += 1;
      device
        .connect(this.#options.target)
        .then(
          () => {
            this.#attempts.delete(device);
            this.#connected += 1;
            this.#pump(device);
          },
          (failure: Failure) => this.#failed(device, failure),
        )
        .finally(() => {
          this.#connecting -= 1;
          this.#wake();
          this.#connectNext();
        });
    }
  }

  /** The connection, or a try to make one, is over: again after a while. */
  #failed(device: SimulatedDevice, failure: Failure): void {
    if (this.#closed) return;
    this.#errors += 1;
    this.#lastError = failure;
    const attempts = (this.#attempts.get(device) ?? 0) + 1;
    this.#attempts.set(device, attempts);
    const backoffMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** (attempts - 1)) * (0.5 + Math.random());
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#queue.push(device);
      this.#connectNext();
    }, backoffMs);
    this.#timers.add(timer);
    this.#wake();
  }

  /** Resolves when `done`, which is asked whenever something has happened, or when stopped. */
  #until(stop: AbortSignal, done: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (!stop.aborted && !done()) return;
        stop.removeEventListener('abort', check);
        this.#wake = () => {};
        resolve();
      };
      this.#wake = check;
      stop.addEventListener('abort', check);
      check();
    });
  }
}

/** The bag of a telemetry topic (device reference 2.3): content type, encoding, application properties. */
export function propertyBag(
  contentType: string | undefined,
  properties: readonly (readonly [string, string])[],
): string {
  const pairs = [
    ...(contentType === undefined
      ? []
      : [
          ['$.ct', contentType],
          ['$.ce', 'utf-8'],
        ]),
    ...properties,
  ];
  return pairs.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');
}
