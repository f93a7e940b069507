/**
 * Connection after connection by MQTT from a process of its own: strangers with wrong keys (an attack), or devices that
 * come and go. Every attempt is a new connection, over TLS with a full handshake, and sends one CONNECT; its end is
 * counted exactly: accepted (then it says good-bye), refused (by return code), or cut (the end came without an answer).
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Histogram } from './histogram.ts';
import type { PublisherLogin } from './publisher.ts';

export interface ConnectsOrder {
  readonly port: number;
  /** PEM of the server's authority; absent = plain TCP. */
  readonly ca?: string;
  /** Loopback addresses that the attempts come from, in turn. */
  readonly addresses: readonly string[];
  /** Used in turn. Devices that are let in must be more than may be under way, else they take each other over. */
  readonly logins: readonly Pick<PublisherLogin, 'clientId' | 'username' | 'password'>[];
  /** Attempts under way at the same time; further ones wait for a place. */
  readonly inFlightMax: number;
  /** Open loop: so many are due per second. Absent = one begins whenever another has ended. */
  readonly ratePerSecond?: number;
  /** The bounds: no attempt is begun beyond them. */
  readonly attemptsMax: number;
  readonly secondsMax: number;
}

export interface ConnectCounts {
  readonly begun: number;
  readonly accepted: number;
  readonly refused: number;
  /** Ended without an answer: whether the server has counted them is not known. */
  readonly cut: number;
}

export interface ConnectsResult extends ConnectCounts {
  /** From the first attempt to the end of the last. */
  readonly seconds: number;
  /** Refused attempts by the address they came from. */
  readonly refusedFrom: Readonly<Record<string, number>>;
  /** Attempts by return code of the CONNACK. */
  readonly codes: Readonly<Record<number, number>>;
  /** What had ended, and when, at each call of `mark`. */
  readonly marks: readonly (ConnectCounts & { readonly atMs: number; readonly cpuSeconds: number })[];
  /** From the begin of an attempt to its CONNACK, between the first mark and the second (without marks: always). */
  readonly latency: Histogram;
}

export interface Connects {
  /** Notes the counts of this moment. */
  mark(): void;
  /** Resolves when nothing is begun any more, because a bound is reached, and all attempts have ended. */
  readonly ended: Promise<ConnectsResult>;
  /** Begins nothing new, and waits for what is under way. */
  stop(): Promise<ConnectsResult>;
  /** Ends the process. */
  close(): void;
}

export type ConnectsTold = { readonly kind: 'mark' } | { readonly kind: 'stop' };
export type ConnectsReport = Omit<ConnectsResult, 'latency'> & { readonly latency: readonly number[] };

/** Starts the process; it connects as soon as it has its order. */
export async function startConnects(order: ConnectsOrder): Promise<Connects> {
  const child = fork(new URL('./connects-process.ts', import.meta.url), {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const tell = (told: ConnectsTold): void => {
    if (child.connected) child.send(told);
  };
  const ended = new Promise<ConnectsResult>((resolve, reject) => {
    child.once('message', (report: ConnectsReport) => {
      resolve({ ...report, latency: new Histogram(Float64Array.from(report.latency)) });
      child.disconnect();
    });
    child.once('exit', (code, signal) => reject(new Error(`the process that connects ended: ${signal ?? code}`)));
    child.once('error', reject);
  });
  ended.catch(() => {});
  if (child.pid === undefined) await once(child, 'spawn');
  child.send(order);
  return {
    ended,
    mark: () => tell({ kind: 'mark' }),
    stop() {
      tell({ kind: 'stop' });
      return ended;
    },
    close: () => void child.kill('SIGKILL'),
  };
}
