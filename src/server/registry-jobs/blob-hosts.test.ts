import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allowedHost } from './blob-hosts.ts';

const azure = ['*.blob.core.windows.net'];
const sas = 'sv=2020-12-06&sig=abc';
const opens = (uri: string, allowed: readonly string[]): boolean => {
  try {
    allowedHost(uri, allowed);
    return true;
  } catch (error) {
    assert.equal((error as { code: string }).code, 'BlobContainerValidationError');
    assert.ok(!(error as Error).message.includes('abc'), 'the signature is not shown');
    return false;
  }
};

test('a pattern opens what ends like it, by https and with a signature', () => {
  assert.ok(opens(`https://acme.blob.core.windows.net/c?${sas}`, azure));
  assert.ok(opens(`https://ACME.Blob.core.windows.net:443/c?${sas}`, azure));
  for (const uri of [
    `http://acme.blob.core.windows.net/c?${sas}`,
    `https://acme.blob.core.windows.net/?${sas}`,
    'https://acme.blob.core.windows.net/c?sv=1',
    `https://acme.blob.core.windows.net:444/c?${sas}`,
    `https://blob.core.windows.net/c?${sas}`,
    `https://acmeblob.core.windows.net/c?${sas}`,
    `https://acme.blob.core.windows.net.evil.example/c?${sas}`,
    `https://evil.example/acme.blob.core.windows.net/c?${sas}`,
    `https://acme.blob.core.windows.net@evil.example/c?${sas}`,
    `https://user:abc@acme.blob.core.windows.net/c?${sas}`,
    `https://127.0.0.1/c?${sas}`,
    `https://[::1]/c?${sas}`,
    `https://2130706433/c?${sas}`,
    `ftp://acme.blob.core.windows.net/c?${sas}`,
    'acme',
  ]) {
    assert.ok(!opens(uri, azure), uri);
  }
  assert.ok(!opens(`https://acme.blob.core.windows.net/c?${sas}`, []));
});

test('a host that is named in full may be anywhere, on its port; plain HTTP is for loopback', () => {
  assert.ok(opens(`https://10.0.0.5/c?${sas}`, ['10.0.0.5']));
  assert.ok(!opens(`https://10.0.0.5:8443/c?${sas}`, ['10.0.0.5']));
  assert.ok(opens(`https://10.0.0.5:8443/c?${sas}`, ['10.0.0.5:8443']));
  assert.ok(!opens(`http://10.0.0.5:8443/c?${sas}`, ['10.0.0.5:8443']));
  assert.ok(opens(`http://127.0.0.1:10000/account/c?${sas}`, ['127.0.0.1:10000']));
});

test('a name that leads to a private address is not connected to, unless it is named in full', async () => {
  const found = (allowed: readonly string[], all: boolean) =>
    new Promise((resolve) => {
      const { lookup } = allowedHost(`https://a.example/c?${sas}`, allowed);
      lookup('localhost', { all }, (error, addresses) => resolve(error?.message ?? addresses));
    });
  for (const all of [true, false]) {
    assert.equal(await found(['*.example'], all), 'the host has no public address');
    assert.notEqual(await found(['a.example'], all), 'the host has no public address');
  }
});
