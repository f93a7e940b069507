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
import { seededRandom } from '../../../base/random.ts';
import { append, readAll } from '../../contract/event-log.ts';
import { checkEventLog } from './check.ts';
import { openEmbeddedEventLog } from './event-log.ts';

const PARTITIONS = 3;
const ROUNDS = Number(process.env.KILLS ?? 6);
const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const writer = fileURLToPath(new URL('../../contract/event-log-crash-writer.ts', import.meta.url));

/** Runs the writer until it is killed; the answer is the number of the last acknowledged record of each partition. */
async function writeUntilKilled(folder: string, name: string, lifeMs: number): Promise<readonly number[]> {
  const child = spawn(process.execPath, [writer, folder, name, String(PARTITIONS)], {
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
