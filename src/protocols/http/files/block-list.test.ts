import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readBlockList } from './block-list.ts';

test('work is in proportion to the list, wherever its blanks stand', () => {
  const blanks = ' '.repeat(128 * 1024);
  const lists = [
    blanks,
    `<?xml version="1.0"?>${blanks}`,
    `${blanks}<?xml version="1.0"?>${blanks}`,
    `<BlockList${blanks}`,
    `<BlockList>${blanks}`,
    `<BlockList><Latest>${blanks}`,
    `<BlockList><Latest>${'A'.repeat(128)}${blanks}`,
    `<BlockList><Latest>QQ==</Latest>${blanks}</BlockList>${blanks}x`,
  ];
  for (const list of lists) {
    const before = process.cpuUsage();
    assert.throws(() => readBlockList(list), { code: 'InvalidXmlDocument' });
    const { user } = process.cpuUsage(before);
    // Linear takes less than a millisecond or two; with each way of cutting the blanks in two it is many seconds.
    assert.ok(user < 500_000, `${user / 1000} ms for ${list.length} characters`);
  }
});

test('blanks and a mark of byte order do not matter', () => {
  const list =
    '\uFEFF\n <?xml version="1.0" encoding="utf-8"?>\n <BlockList>\n <Latest> QQ== </Latest>\n</BlockList>\n';
  assert.deepEqual(readBlockList(list), ['QQ==']);
  assert.deepEqual(readBlockList(' <BlockList />'), []);
});
