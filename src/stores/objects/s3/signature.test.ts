import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodedPath, encodedQuery, signed } from './signature.ts';

/** The examples of the service's documentation ("Signature Calculations for the Authorization Header: Examples"). */
const key = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  region: 'us-east-1',
};
const now = Date.UTC(2013, 4, 24);
const emptySum = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const signatureOf = (path: string, headers: Record<string, string> = {}): string | undefined =>
  /Signature=(\w+)$/.exec(
    signed(key, {
      method: 'GET',
      url: new URL(`https://examplebucket.s3.amazonaws.com${path}`),
      ...{ headers, bodySum: emptySum, now },
    }).Authorization,
  )?.[1];

test('the documented signatures', () => {
  assert.equal(
    signatureOf('/test.txt', { Range: 'bytes=0-9' }),
    'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  );
  assert.equal(
    signatureOf(`/${encodedQuery({ lifecycle: '' })}`),
    'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
  );
  assert.equal(
    signatureOf(`/${encodedQuery({ prefix: 'J', 'max-keys': '2' })}`),
    '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  );
});

test('names are encoded as they are signed', () => {
  assert.equal(encodedPath("d1/a b+c'(ä)*!.txt"), '/d1/a%20b%2Bc%27%28%C3%A4%29%2A%21.txt'.slice(1));
  assert.equal(encodedQuery({ b: '/', a: '+' }), '?a=%2B&b=%2F');
});
