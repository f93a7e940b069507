import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openHttpHub, refusalIn } from '../drivers/http.ts';
import { registerDevice } from '../drivers/http-device.ts';

const version = 'api-version=2021-04-12';
const url = `/devices/keys/regenerate?${version}`;

test('keys are regenerated, one or both, and everything else of the identity stays', async () => {
  await using http = await openHttpHub();
  const { devices } = http.client();
  await devices.create('d1', { status: 'disabled', statusReason: 'lost' });
  await devices.create('d2');
  await registerDevice(http, 'd2', 'm1');
  for (const [policyKey, isPrimaryNew, isSecondaryNew] of [
    ['primaryKey', true, false],
    ['secondaryKey', false, true],
    ['both', true, true],
  ] as const) {
    const before = await devices.get('d1');
    const body = { policyKey, devices: [{ id: 'd1' }, { id: 'd2', moduleId: 'm1' }] };
    const answer = await http.request('POST', url, { body });
    assert.equal(answer.status, 200);
    const { rotatedKeys, errors, policyKey: echoed } = JSON.parse(answer.body);
    assert.deepEqual([echoed, errors], [policyKey, []]);
    assert.deepEqual([rotatedKeys[0].id, rotatedKeys[1].id, rotatedKeys[1].moduleId], ['d1', 'd2', 'm1']);
    const after = await devices.get('d1');
    const [old, now] = [before.authentication.symmetricKey, after.authentication.symmetricKey];
    assert.equal(old.primaryKey !== now.primaryKey, isPrimaryNew);
    assert.equal(old.secondaryKey !== now.secondaryKey, isSecondaryNew);
    assert.equal(rotatedKeys[0].primaryKey, isPrimaryNew ? now.primaryKey : undefined);
    assert.equal(rotatedKeys[0].secondaryKey, isSecondaryNew ? now.secondaryKey : undefined);
    const rest = ({ status, statusReason, generationId, capabilities, parentScopes }: typeof after) => ({
      status,
      statusReason,
      generationId,
      capabilities,
      parentScopes,
    });
    assert.deepEqual(rest(after), rest(before));
  }
});

test('an identity that is not there, or has no keys, is listed among the errors; the others get theirs', async () => {
  await using http = await openHttpHub();
  const { devices } = http.client();
  await devices.create('d1');
  await devices.create('x1', { authentication: { type: 'certificateAuthority' } });
  const body = { policyKey: 'both', devices: [{ id: 'nobody' }, { id: 'x1' }, { id: 'd1' }] };
  const { rotatedKeys, errors } = JSON.parse((await http.request('POST', url, { body })).body);
  assert.deepEqual(
    rotatedKeys.map(({ id }: { id: string }) => id),
    ['d1'],
  );
  assert.deepEqual(
    errors.map(({ id, errorCode }: { id: string; errorCode: string }) => [id, errorCode]),
    [
      ['nobody', 'DeviceNotFound'],
      ['x1', 'ArgumentInvalid'],
    ],
  );
  for (const [wrong, code] of [
    [{ policyKey: 'all', devices: [{ id: 'd1' }] }, 'ArgumentInvalid'],
    [{ policyKey: 'both', devices: [] }, 'ArgumentInvalid'],
    [{ policyKey: 'both', devices: [{ id: 'd1' }, { id: 'd1' }] }, 'DeviceDefinedMultipleTimes'],
    [{ policyKey: 'both', devices: Array.from({ length: 101 }, (_, at) => ({ id: `d${at}` })) }, 'ArgumentInvalid'],
  ] as const) {
    const answer = await http.request('POST', url, { body: wrong });
    assert.deepEqual([answer.status, refusalIn(answer).code], [400, code]);
  }
});
