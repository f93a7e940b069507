import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { DiskTurns } from './disk-turns.ts';
import { StagedBlocks } from './staged-blocks.ts';

/** Work on the disk, of which one piece is carried out and then fails, as a disk does that has lost its answer. */
class FailingTurns extends DiskTurns {
  failsAt = Number.POSITIVE_INFINITY;

  override async run<T>(work: () => Promise<T>): Promise<T> {
    const done = await super.run(work);
    if (--this.failsAt === 0) throw new Error('EIO');
    return done;
  }
}

const places = { take: () => true, give: () => {} };
const idOf = (name: string): string => Buffer.from(name).toString('base64');

/** Three bytes of it. */
const write = (staged: StagedBlocks | undefined, name: string): Promise<void> | undefined =>
  staged?.write(idOf(name), { source: source(name), bytes: 3, offsetMax: 100 });

async function* source(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text);
}

async function textOf(staged: StagedBlocks | undefined, ...names: readonly string[]): Promise<string> {
  const list = await staged?.list(names.map(idOf));
  const found: Buffer[] = [];
  for await (const piece of list?.read() ?? []) found.push(Buffer.from(piece));
  return Buffer.concat(found).toString();
}

test('bytes of a block whose line may be on the disk, though that failed, are never those of another block', async (context) => {
  const { turns, upload } = folderOf(context);
  const staged = new StagedBlocks('d1/a', upload, turns, places);
  await write(staged, 'one');
  // Its bytes are written, then durable, then its line is.
  turns.failsAt = 3;
  await assert.rejects(async () => write(staged, 'two'));
  await write(staged, 'six');
  await staged.close();
  const again = await StagedBlocks.reopen(upload, turns, () => places);
  assert.equal(await textOf(again, 'two', 'six', 'one'), 'twosixone');
  await again?.close();
});

test('a block that comes behind a line that a crash has torn is there after the next start', async (context) => {
  const { turns, upload } = folderOf(context);
  const reopened = () => StagedBlocks.reopen(upload, turns, () => places);
  const staged = new StagedBlocks('d1/a', upload, turns, places);
  await write(staged, 'one');
  await staged.close();
  appendFileSync(path.join(upload, 'index'), '{"id":"bG9');
  const second = await reopened();
  await write(second, 'two');
  await second?.close();
  const third = await reopened();
  assert.equal(await textOf(third, 'one', 'two'), 'onetwo');
  await third?.close();
});

function folderOf(context: TestContext) {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-staged-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return { turns: new FailingTurns(folder), upload: path.join(folder, 'upload') };
}
