import type { Canary } from './canary.ts';
import { reductions } from './plan.ts';
import { type Outcome, simulate } from './simulate.ts';

const ATTEMPTS_MAX = 60;

/** A smaller simulation that fails too: fewer actors, less time, fewer kinds of faults. */
export async function reduce(failed: Outcome, canary?: Canary): Promise<Outcome> {
  let least = failed;
  let attempts = 0;
  for (let goesOn = true; goesOn; ) {
    goesOn = false;
    for (const plan of reductions(least.plan)) {
      if (attempts++ >= ATTEMPTS_MAX) return least;
      const outcome = await simulate(plan, canary && { canary });
      if (kindOf(outcome) !== kindOf(failed)) continue;
      least = outcome;
      goesOn = true;
      break;
    }
  }
  return least;
}

/** What was found, without its names and numbers: another bug would lead astray. */
function kindOf({ finding }: Outcome): string | undefined {
  return finding?.message.replace(/[a-z]*\d[\w.]*/g, '').slice(0, 60);
}
