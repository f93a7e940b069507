import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { DATA_FORMAT, DataFolderError, lockDataFolder, openDataFolder } from './data-folder.ts';

const root = mkdtempSync(path.join(tmpdir(), 'mooring-folder-'));
after(() => rmSync(root, { recursive: true, force: true }));
let cases = 0;
const fresh = (): string => path.join(root, `case-${cases++}`, 'data');
const facts = { hubName: 'mooring', partitions: 4, createdTime: 1_700_000_000_000 };
const unnamed = { hubName: false, partitions: false };
const refuses = (folder: string, message: RegExp, asked = facts, named = unnamed): void => {
  assert.throws(
    () => openDataFolder(folder, asked, named),
    (error: unknown) => error instanceof DataFolderError && message.test(error.message),
  );
};

test('a folder is made for this user alone and keeps the facts of its first start', () => {
  const at = fresh();
  const first = openDataFolder(at, facts, unnamed);
  assert.equal(first.fresh, true);
  assert.equal(statSync(at).mode & 0o777, 0o700);
  first.release();
  const again = openDataFolder(at, { ...facts, hubName: 'other', partitions: 8 }, unnamed);
  assert.equal(again.fresh, false);
  assert.deepEqual(again.facts, { format: DATA_FORMAT, ...facts });
  again.release();
});

test('a name or partition count that was asked for and is another one is refused', () => {
  const at = fresh();
  openDataFolder(at, facts, unnamed).release();
  refuses(
    at,
    /hubName is mooring .* cannot become other.*--data-dir/s,
    { ...facts, hubName: 'other' },
    { ...unnamed, hubName: true },
  );
  refuses(at, /partitions is 4 .* cannot become 8/s, { ...facts, partitions: 8 }, { ...unnamed, partitions: true });
  openDataFolder(at, facts, { hubName: true, partitions: true }).release();
});

test('a folder that is open is refused with the process that holds it, and free after its release', () => {
  const at = fresh();
  const open = openDataFolder(at, facts, unnamed);
  refuses(at, new RegExp(`held by another hub \\(process ${process.pid}\\).*--data-dir`, 's'));
  open.release();
  openDataFolder(at, facts, unnamed).release();
});

test('with deleted lock files a second hub is refused as well, and the folder is free after the release', {
  skip: process.platform === 'linux' ? false : 'only Linux tells who has a deleted file open',
}, () => {
  const at = fresh();
  const open = openDataFolder(at, facts, unnamed);
  for (let round = 0; round < 2; round++) {
    for (const name of ['lock', 'lock.pid', 'lock-journal']) rmSync(path.join(at, name), { force: true });
    refuses(at, new RegExp(`held by another hub \\(process ${process.pid}\\), whose lock file was deleted`));
  }
  assert.throws(() => lockDataFolder(at), DataFolderError);
  open.release();
  openDataFolder(at, facts, unnamed).release();
});

test('a newer format is refused and not changed, whatever else it says', () => {
  const at = fresh();
  openDataFolder(at, facts, unnamed).release();
  const file = path.join(at, 'hub.json');
  const newer = JSON.stringify({ format: DATA_FORMAT + 1, name: 'of another shape' });
  writeFileSync(file, newer);
  refuses(at, /format 2; .* formats up to 1.*newer version/s);
  assert.equal(readFileSync(file, 'utf8'), newer);
});

test('a damaged hub.json is refused', () => {
  const at = fresh();
  openDataFolder(at, facts, unnamed).release();
  const sound = { format: 1, hubName: 'mooring', partitions: 4, createdTime: 1 };
  const entry = { newest: -1, ceilings: [1, 1, 1, 1] };
  const odd = [
    { ...sound, hubName: '../elsewhere' },
    { ...sound, partitions: 1e9 },
    { ...sound, parts: { events: { '../elsewhere': entry } } },
    { ...sound, parts: { events: { mooring: { ...entry, ceilings: [] } } } },
    { ...sound, parts: { events: { mooring: { ...entry, ceilings: [1e300] } } } },
    { ...sound, parts: [] },
  ];
  for (const content of ['', '{', '[]', '{"format":0}', '{"format":1}', ...odd.map((each) => JSON.stringify(each))]) {
    writeFileSync(path.join(at, 'hub.json'), content);
    refuses(at, /hub\.json is damaged/);
  }
});

test('a folder with other files is not taken for a new hub; what a killed first start left is', () => {
  const at = fresh();
  mkdirSync(at, { recursive: true });
  writeFileSync(path.join(at, 'thesis.txt'), '');
  refuses(at, /holds no hub, but other files \(thesis\.txt/);
  rmSync(path.join(at, 'thesis.txt'));
  for (const name of ['lock', 'lock.pid', 'hub.json.new']) writeFileSync(path.join(at, name), '');
  openDataFolder(at, facts, unnamed).release();
});

test('a folder that cannot be written is refused with what to do', () => {
  const file = path.join(root, 'file');
  writeFileSync(file, '');
  refuses(path.join(file, 'data'), /cannot be written .*--data-dir/s);
  if (process.getuid?.() !== 0) {
    const closed = path.join(root, 'closed');
    mkdirSync(closed);
    chmodSync(closed, 0o500);
    refuses(closed, /cannot be written .*--data-dir/s);
  }
});
