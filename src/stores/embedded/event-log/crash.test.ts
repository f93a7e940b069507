/** `kill -9` under load, again and again on one folder. `KILLS=n` sets the rounds, `SEED=n` repeats their lengths. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { limits } from '../../../base/limits.ts';
import { seededRandom, systemRandom } from '../../../base/random.ts';
import { append, readAll } from '../../contract/event-log.ts';
import { fileLedger } from '../../contract/file-ledger.ts';
import { checkEventLog } from './check.ts';
import { openEmbeddedEventLog } from './event-log.ts';
import { resumeAtCeilings } from './resume.ts';

const PARTITIONS = 3;
const ROUNDS = Number(process.env.KILLS ?? 6);
const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const writer = fileURLToPath(new URL('../../contract/event-log-crash-writer.ts', import.meta.url));

/** Runs the writer until it is killed; the answer is the number of the last acknowledged record of each partition. */
async function writeUntilKilled(
  folder: string,
  name: string,
  lifeMs: number,
  ledger: readonly string[] = [],
): Promise<readonly number[]> {
  const child = spawn(process.execPath, [writer, folder, name, String(PARTITIONS), ...ledger], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const ended = once(child.stdout, 'end');
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += chunk;
  });
  await Promise.race([once(child.stdout, 'data'), exited]);
  await wait(lifeMs);
  child.kill('SIGKILL');
  const [, signal] = await exited;
  assert.equal(signal, 'SIGKILL', 'it lived until it was killed');
  await ended;
  const last = new Array<number>(PARTITIONS).fill(-1);
  // The last line may be half written; what it says was not heard.
  for (const line of said.slice(0, said.lastIndexOf('\n')).split('\n')) {
    const [partition, number] = line.split(' ').map(Number);
    last[partition] = number;
  }
  return last;
}

test(`kill -9 under load, ${ROUNDS} times: what was acknowledged is there, once, in order`, async (context) => {
  context.diagnostic(`SEED=${SEED}`);
  const random = seededRandom(SEED);
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mooring-event-log-'));
  context.after(() => fs.rm(folder, { recursive: true }));
  const settled: string[][] = Array.from({ length: PARTITIONS }, () => []);
  let acknowledged = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const name = `round-${round}`;
    const last = await writeUntilKilled(folder, name, 20 + random.next() * 200);
    const { problems } = await checkEventLog(folder);
    assert.deepEqual(
      problems.filter(({ kind, file }) => kind === 'damaged' || (kind === 'torn' && !file.endsWith('.journal'))),
      [],
    );
    const log = await openEmbeddedEventLog({
      folder,
      name: 'hub',
      partitionCount: PARTITIONS,
      retentionMs: limits.retentionMsDefault,
    });
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const texts = (await readAll(log, partition)).map((text) => text.slice(0, text.lastIndexOf(' ')));
      const before = settled[partition];
      assert.deepEqual(texts.slice(0, before.length), before);
      const fresh = texts.slice(before.length);
      assert.deepEqual(
        fresh,
        fresh.map((_, number) => `${name} ${number}`),
      );
      assert.ok(fresh.length > last[partition], `${fresh.length} records, ${last[partition]} was acknowledged`);
      acknowledged += last[partition] + 1;
      await append(log, partition, [`between ${round} .`]);
      settled[partition] = [...texts, `between ${round}`];
    }
    await log.close();
  }
  context.diagnostic(`${acknowledged} acknowledged records`);
  assert.ok(acknowledged > 100 * ROUNDS);
});

test(`kill -9 while ceilings go up, ${ROUNDS} times, and the newest segment lost: no number is given twice`, async (context) => {
  context.diagnostic(`SEED=${SEED}`);
  const random = seededRandom(SEED);
  const place = await fs.mkdtemp(path.join(os.tmpdir(), 'mooring-ceilings-'));
  context.after(() => fs.rm(place, { recursive: true }));
  const folder = path.join(place, 'log');
  const file = path.join(place, 'ledger.json');
  /** So few that nearly every batch waits for the sync of a ceiling. */
  const step = 64;
  /** What was ever read under a number, by partition. */
  const seen = Array.from({ length: PARTITIONS }, () => new Map<number, string>());
  for (let round = 0; round < ROUNDS; round++) {
    await writeUntilKilled(folder, `round-${round}`, 20 + random.next() * 200, [file, String(step)]);
    const ledger = fileLedger(file, step);
    const ceilings = ledger.kept?.ceilings ?? [];
    const log = await openEmbeddedEventLog({
      ...{ folder, name: 'hub', partitionCount: PARTITIONS, ledger },
      retentionMs: limits.retentionMsDefault,
    });
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const { firstSequence, lastSequence } = log.lastKnown(partition);
      assert.ok(lastSequence < ceilings[partition], `${lastSequence} is below ${ceilings[partition]}`);
      for (let next = firstSequence; next <= lastSequence; ) {
        const runs = await log.read(partition, next, 1_000_000);
        if (runs.length === 0) break;
        for (const run of runs) {
          for (let at = run.start, sequence = run.firstSequence; at < run.end; sequence++) {
            const size = run.bytes.readUInt32LE(at);
            const text = run.bytes.toString('latin1', at + 4, at + 4 + size);
            assert.ok((seen[partition].get(sequence) ?? text) === text, `${partition}/${sequence} was given twice`);
            seen[partition].set(sequence, text);
            at += 4 + size;
          }
          next = run.firstSequence + run.count;
        }
      }
    }
    await log.close();
    if (round % 2 === 0) continue;
    const newest = String(ledger.kept?.newest).padStart(20, '0');
    for (const kind of ['journal', 'index']) await fs.rm(path.join(folder, `${newest}.${kind}`), { force: true });
    const later = (await fs.readdir(folder)).filter((name) => Number.parseInt(name, 10) > Number(newest));
    for (const name of later) await fs.rm(path.join(folder, name));
    const meta = { partitionCount: PARTITIONS, createdTime: 1 };
    const entry = fileLedger(file, step).kept ?? { newest: -1, ceilings };
    await resumeAtCeilings({ folder, random: systemRandom }, meta, entry);
    await fileLedger(file, step).keep({ newest: -1, ceilings: entry.ceilings });
  }
  context.diagnostic(`${seen.reduce((sum, { size }) => sum + size, 0)} numbers, each with one event`);
});
