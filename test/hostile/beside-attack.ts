/** One attack on a door beside a witness: what the witness waited, what the hub's memory was at most, what the attacker sent. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { apiOf } from '../drivers/api.ts';
import type { TestHub } from '../drivers/hub.ts';
import type { AttackSent } from './door-attacker.ts';
import { EVIL } from './door-attacks.ts';
import { rssOf } from './good-client.ts';
import type { Rounds, Witness } from './witness.ts';

export interface BesideAttack extends AttackSent, Rounds {
  /** MiB of the hub's process. */
  readonly idleMiB: number;
  readonly peakMiB: number;
}

const RSS_EVERY_MS = 20;

/** The devices that attacks and the witness use. */
export async function createParties(hub: TestHub): Promise<void> {
  const api = apiOf(hub);
  for (const id of [EVIL, 'good-1']) await api.devices.create(id, {});
  await api.close();
}

/** Runs the attack of that number of `doorAttacks` for so long. */
export async function besideAttack(hub: TestHub, witness: Witness, at: number, ms: number): Promise<BesideAttack> {
  const idleMiB = rssOf(hub.pid);
  let peakMiB = idleMiB;
  const watch = setInterval(() => {
    peakMiB = Math.max(peakMiB, rssOf(hub.pid));
  }, RSS_EVERY_MS);
  await witness.rounds();
  const attacker = new Worker(new URL('./door-attacker.ts', import.meta.url), {
    workerData: { at, victim: { endpoints: hub.endpoints } },
  });
  const ended = once(attacker, 'exit');
  await once(attacker, 'message');
  const sent = once(attacker, 'message') as Promise<[AttackSent]>;
  await new Promise((resolve) => setTimeout(resolve, ms));
  const rounds = await witness.rounds();
  attacker.postMessage('stop');
  const [counts] = await sent;
  await ended;
  clearInterval(watch);
  return { ...counts, ...rounds, idleMiB, peakMiB: Math.max(peakMiB, rssOf(hub.pid)) };
}
