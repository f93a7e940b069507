/**
 * The alarm rings: each bug that `canaries.ts` knows, put between the hub and its parts, is caught by a few seeds. One that
 * is not says that the simulation has gone blind there.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canaries } from './canaries.ts';
import { simplest } from './canary.ts';
import { planOf } from './plan.ts';
import { simulate } from './simulate.ts';

const SEEDS_MAX = 12;
/** Short ones: what is not noticed in that time is not noticed in the next seed either. */
const ACTIVE_MS = 25_000;

for (const canary of canaries) {
  test(`is caught: ${canary.name}`, async (context) => {
    for (let seed = 1; seed <= SEEDS_MAX; seed++) {
      const { finding } = await simulate(
        { ...planOf(seed), activeMs: ACTIVE_MS, ...simplest, ...canary.plan },
        { canary },
      );
      if (finding === undefined) continue;
      assert.equal(finding.name, 'Finding', finding.stack);
      context.diagnostic(`seed ${seed}: ${finding.message.slice(0, 200)}`);
      return;
    }
    assert.fail(`none of ${SEEDS_MAX} seeds has noticed`);
  });
}
