import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memberText, scanJson } from './json-scan.ts';
import { seededRandom } from './random.ts';

const cost = (text: string) => scanJson(Buffer.from(text));

test('depth, values and integers are seen without a parser', () => {
  assert.deepEqual(cost('1'), { depth: 0, values: 1, elements: 1, integerMax: 1 });
  assert.equal(cost('[[{"a":[]}]]').depth, 4);
  assert.equal(cost('{"a":"[[[[","b":"\\"[["}').depth, 1, 'brackets in strings are text');
  assert.equal(cost('{"a":-4503599627370497}').integerMax, 4503599627370496);
  assert.equal(cost('{"a":4503599627370497}').integerMax, 4503599627370497);
  assert.equal(cost('{"a":1.5e300,"b":12345678901234567890.5,"c":1e30}').integerMax, 0);
  assert.ok(cost('99999999999999999999').integerMax > Number.MAX_SAFE_INTEGER);
  assert.ok(cost('[1,2,3]').values >= 4);
  assert.equal(cost('[1,[2,3],{"a":[4,5]}]').elements, 3);
  assert.ok(scanJson(Buffer.from('[1,2,3,4,5,6,7,8]'), 3).values === 4, 'a scan ends behind its bound');
});

test('a scan of any bytes ends, and counts no less than a parser makes', () => {
  const seed = Number(process.env.SEED ?? 20261128);
  const random = seededRandom(seed);
  const alphabet = Buffer.from('{}[]:,"\\01e-. tnu');
  for (let round = 0; round < 3000; round++) {
    const bytes = Buffer.from(
      random.bytes(Math.floor(random.next() * 40)).map((byte) => alphabet[byte % alphabet.length]),
    );
    const { depth, values } = scanJson(bytes);
    let parsed: unknown;
    try {
      parsed = JSON.parse(bytes.toString());
    } catch {
      continue;
    }
    const made = measured(parsed);
    assert.ok(depth >= made.depth && values >= made.values, `seed ${seed}: ${bytes}`);
  }
});

function measured(value: unknown): { readonly depth: number; readonly values: number } {
  if (typeof value !== 'object' || value === null) return { depth: 0, values: 1 };
  const below = Object.values(value).map(measured);
  return {
    depth: 1 + Math.max(0, ...below.map(({ depth }) => depth)),
    values: 1 + below.reduce((sum, each) => sum + each.values, 0),
  };
}

test('the text of a member is what was written', () => {
  const text = ' { "methodName" : "a", "payload" : { "x" : [1.0, "}\\"," ] , "n":12345678901234567890 } , "t":5 } ';
  assert.equal(memberText(text, 'payload'), '{ "x" : [1.0, "}\\"," ] , "n":12345678901234567890 }');
  assert.equal(memberText(text, 'methodName'), '"a"');
  assert.equal(memberText(text, 't'), '5');
  assert.equal(memberText(text, 'x'), undefined, 'only of the outermost object');
  assert.equal(memberText('{}', 'payload'), undefined);
  assert.equal(memberText('{"payload":1,"payload":null}', 'payload'), 'null', 'the last one counts, as in JSON.parse');
  assert.equal(memberText('{"\\u0070ayload":"y"}', 'payload'), '"y"');
  assert.equal(memberText('{"a":["payload",{"payload":2}]}', 'payload'), undefined);
});
