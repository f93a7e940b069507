import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openHttpsPort } from './https-port.ts';

const refusing = (code: string) => {
  const asked: number[] = [];
  const open = async (port: number): Promise<number> => {
    asked.push(port);
    if (port === 443) throw new Error('refused', { cause: Object.assign(new Error(code), { code }) });
    return port;
  };
  return { asked, open };
};

test('where 443 may not be bound, 8443 is, with the reason and the remedy', async () => {
  const { door, notice } = await openHttpsPort(443, 'default', refusing('EACCES').open);
  assert.equal(door, 8443);
  assert.match(notice ?? '', /may not bind/);
  assert.match(notice ?? '', /setcap/);
});

test('where 443 is taken, 8443 is bound, and the note does not speak of rights', async () => {
  const { door, notice } = await openHttpsPort(443, 'default', refusing('EADDRINUSE').open);
  assert.equal(door, 8443);
  assert.match(notice ?? '', /another program/);
  assert.doesNotMatch(notice ?? '', /setcap/);
});

test('a port that was asked for by name is opened or refused, never replaced', async () => {
  const { asked, open } = refusing('EACCES');
  await assert.rejects(openHttpsPort(443, 'flag', open), /refused/);
  assert.deepEqual(asked, [443]);
  assert.deepEqual(await openHttpsPort(9443, 'variable', open), { door: 9443, notice: undefined });
});

test('other faults are not hidden behind another port', async () => {
  await assert.rejects(openHttpsPort(443, 'default', refusing('EADDRNOTAVAIL').open), /refused/);
});
