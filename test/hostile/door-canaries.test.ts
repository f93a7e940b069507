/**
 * Bounds of the doors are taken away, one kind at a time, to show that the suite notices: the attack that they hold must then keep the
 * hub's loops busy for longer at a time. What is compared is CPU time of turns, with the bounds and without, of hubs that run one after the
 * other; so a slow or a busy machine does not matter. Bounds that are counted have their canaries in `shares.test.ts`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { besideAttack, busiest, createParties, watchedHub } from './beside-attack.ts';
import type { LimitName } from './cost.ts';
import { attackNamed } from './door-attacks.ts';
import { startWitness } from './witness.ts';

/** What is away is not noticed each time: the attacker may have had no time of the processor. */
const ATTEMPTS = 4;
const MS = 1500;
/** How much longer the longest turns must be. */
const TIMES = 2;
const LEAST_MS = 40;

const canaries: readonly (readonly [attack: string, without: readonly LimitName[]])[] = [
  ['anonymous, AMQP: links to $cbs', ['amqpWorkPerTurn']],
  [
    'anonymous, AMQP: attaches that are refused',
    [
      'amqpFrameDecodedBytesMax',
      'amqpAttachBytesMax',
      'amqpUnauthenticatedBytesMax',
      'amqpFrameBytesMaxUnauthenticated',
    ],
  ],
  ['device, AMQP: attaches that are refused', ['amqpFrameDecodedBytesMax', 'amqpAttachBytesMax', 'amqpKeptBytesMax']],
  ['device, AMQP: its twin of 32 KiB', ['twinCharsPerTurn', 'tablePatientCallsMax', 'tableBatchMs']],
  [
    'back end, HTTPS: a twin of 32 KiB',
    ['twinCharsPerTurn', 'tablePatientCallsMax', 'tableBatchMs', 'httpBodyBytesPerTurn'],
  ],
];

/** CPU milliseconds of the longest turns while that attack runs against a hub without these bounds. */
async function busyMs(at: number, without: readonly LimitName[]): Promise<number> {
  const env = { CANARY_LIMITS: JSON.stringify(Object.fromEntries(without.map((name) => [name, 1_000_000_000]))) };
  await using watched = await watchedHub({ env }, [new URL('./canary.ts', import.meta.url).href]);
  await createParties(watched.hub);
  const witness = await startWitness(watched.hub);
  const { turns } = await besideAttack(watched, witness, at, MS);
  await witness.stop();
  return busiest(turns);
}

for (const [attack, without] of canaries) {
  test(`canary: ${attack}, without ${without.join(', ')}`, { timeout: 240_000 }, async () => {
    const at = attackNamed(attack);
    let said = '';
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const bounded = await busyMs(at, []);
      const unbounded = await busyMs(at, without);
      said = `${bounded.toFixed(0)} ms with, ${unbounded.toFixed(0)} ms without`;
      console.log(`${attack}: longest turns ${said}`);
      if (unbounded >= Math.max(LEAST_MS, TIMES * bounded)) return;
    }
    assert.fail(said);
  });
}
