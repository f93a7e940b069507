/** A thread that carries out one attack after the other on the doors, and says what it has sent. */
import { parentPort, workerData } from 'node:worker_threads';
import { doorAttacks } from './door-attacks.ts';
import type { Victim } from './good-client.ts';
import { openKit } from './lines.ts';

/** What has been sent by an attack that has ended. */
export interface AttackSent {
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly lines: number;
}

const { at, victim } = workerData as { readonly at: number; readonly victim: Victim };
const stop = new AbortController();
parentPort?.once('message', () => stop.abort());
const kit = openKit(victim, stop.signal, () => parentPort?.postMessage('begins'));
await doorAttacks[at].run(kit);
parentPort?.postMessage({
  sentBytes: kit.sentBytes,
  receivedBytes: kit.receivedBytes,
  lines: kit.lines,
} satisfies AttackSent);
parentPort?.close();
