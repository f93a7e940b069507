import assert from 'node:assert/strict';
import { test } from 'node:test';
import { credentialsOf, stillStand } from './credentials.ts';
import type { IdentityAuthentication } from './types.ts';

const key = (fill: number): string => Buffer.alloc(32, fill).toString('base64');
const sas = (primary: number, secondary: number): IdentityAuthentication => ({
  type: 'sas',
  symmetricKey: { primaryKey: key(primary), secondaryKey: key(secondary) },
  x509Thumbprint: null,
});
const selfSigned = (primary: string | null, secondary: string | null): IdentityAuthentication => ({
  type: 'selfSigned',
  symmetricKey: null,
  x509Thumbprint: { primaryThumbprint: primary, secondaryThumbprint: secondary },
});
const bare = (type: 'certificateAuthority' | 'none'): IdentityAuthentication => ({
  type,
  symmetricKey: null,
  x509Thumbprint: null,
});

test('a proof stands while one credential of its time is left, and ends with the last one and with another kind', () => {
  const cases: readonly [string, IdentityAuthentication, IdentityAuthentication, boolean][] = [
    ['nothing changed', sas(1, 2), sas(1, 2), true],
    ['the primary key replaced', sas(1, 2), sas(3, 2), true],
    ['the secondary key replaced', sas(1, 2), sas(1, 3), true],
    ['the keys swapped', sas(1, 2), sas(2, 1), true],
    ['both keys replaced', sas(1, 2), sas(3, 4), false],
    ['another kind', sas(1, 2), bare('certificateAuthority'), false],
    ['one thumbprint left, in another spelling', selfSigned('AB', 'CD'), selfSigned('EF', 'cd'), true],
    ['no thumbprint left', selfSigned('AB', null), selfSigned('EF', null), false],
    ['no thumbprint left, another added', selfSigned('AB', null), selfSigned(null, 'CD'), false],
    ['an authority stays one', bare('certificateAuthority'), bare('certificateAuthority'), true],
    ['no authority any more', bare('certificateAuthority'), bare('none'), false],
  ];
  for (const [what, then, now, stands] of cases) assert.equal(stillStand(credentialsOf(then), now), stands, what);
});

test('no key can be read from what names it', () => {
  assert.ok(!credentialsOf(sas(1, 2)).includes(key(1).slice(0, 8)));
});
