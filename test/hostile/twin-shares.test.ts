/** Calls that read or write whole twins take as long as a hundred others: who asks for many of them waits, and the others go past. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { silentLog } from '../../src/base/log.ts';
import { systemRandom } from '../../src/base/random.ts';
import type { IdentityWrite } from '../../src/core/identity/ports.ts';
import { exampleIdentity } from '../../src/stores/contract/identities.ts';
import { openKeyCipher } from '../../src/stores/embedded/tables/key-file.ts';
import { type EmbeddedTables, openEmbeddedTables } from '../../src/stores/embedded/tables/tables.ts';
import { withLimits } from './cost.ts';

async function open(context: TestContext): Promise<EmbeddedTables> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-twin-shares-'));
  const file = path.join(folder, 'tables.key');
  const cipher = openKeyCipher({ file, given: undefined, random: systemRandom, log: silentLog });
  const tables = await openEmbeddedTables({
    ...{ file: path.join(folder, 'hub.db'), cipher },
    ...{ log: silentLog, clock: systemClock },
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

test('calls that read whole twins wait a few at a time, and others go past them; without that bound they wait', {
  timeout: 60_000,
}, async (context) => {
  const tables = await open(context);
  await tables.identities.write(['d1', 'd2'].map(creation));
  const key = { deviceId: 'd1' };
  /** Of 400 reads of a twin that one asks for first, those that are answered before another's read of an identity. */
  const before = async (): Promise<number> => {
    let answered = 0;
    const reads = Array.from({ length: 400 }, () =>
      tables.twins.load(key).then((kept) => {
        assert.ok(kept !== undefined);
        answered++;
      }),
    );
    // The first batch is on its way.
    await Promise.race(reads);
    await tables.identities.get({ deviceId: 'd2' });
    const past = answered;
    await Promise.all(reads);
    assert.equal(answered, 400);
    return past;
  };
  const most = await before();
  assert.ok(most <= 3 * limits.tablePatientCallsMax, `${most} were answered before it`);
  const without = await withLimits({ tablePatientCallsMax: 400, tableBatchMs: 60_000 }, before);
  assert.ok(without > most, `${without} without the bound, ${most} with it`);
});

test('what a batch has no time for is done by the next ones, each once', { timeout: 60_000 }, async (context) => {
  await withLimits({ tableBatchMs: 0 }, async () => {
    const tables = await open(context);
    await tables.identities.write([creation('d1')]);
    const key = { deviceId: 'd1' };
    const terms = { ifMatch: '*', time: 1, withEvents: false };
    const changes = Array.from({ length: 40 }, (_, nth) =>
      tables.twins.change(key, { kind: 'merge', tags: { [`n${nth}`]: nth } }, terms),
    );
    const versions = (await Promise.all(changes)).map((outcome) =>
      outcome.kind === 'done' ? outcome.kept.twin.changes : 0,
    );
    assert.deepEqual(
      versions,
      versions.map((_, at) => versions[0] + at),
      'one after the other, in order',
    );
    assert.equal(Object.keys((await tables.twins.load(key))?.twin.tags ?? {}).length, 40);
  });
});
