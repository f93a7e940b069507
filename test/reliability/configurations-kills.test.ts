/**
 * `kill -9` in the midst of roll-outs over a fleet, again and again on one data folder: each converges, nobody is left out, and no device
 * is changed twice for one change. MOORING_TEST_KILLS sets the rounds, MOORING_TEST_SEED the seed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';

const ROUNDS = Number(process.env.MOORING_TEST_KILLS ?? 3);
const SEED = Number(process.env.MOORING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const DEVICES = 1200;
const AT_ONCE = 100;

test(`kill -9 in the midst of ${ROUNDS} roll-outs to ${DEVICES} devices: nobody is left out, nobody is changed twice`, {
  timeout: 60_000 + ROUNDS * 40_000,
}, async (t) => {
  t.diagnostic(`MOORING_TEST_SEED=${SEED} MOORING_TEST_KILLS=${ROUNDS}`);
  const random = seededRandom(SEED);
  let hub = await startHub();
  let api = apiOf(hub);
  try {
    const ids = Array.from({ length: DEVICES }, (_, at) => `d${String(at).padStart(4, '0')}`);
    for (let at = 0; at < DEVICES; at += AT_ONCE) {
      const { isSuccessful } = await api.devices.bulk(
        ids.slice(at, at + AT_ONCE).map((id) => ({
          ...{ id, importMode: 'create' as const, tags: { odd: Number(id.slice(1)) % 2 } },
        })),
      );
      assert.ok(isSuccessful);
    }
    /** Whether the configuration of each round is there still, and for whom. */
    const wanted: { readonly id: string; readonly isForOdd: boolean }[] = [];
    const versions = new Map<string, number>(ids.map((id) => [id, 1]));
    let caught = 0;
    for (let round = 1; round <= ROUNDS; round++) {
      const id = `round-${round}`;
      const isForOdd = round % 2 === 0;
      const first = round === ROUNDS ? wanted.shift() : undefined;
      const value = { deviceContent: { [`properties.desired.${id}`]: round } };
      await api.configurations.create(id, { content: value, targetCondition: isForOdd ? 'tags.odd = 1' : '*' });
      if (first !== undefined) await api.configurations.delete(first.id);
      wanted.push({ id, isForOdd });
      const most = Math.floor(random.next() * 0.8 * (isForOdd ? DEVICES / 2 : DEVICES));
      let applied = 0;
      await until('some have it', async () => {
        applied = (await api.configurations.get(id)).systemMetrics.results.appliedCount;
        return applied > most;
      });
      await hub.kill();
      api.close();
      if (applied < (isForOdd ? DEVICES / 2 : DEVICES)) caught++;
      hub = await hub.restart();
      api = apiOf(hub);
      await until('the roll-out is everywhere', async () =>
        (await api.configurations.list()).every(({ evaluated }) => evaluated),
      );
      for (const { id: each, isForOdd: odd } of wanted) {
        const { targetedCount, appliedCount } = (await api.configurations.get(each)).systemMetrics.results;
        assert.deepEqual([targetedCount, appliedCount], odd ? [DEVICES / 2, DEVICES / 2] : [DEVICES, DEVICES], each);
      }
      const rows = [];
      for await (const row of api.queries.rows('SELECT deviceId, tags, properties.desired AS d FROM devices'))
        rows.push(row);
      assert.equal(rows.length, DEVICES);
      for (const { deviceId, tags, d } of rows as {
        deviceId: string;
        tags: { odd: number };
        d: Record<string, unknown>;
      }[]) {
        const { $version, $metadata, ...values } = d;
        const own = wanted.filter(({ isForOdd: odd }) => !odd || tags.odd === 1).map((each) => each.id);
        assert.deepEqual(Object.keys(values).sort(), [...own].sort(), deviceId);
        const changes = Number($version) - versions.get(deviceId)!;
        const isMeant = !isForOdd || tags.odd === 1;
        // What comes and what goes in one round may be one change, or two.
        const most = (isMeant ? 1 : 0) + (first === undefined ? 0 : 1);
        assert.ok(changes <= most && changes >= Math.min(most, 1), `${deviceId} was changed ${changes} times`);
        versions.set(deviceId, Number($version));
      }
    }
    t.diagnostic(`${caught} of ${ROUNDS} kills came in the midst of a roll-out`);
    assert.ok(caught > 0, 'a kill came in the midst');
  } finally {
    api.close();
    await hub[Symbol.asyncDispose]();
  }
});
