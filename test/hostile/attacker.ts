/** A thread that attacks, so that the well-behaved client that measures does not wait for its own process's attacks. */
import { parentPort, workerData } from 'node:worker_threads';
import { attacks } from './attacks.ts';
import type { Victim } from './good-client.ts';

const { at, victim } = workerData as { readonly at: number; readonly victim: Victim };
const stop = new AbortController();
parentPort?.once('message', () => stop.abort());
await attacks[at].run(victim, stop.signal);
parentPort?.close();
