/** Files that nobody should import: what they cost the hub, and what becomes of the good lines in them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { endOf, fileOf } from '../drivers/registry-jobs.ts';

const MIB = 2 ** 20;
/** Of blanks; a gigabyte takes some ten seconds. */
const BLANK_MIB = Number(process.env.MOORING_TEST_BLANK_MIB ?? 32);
const WRONG_LINES = 10_000;

const rssMiB = ({ pid }: TestHub): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

const deep = `{"id":"deep","tags":${'{"a":'.repeat(90_000)}1${'}'.repeat(90_000)}}`;
const wide = `{"id":"wide","tags":{"a":[${'1,'.repeat(300_000)}1]}}`;
const names = Array.from({ length: 40_000 }, (_, nth) => `"n${nth}":1`).join(',');
const large = `{"id":"large","tags":{${names}}}`;

/** Pieces of the file, and what must be told of its lines. */
function* hostile(): Generator<Buffer> {
  yield Buffer.from('{"id":"first"}\n');
  for (let nth = 0; nth < 32; nth++) yield Buffer.alloc(MIB, 'x');
  yield Buffer.from(`\n${deep}\n${wide}\n${large}\n`);
  yield Buffer.from(
    '{"id":"d1","id":"twice","tags":{"__proto__":{"a":1}}}\n{"id":{"a":1}}\n"text"\nnull\n\xff\xfe\n',
    'latin1',
  );
  yield Buffer.from('{"id":"same","tags":{"n":1}}\n{"id":"same","tags":{"n":2}}\n{"id":"same","tags":{"n":3}}\n');
  yield Buffer.from('{\n'.repeat(WRONG_LINES));
  for (let nth = 0; nth < BLANK_MIB; nth++) yield Buffer.alloc(MIB, nth % 2 === 0 ? '\n' : ' \r\n  \n');
  yield Buffer.from('{"id":"last"}');
}

test('hostile files cost bounded memory and hold up nobody; the good lines in them are taken', async (t) => {
  await using hub = await startHub();
  const api = apiOf(hub);
  const { containerUri } = await api.registryJobs.openArea();
  let bytes = 0;
  for (const piece of hostile()) bytes += piece.length;
  async function* body(): AsyncGenerator<Uint8Array> {
    yield* hostile();
  }
  await api.registryJobs.putFile(containerUri, 'devices.txt', { body: body(), bytes });
  const before = rssMiB(hub);
  const request = { type: 'import', inputBlobContainerUri: containerUri, outputBlobContainerUri: containerUri };
  const { jobId } = await api.registryJobs.create(request);
  let [most, slowest, isOver] = [before, 0, false];
  const watching = (async () => {
    while (!isOver) {
      const begun = performance.now();
      await ping(hub);
      slowest = Math.max(slowest, performance.now() - begun);
      most = Math.max(most, rssMiB(hub));
      await pause(5);
    }
  })();
  const job = await endOf(api, jobId, 600_000);
  isOver = true;
  await watching;
  t.diagnostic(
    `${Math.round(bytes / MIB)} MiB; memory ${Math.round(before)} to ${Math.round(most)} MiB; slowest answer ${Math.round(slowest)} ms`,
  );
  assert.equal(job.status, 'completed', job.failureReason);
  const errors = ((await fileOf(api, containerUri, 'importErrors.log')) ?? '')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const told = errors.slice(0, -WRONG_LINES).map(({ line, errorCode }) => [line, errorCode]);
  assert.deepEqual(told, [
    [2, 400004],
    [3, 400004],
    [4, 400004],
    [5, 400004],
    [7, 400004],
    [8, 400006],
    [9, 400006],
    [10, 400006],
  ]);
  assert.equal(errors.length, WRONG_LINES + 8);
  assert.ok(errors.every(({ errorStatus }) => errorStatus.length < 200));
  const found = (await api.devices.list()).map(({ deviceId }) => deviceId);
  assert.deepEqual(found, ['first', 'large', 'last', 'same', 'twice']);
  assert.deepEqual((await api.twins.get({ deviceId: 'same' })).tags, { n: 3 }, 'lines of one identity, in their order');
  assert.ok(most - before < 200, `memory grew from ${before} to ${most} MiB`);
  assert.ok(slowest < 4000, `an answer took ${slowest} ms`);
  api.close();
});

/** Of the port whose answers need no store. */
async function ping({ endpoints }: TestHub): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${endpoints.ports.admin}/healthz`);
  assert.equal(answer.status, 200);
  await answer.text();
}
