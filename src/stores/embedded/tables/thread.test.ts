import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../../base/clock.ts';
import { silentLog } from '../../../base/log.ts';
import { seededRandom, systemRandom } from '../../../base/random.ts';
import type { IdentityWrite } from '../../../core/identity/ports.ts';
import { exampleIdentity } from '../../contract/identities.ts';
import { openKeyCipher } from './key-file.ts';
import { type EmbeddedTables, openEmbeddedTables } from './tables.ts';

async function open(context: TestContext): Promise<EmbeddedTables> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-table-thread-'));
  const cipher = openKeyCipher({
    file: path.join(folder, 'tables.key'),
    given: undefined,
    random: systemRandom,
    log: silentLog,
  });
  const tables = await openEmbeddedTables({
    file: path.join(folder, 'hub.db'),
    cipher,
    log: silentLog,
    clock: systemClock,
  });
  context.after(async () => {
    await tables.close();
    rmSync(folder, { recursive: true });
  });
  return tables;
}

const creation = (deviceId: string): IdentityWrite => ({
  kind: 'create',
  identity: exampleIdentity({ deviceId }),
  countMax: 1000,
});

test('who asks while answers are given out gets the answer to his own question', {
  timeout: 10_000,
}, async (context) => {
  const tables = await open(context);
  await tables.identities.write(['d1', 'd2', 'd3'].map(creation));
  let heard: Promise<unknown> | undefined;
  tables.identities.watchOwnWrites(() => {
    // In the middle of the answers of a batch.
    heard = tables.identities.get({ deviceId: 'd2' });
  });
  // Both in one batch: the first one's asker goes on before what the listener has begun is sent.
  const chained = tables.identities.get({ deviceId: 'd1' }).then(() => tables.identities.get({ deviceId: 'd3' }));
  await tables.identities.write([creation('d4')]);
  assert.equal((await chained)?.deviceId, 'd3');
  assert.equal(((await heard) as { deviceId: string }).deviceId, 'd2');
});

test('everybody gets his own answer, with many who ask again at once and listeners who ask', {
  timeout: 60_000,
}, async (context) => {
  const seed = Number(process.env.MOORING_TEST_SEED ?? Date.now() % 1e9);
  const { next } = seededRandom(seed);
  const below = (bound: number): number => Math.floor(next() * bound);
  const tables = await open(context);
  const known = Array.from({ length: 20 }, (_, at) => `known-${at}`);
  await tables.identities.write(known.map(creation));
  const asked: Promise<void>[] = [];
  const ask = async (): Promise<void> => {
    const deviceId = known[below(known.length)];
    assert.equal((await tables.identities.get({ deviceId }))?.deviceId, deviceId, `MOORING_TEST_SEED=${seed}`);
  };
  tables.identities.watchOwnWrites(() => {
    if (below(2) === 0) asked.push(ask());
  });
  const work = async (name: string): Promise<void> => {
    for (let times = 0; times < 60; times++) {
      if (below(3) > 0) await ask();
      else {
        const [created] = await tables.identities.write([creation(name)]);
        assert.equal(created.kind === 'done' && created.identity.deviceId, name, `MOORING_TEST_SEED=${seed}`);
        const [deleted] = await tables.identities.write([{ kind: 'delete', key: { deviceId: name }, ifMatch: '*' }]);
        assert.equal(deleted.kind, 'done', `MOORING_TEST_SEED=${seed}`);
      }
    }
  };
  await Promise.all(Array.from({ length: 12 }, (_, at) => work(`own-${at}`)));
  await Promise.all(asked);
});
