/**
 * One attack on a door beside a witness: what the witness waited, how long a turn of the hub's loops was at most, what its memory was
 * at most, what the attacker sent.
 */
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { apiOf } from '../drivers/api.ts';
import { type HubOptions, startHub, type TestHub } from '../drivers/hub.ts';
import type { AttackSent } from './door-attacker.ts';
import { rssOf } from './good-client.ts';
import { EVIL } from './lines.ts';
import type { Rounds, Witness } from './witness.ts';

export interface BesideAttack extends AttackSent, Rounds {
  /** MiB of the hub's process. */
  readonly idleMiB: number;
  readonly peakMiB: number;
  /** CPU milliseconds of the turns of its loops that were busy for long, each of one thread. */
  readonly turns: readonly number[];
}

/** A hub that is looked at while it is attacked. */
export interface WatchedHub extends AsyncDisposable {
  readonly hub: TestHub;
  /** CPU milliseconds of long turns since the time `from` (`Date.now()`); empty = none was as long as what is written down. */
  turnsSince(from: number): readonly number[];
}

/** CPU milliseconds of the five longest turns together: one alone may be a collection of garbage, or code that is compiled. */
export const busiest = (turns: readonly number[]): number =>
  turns
    .toSorted((a, b) => b - a)
    .slice(0, 5)
    .reduce((sum, ms) => sum + ms, 0);

const probe = new URL('./turn-probe.ts', import.meta.url).href;

/** @param imports Further modules that are loaded into it before everything else */
export async function watchedHub({ args, env }: HubOptions = {}, imports: readonly string[] = []): Promise<WatchedHub> {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-turns-'));
  const file = path.join(folder, 'turns');
  const flags = [probe, ...imports].map((each) => `--import=${each}`).join(' ');
  const hub = await startHub({ args, env: { ...env, NODE_OPTIONS: flags, TURN_PROBE_FILE: file } });
  return {
    hub,
    turnsSince(from) {
      const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
      const turns = lines.map((line) => line.split(' ').map(Number));
      return turns.filter(([at = 0]) => at >= from).map(([, ms = 0]) => ms);
    },
    async [Symbol.asyncDispose]() {
      await hub[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const RSS_EVERY_MS = 20;

/** The devices that attacks and the witness use. */
export async function createParties(hub: TestHub): Promise<void> {
  const api = apiOf(hub);
  for (const id of [EVIL, 'good-1']) await api.devices.create(id, {});
  await api.close();
}

/** Runs the attack of that number of `doorAttacks` for so long. */
export async function besideAttack(
  { hub, turnsSince }: WatchedHub,
  witness: Witness,
  at: number,
  ms: number,
): Promise<BesideAttack> {
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
  const begun = Date.now();
  const sent = once(attacker, 'message') as Promise<[AttackSent]>;
  await new Promise((resolve) => setTimeout(resolve, ms));
  const rounds = await witness.rounds();
  attacker.postMessage('stop');
  const [counts] = await sent;
  await ended;
  clearInterval(watch);
  return { ...counts, ...rounds, turns: turnsSince(begun), idleMiB, peakMiB: Math.max(peakMiB, rssOf(hub.pid)) };
}
