import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scrub, scrubText } from './log.ts';

const key = Buffer.alloc(32, 9).toString('base64');

test('secrets are hidden by their name and by their look', () => {
  const fields = {
    primaryKey: key,
    secondary_key: key,
    password: 'SharedAccessSignature sr=x&sig=abc&se=1',
    authorization: 'anything',
    text: `HostName=localhost;SharedAccessKeyName=iothubowner;SharedAccessKey=${key};EntityPath=x`,
    url: `/devices/d1?sr=x&sig=${encodeURIComponent(key)}&se=1`,
    error: new Error(`refused SharedAccessSignature sr=localhost&sig=${encodeURIComponent(key)}&se=1 for d1`),
    nested: { list: [{ token: key }] },
    bytes: Buffer.from(key, 'base64'),
  };
  const text = JSON.stringify(scrub(fields));
  assert.ok(!text.includes(key), text);
  assert.ok(!text.includes(encodeURIComponent(key)), text);
  assert.ok(!text.includes('sig=abc'), text);
});

test('what is no secret stays readable', () => {
  const fields = { key: 'd1/m1', deviceId: 'd1', peer: '127.0.0.1', ms: 3, listener: 'mqttsPort' };
  assert.deepEqual(scrub(fields), { ...fields });
  assert.equal(scrubText('SharedAccessKey=abc;EntityPath=hub'), 'SharedAccessKey=[hidden];EntityPath=hub');
});
