import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodedName, fileNameOf } from './file-names.ts';

const NAMES = [
  'a',
  'A',
  'é', // one character
  'e\u0301', // the same to look at, of two
  'ﬁ',
  'fi',
  'K', // the sign of kelvin, which folds to k
  'k',
  'ß',
  'SS',
  'a b',
  'a+b',
  'a%20b',
  'a%2520b',
  'a/b',
  'a%2Fb',
  'a%2fb',
  '..a',
  'a.',
  'a..',
  '.facts',
  '.staging',
  '.facts/x',
  '~hub',
  'con',
  'nul.txt',
  'a:b',
  'a*b?"<>|',
  '日本'.repeat(512),
  `${'日本'.repeat(511)}日x`,
  `${'日本'.repeat(511)}日X`,
  '𝄞'.repeat(512),
  'x'.repeat(1024),
  'X'.repeat(1024),
  `${'x'.repeat(1023)}y`,
];

for (const foldsCase of [false, true]) {
  test(`names stay apart, in their folder${foldsCase ? ', where the file system folds case' : ''}`, () => {
    const files = new Map<string, string>();
    for (const name of NAMES) {
      const { folder, file } = fileNameOf(`d1/${name}`, foldsCase);
      assert.equal(folder, 'd1');
      // Plain ASCII, which no file system normalizes; no path, not hidden, no name of the store's own.
      assert.match(file, /^[A-Za-z0-9%_~-][A-Za-z0-9%._~-]*$/, name);
      assert.ok(file.length <= 200 && !file.endsWith('.'), file);
      const key = foldsCase ? file.toLowerCase() : file;
      assert.equal(files.get(key), undefined, `${name} and ${files.get(key)}`);
      files.set(key, name);
      if (!file.startsWith('~')) assert.equal(decodedName(file), name);
    }
  });

  test(`devices stay apart${foldsCase ? ', where the file system folds case' : ''}`, () => {
    const folders = [
      'd1',
      'D1',
      '.staging',
      '.facts',
      '..d',
      'd.',
      '~hub',
      'a%b',
      'a:b',
      "d'(!)*",
      'x'.repeat(128),
    ].map((device) => fileNameOf(`${device}/x`, foldsCase).folder);
    const keys = folders.map((folder) => (foldsCase ? folder.toLowerCase() : folder));
    assert.equal(new Set(keys).size, folders.length);
    for (const folder of folders) assert.match(folder, /^[A-Za-z0-9%_~-][A-Za-z0-9%._~-]*$/);
  });
}
