import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ConnectionStringError, parseConnectionString, parseLogin, splitHostPort } from './connection-string.ts';
import { signSas } from './sas.ts';

const key = Buffer.alloc(32, 9).toString('base64');

test('a policy login is read with parts in any order, names in any case, and = in the key', () => {
  const login = { hostName: 'localhost:8443', proof: { kind: 'key', policyName: 'service', key } };
  assert.deepEqual(parseLogin(`HostName=localhost:8443;SharedAccessKeyName=service;SharedAccessKey=${key}`), login);
  assert.deepEqual(parseLogin(` sharedaccesskey=${key};SHAREDACCESSKEYNAME=service;hostname=localhost:8443; `), login);
  const token = 'SharedAccessSignature sr=a&sig=b%3D&se=1&skn=service';
  assert.deepEqual(parseLogin(`HostName=h;SharedAccessSignature=${token}`), {
    hostName: 'h',
    proof: { kind: 'token', token },
  });
});

test('a wrong connection string is refused by the name of what is wrong', () => {
  const refusals: Readonly<Record<string, RegExp>> = {
    '': /empty/,
    ';;': /empty/,
    'HostName=': /HostName .* empty/,
    'HostName=a;HostName=b': /HostName stands twice/,
    [`SharedAccessKeyName=p;SharedAccessKey=${key}`]: /HostName is missing/,
    'HostName=h;SharedAccessKeyName=p': /SharedAccessKey is missing/,
    [`HostName=h;SharedAccessKey=${key}`]: /SharedAccessKeyName is missing/,
    [`HostName=h;DeviceId=d;SharedAccessKey=${key}`]: /of a device/,
    [`Endpoint=sb://h/;SharedAccessKeyName=p;SharedAccessKey=${key}`]: /for events/,
    [`HostName=https://h/;SharedAccessKeyName=p;SharedAccessKey=${key}`]: /no scheme/,
    'HostName=h;SharedAccessKeyName=p;SharedAccessKey=not base64!': /not base64/,
    [`HostName=h;SharedAccessKey=${key};SharedAccessSignature=x`]: /not both/,
  };
  for (const [text, expected] of Object.entries(refusals)) {
    assert.throws(() => parseLogin(text), { name: 'ConnectionStringError', message: expected }, text);
  }
});

test('no refusal echoes what was given', () => {
  const secret = 'Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4';
  const texts = [secret, `${secret}=`, `HostName=h;${secret}`, `${secret}=x;${secret}=y`, `HostName=${secret}/`];
  for (const text of [...texts, `HostName=h;SharedAccessKeyName=p;SharedAccessKey=${secret}!`]) {
    assert.throws(
      () => parseLogin(text),
      (error) => error instanceof ConnectionStringError && !error.message.includes(secret.slice(0, 12)),
      text,
    );
  }
});

test('whatever the text, parsing answers or refuses', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 200, unit: 'binary' }), (text) => {
      try {
        parseConnectionString(text);
      } catch (error) {
        assert.ok(error instanceof ConnectionStringError);
      }
    }),
  );
});

test('host and port are split for names and addresses', () => {
  assert.deepEqual(splitHostPort('hub.example'), { host: 'hub.example', port: undefined });
  assert.deepEqual(splitHostPort('hub.example:8443'), { host: 'hub.example', port: 8443 });
  assert.deepEqual(splitHostPort('[::1]:8443'), { host: '::1', port: 8443 });
});

test('a token signs the encoded resource and its end with the decoded key', async () => {
  // Computed apart from this code: printf 'hub.example%%2Fdevices%%2Fd1\n1800000000' | openssl dgst -sha256 -hmac … -binary
  const expected = 'evAZ7cZzgiK3eHqDUA5qlPEs7AcAmewwhjWNmgzDCko%3D';
  const token = await signSas({ resource: 'hub.example/devices/d1', key, expiresAt: 1_799_999_999_001 });
  assert.equal(token, `SharedAccessSignature sr=hub.example%2Fdevices%2Fd1&sig=${expected}&se=1800000000`);
  const named = await signSas({ resource: 'h', key, policyName: 'a&b', expiresAt: 1000 });
  assert.match(named, /&se=1&skn=a%26b$/);
});
