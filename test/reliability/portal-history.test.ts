/** The past that charts of the portal show, after `kill -9` of the hub. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startHub } from '../drivers/hub.ts';
import { signIn } from '../drivers/portal.ts';
import { until } from '../drivers/until.ts';

interface History {
  readonly from: number;
  readonly stepMs: number;
  readonly series: Readonly<Record<string, readonly (number | null)[]>>;
}

/** By its time, what was known of each step that began before `before`. */
function knownBefore({ from, stepMs, series }: History, before: number): ReadonlyMap<number, number> {
  const steps = series.diskFree.map((value, at) => [from + at * stepMs, value] as const);
  return new Map(steps.filter((step): step is [number, number] => step[1] !== null && step[0] < before));
}

test('a hub that is killed shows the same past when it is back, but for its last ten seconds', async () => {
  let hub = await startHub();
  try {
    const ask = async (): Promise<History> => {
      const session = await signIn(hub, { connectionString: hub.endpoints.connectionStrings.iothubowner });
      return (await (await session.fetch('/portal/history?points=2000')).json()) as History;
    };
    let before = await ask();
    const isKnown = async (): Promise<boolean> => {
      before = await ask();
      // The step that is under way may be written anew.
      return knownBefore(before, Date.now() - before.stepMs).size >= 1;
    };
    await until('a step is over', isKnown, { everyMs: 1000, withinMs: 90_000 });
    const known = knownBefore(before, Date.now() - before.stepMs);
    await hub.kill();
    hub = await hub.restart();
    const after = knownBefore(await ask(), Date.now());
    for (const [time, value] of known) assert.equal(after.get(time), value, new Date(time).toISOString());
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});
