/** Names of files that a device chose, on their way to the hub under the gateway's own policy. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { HubFiles } from './device-files.ts';

test('a name that would lead to another device is refused before anything is asked', async () => {
  const files = new HubFiles({
    place: { host: 'hub.test', address: '127.0.0.1' } as never,
    // Nobody listens there.
    httpsPort: 1,
    credential: { kind: 'token', token: 'none' } as never,
    clock: systemClock,
  });
  const own = files.of('a');
  for (const name of [
    '../../b/files/x',
    'x/../../../b/files/x',
    '..',
    '.',
    './x',
    'x/.',
    '',
    '/x',
    'x//y',
    'x/',
    'x\\..',
    'x\ud800',
  ]) {
    await assert.rejects(own.read(name, 0, 1), { code: 'invalid' }, name);
    await assert.rejects(own.upload(name), { code: 'invalid' }, name);
  }
  for (const name of ['x', '...', '.x', 'x..', 'x/..y/z', '%2e%2e/x']) {
    await assert.rejects(own.read(name, 0, 1), { code: 'unreachable' }, name);
  }
  files.close();
});
