/** `mooring data export` of events whose numbers are far behind 0: Kafka would have to count up to them. */
import assert from 'node:assert/strict';
import { existsSync, renameSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import { systemRandom } from '../../src/base/random.ts';
import { readJournal } from '../../src/stores/embedded/event-log/read-journal.ts';
import { JournalFiller } from '../../src/stores/embedded/event-log/write-journal.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub } from '../drivers/hub.ts';
import { startKafka } from '../drivers/kafka.ts';
import {
  deviceKey,
  env,
  exported,
  flagsOf,
  folders,
  newPlace,
  readAll,
  seen,
  sendSome,
  skip,
  unnumbered,
} from './export-rig.ts';

const PARTITIONS = 2;

/** The same journal, its events as many numbers later as if so many had been there before and are no longer kept. */
async function moveNumbers(folder: string, by: number): Promise<void> {
  const old = `${folder}.old`;
  renameSync(folder, old);
  const journal = await readJournal(old, PARTITIONS);
  assert.ok(journal);
  const filler = await JournalFiller.open({
    ...{ folder, segmentBytes: limits.segmentBytesMin, random: systemRandom, createdTime: Date.now() - 60_000 },
    firstSequences: journal.begin.nextSequences.map((next) => next + by),
  });
  for await (const { runs } of journal.batches()) {
    for (const { partition, ...run } of runs) {
      await filler.add(partition, { ...run, firstSequence: run.firstSequence + by });
    }
  }
  await filler.finish([]);
}

test('numbers that Kafka would count too long to are refused, with what to do; --renumber takes the hub along', {
  skip,
}, async () => {
  await using kafka = await startKafka();
  using folder = folders();
  const flags = flagsOf(newPlace(kafka));
  const args = ['--storage', 'embedded', '--partitions', String(PARTITIONS)];
  const embedded = await startHub({ dataDir: folder.at('old'), args });
  const api = apiOf(embedded);
  const authentication = { symmetricKey: { primaryKey: deviceKey, secondaryKey: deviceKey } };
  for (const deviceId of ['one', 'two']) await api.devices.create(deviceId, { authentication });
  api.close();
  await sendSome(embedded, 1);
  const before = seen(await readAll(embedded));
  await embedded.stop();
  const by = limits.exportFillersMax / PARTITIONS + 1;
  await moveNumbers(path.join(folder.at('old'), 'events', 'mooring'), by);

  const into = ['--storage', 'cluster', '--data-dir', folder.at('old'), ...flags];
  const refused = await exported([folder.at('new'), ...into]);
  assert.equal(refused.code, 1);
  assert.match(
    refused.stderr,
    /The events of mooring cannot keep their numbers: Kafka would have to count 500000002 numbers/,
  );
  assert.match(refused.stderr, /up to 500000000 are taken\. Let them get new numbers, from 0 on, with --renumber/);
  assert.ok(!existsSync(folder.at('new')), 'nothing was made');

  const done = await exported([folder.at('new'), ...into, '--renumber']);
  assert.equal(done.code, 0, done.stderr);
  assert.match(done.stdout, new RegExp(`events of mooring: ${before.length}, with new sequence numbers`));
  await using cluster = await startHub({ dataDir: folder.at('new'), env, args: ['--storage', 'cluster', ...flags] });
  const after = seen(await readAll(cluster));
  assert.deepEqual(after.map(unnumbered), before.map(unnumbered));
  assert.equal(Math.min(...after.map(({ sequence }) => sequence)), 0);
});
