/**
 * Runs simulations: `npm run sim -- --seeds 1000` as many of random seeds, `--seed S` that one and those behind it.
 * `--minutes M` stops then; `--plan '{…}'` changes the plan that the seed gives, `--canary NAME` puts a bug in, `--trace`
 * prints what happens; `--cluster` has the hub on Kafka and PostgreSQL. A seed that fails is reduced, and printed with the command that repeats it.
 */
import { parseArgs } from 'node:util';
import { canaries } from './canaries.ts';
import { clusterCanaries } from './canaries-cluster.ts';
import { simplest } from './canary.ts';
import { clusterPlanOf, type Plan, planOf } from './plan.ts';
import { reduce } from './reduce.ts';
import { simulate } from './simulate.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    seed: { type: 'string' },
    minutes: { type: 'string' },
    plan: { type: 'string' },
    canary: { type: 'string' },
    trace: { type: 'boolean' },
    cluster: { type: 'boolean' },
  },
});

/** Of Kafka and PostgreSQL where that is asked for. */
const planOfSeed = values.cluster ? clusterPlanOf : planOf;
const canary = [...canaries, ...clusterCanaries].find(({ name }) => name === values.canary);
if (values.canary !== undefined && canary === undefined) throw new Error(`There is no canary ${values.canary}.`);
const changes = {
  ...(canary && { ...simplest, ...canary.plan }),
  ...(JSON.parse(values.plan ?? '{}') as Partial<Plan>),
};
const seeds = Number(values.seeds ?? (values.seed === undefined ? 100 : 1));
const first = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
const until = performance.now() + Number(values.minutes ?? 600) * 60_000;
const sums: Record<string, number> = {};
const started = performance.now();
let failed = 0;
let ran = 0;

for (let seed = first; seed < first + seeds && performance.now() < until; seed++, ran++) {
  const plan = { ...planOfSeed(seed), ...changes };
  const options = { ...(canary && { canary }), print: values.trace ?? false };
  const outcome = await simulate(plan, options);
  for (const [name, value] of Object.entries(outcome.counters)) sums[name] = (sums[name] ?? 0) + value;
  if (seeds === 1) process.stdout.write(`trace ${outcome.traceHash}\n`);
  if (outcome.finding === undefined) continue;
  failed++;
  process.stdout.write(`seed ${seed}: ${outcome.finding.message}\n`);
  const least = await reduce(outcome, canary);
  const differs = Object.entries(least.plan).filter(([name, value]) => planOfSeed(seed)[name as keyof Plan] !== value);
  const planText = JSON.stringify(Object.fromEntries(differs.filter(([name]) => name !== 'seed')));
  process.stdout.write(`${least.lastLines.slice(-40).join('\n')}\n${least.finding?.stack}\n`);
  const storage = values.cluster ? ' --cluster' : '';
  const bug = `${storage}${canary === undefined ? '' : ` --canary '${canary.name}'`}`;
  process.stdout.write(`again: npm run sim -- --seed ${seed}${bug}\n`);
  process.stdout.write(`reduced: npm run sim -- --seed ${seed} --plan '${planText}'${bug}\n\n`);
}

const seconds = (performance.now() - started) / 1000;
const perHour = Math.round((ran / seconds) * 3600);
const figures = Object.entries(sums).map(([name, value]) => `  ${name} ${value}`);
process.stdout.write(`${ran} seeds from ${first}, ${failed} failed; ${perHour} seeds an hour\n${figures.join('\n')}\n`);
process.exitCode = failed > 0 ? 1 : 0;
