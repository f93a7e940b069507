/** Commands to a device that polls by HTTP: taken under a lock, completed, rejected, abandoned. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import type { CommandMessage } from '../../src/core/commands/types.ts';
import type { Principal } from '../../src/core/identity/types.ts';
import { type HttpHub, openHttpHub, readToEnd, refusalIn } from '../drivers/http.ts';
import { type HttpDevice, registerDevice } from '../drivers/http-device.ts';

const version = 'api-version=2021-04-12';
const inbox = `/messages/devicebound?${version}`;

const backEnd: Principal = {
  kind: 'policy',
  policyName: 'service',
  permissions: new Set(['ServiceConnect']),
  expiresAt: Number.POSITIVE_INFINITY,
  scope: [],
};

const command = (messageId: string, more: Partial<CommandMessage> = {}): CommandMessage => ({
  messageId,
  ack: 'none',
  properties: [],
  body: Buffer.from(`body of ${messageId}`),
  ...more,
});

const send = (http: HttpHub, device: HttpDevice, message: CommandMessage) =>
  http.hub.commands.send(backEnd, device.key, message);

const tokenIn = (headers: Readonly<Record<string, string>>): string => headers.etag.replaceAll('"', '');
const outcomes = async (http: HttpHub, device: HttpDevice, messageId: string) =>
  (await http.hub.commands.trail(backEnd, device.key, { messageId })).map(({ command: { state } }) =>
    state.kind === 'ended' ? state.outcome : state.kind,
  );

test('a command arrives with all its headers in the spelling that the C SDK compares', async () => {
  const clock = new VirtualClock(Date.UTC(2026, 4, 6));
  await using http = await openHttpHub({ clock });
  const device = await registerDevice(http, 'd1');
  const nothing = await device.request('GET', inbox);
  assert.deepEqual([nothing.status, nothing.body], [204, '']);
  await send(
    http,
    device,
    command('m1', {
      correlationId: 'c1',
      userId: 'u1',
      contentType: 'application/json',
      contentEncoding: 'utf-8',
      ack: 'full',
      expiry: clock.now() + 60_000,
      properties: [
        ['Level', 'high'],
        ['place', 'B\u00fcro\r\nx: y'],
      ],
      body: Buffer.from([0, 255, 1]),
    }),
  );
  const socket = await http.connect();
  socket.write(
    `GET ${device.path}${inbox} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: ${await device.token()}\r\n\r\n`,
  );
  const bytes = await readToEnd(socket);
  const end = bytes.indexOf('\r\n\r\n');
  const [status, ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  assert.equal(status, 'HTTP/1.1 200 OK');
  assert.deepEqual(bytes.subarray(end + 4), Buffer.from([0, 255, 1]));
  const [etag] = lines.filter((line) => line.startsWith('ETag: '));
  assert.match(etag, /^ETag: "[0-9a-f-]{36}"$/);
  assert.deepEqual(
    lines.filter((line) => /^(iothub|content(type|encoding))/i.test(line)),
    [
      'iothub-messageid: m1',
      'iothub-to: /devices/d1/messages/devicebound',
      'iothub-expiry: 2026-05-06T00:01:00.000Z',
      'iothub-correlationid: c1',
      'iothub-userid: u1',
      'iothub-ack: full',
      'iothub-sequencenumber: 1',
      'iothub-enqueuedtime: 2026-05-06T00:00:00.000Z',
      'iothub-deliverycount: 0',
      'iothub-contenttype: application/json',
      'iothub-contentencoding: utf-8',
      'ContentType: application/json',
      'ContentEncoding: utf-8',
      'iothub-app-Level: high',
      'iothub-app-place: B%C3%BCro%0D%0Ax%3A%20y',
    ],
  );
});

test('complete, reject in every spelling, and abandon; the header If-Match is not asked for', async () => {
  await using http = await openHttpHub();
  const device = await registerDevice(http, 'd1');
  const cases: readonly (readonly [string, (token: string) => readonly [string, string, object?], string])[] = [
    ['bare', (token) => ['DELETE', `/${token}?${version}`], 'completed'],
    ['node', (token) => ['DELETE', `/${token}?${version}`, { headers: { 'if-match': token } }], 'completed'],
    [
      'quoted',
      (token) => ['DELETE', `/%22${token}%22?${version}`, { headers: { 'if-match': `"${token}"` } }],
      'completed',
    ],
    ['node-reject', (token) => ['DELETE', `/${token}?${version}&reject`], 'rejected'],
    ['java-reject', (token) => ['DELETE', `/${token}?${version}&%3Freject=true`], 'rejected'],
    ['case', (token) => ['DELETE', `/${token.toUpperCase()}?${version}`], 'locked'],
    ['abandon', (token) => ['POST', `/${token}/abandon?${version}`], 'enqueued'],
  ];
  for (const [messageId, requestOf, outcome] of cases) {
    await send(http, device, command(messageId));
    const taken = await device.request('GET', inbox);
    assert.equal(taken.headers['iothub-messageid'], messageId);
    const [method, path, more] = requestOf(tokenIn(taken.headers));
    const answer = await device.request(method, `/messages/devicebound${path}`, more);
    assert.equal(answer.status, outcome === 'locked' ? 412 : 204, messageId);
    assert.equal(answer.status === 204 ? answer.body : '', '');
    assert.deepEqual(await outcomes(http, device, messageId), [outcome], messageId);
  }
  // Java sends a byte with it.
  const again = await device.request('GET', inbox);
  assert.equal(again.headers['iothub-messageid'], 'abandon');
  assert.equal(again.headers['iothub-deliverycount'], '1');
  const path = `/messages/devicebound/${tokenIn(again.headers)}/abandon?${version}`;
  const headers = { 'content-type': 'binary/octet-stream' };
  assert.equal((await device.request('POST', path, { body: Buffer.from([0]), headers })).status, 204);
  const third = await device.request('GET', inbox);
  assert.equal(third.headers['iothub-deliverycount'], '2');
});

test('commands come in order, one at a time, and not twice while they are locked', async () => {
  await using http = await openHttpHub();
  const device = await registerDevice(http, 'd1');
  for (const id of ['a', 'b', 'c']) await send(http, device, command(id));
  const seen: string[] = [];
  for (
    let taken = await device.request('GET', inbox);
    taken.status === 200;
    taken = await device.request('GET', inbox)
  ) {
    seen.push(taken.headers['iothub-messageid']);
    assert.equal(taken.body, `body of ${seen.at(-1)}`);
  }
  assert.deepEqual(seen, ['a', 'b', 'c']);
});

test('a lock lasts as long as asked, at most the limit; afterwards it is lost and the command comes again', async () => {
  const clock = new VirtualClock();
  await using http = await openHttpHub({ clock });
  const device = await registerDevice(http, 'd1');
  await send(http, device, command('m1'));
  const asks: readonly (readonly [string, Record<string, string>, number])[] = [
    [inbox, {}, limits.commandLockMs],
    [inbox, { 'IoTHub-MessageLockTimeout': '5' }, 5000],
    [`${inbox}&iothub-messagelocktimeout=7`, {}, 7000],
    [inbox, { 'iothub-messagelocktimeout': '180' }, limits.commandLockMs],
  ];
  for (const [path, headers, lockMs] of asks) {
    const taken = await device.request('GET', path, { headers });
    assert.equal(taken.status, 200);
    clock.advance(lockMs - 1);
    assert.equal((await device.request('GET', inbox)).status, 204, 'still locked');
    clock.advance(1);
    const late = await device.request('DELETE', `/messages/devicebound/${tokenIn(taken.headers)}?${version}`);
    assert.deepEqual([late.status, refusalIn(late).code], [412, 'DeviceMessageLockLost']);
  }
  for (const wrong of ['0', '-1', 'soon', '1.5']) {
    const answer = await device.request('GET', `${inbox}&iothub-messagelocktimeout=${wrong}`);
    assert.deepEqual([answer.status, refusalIn(answer).code], [400, 'ArgumentInvalid'], wrong);
  }
});

test('what was settled once, or was never locked, is 412', async () => {
  await using http = await openHttpHub();
  const device = await registerDevice(http, 'd1');
  await send(http, device, command('m1'));
  const token = tokenIn((await device.request('GET', inbox)).headers);
  const complete = () => device.request('DELETE', `/messages/devicebound/${token}?${version}`);
  assert.equal((await complete()).status, 204);
  for (const answer of [
    await complete(),
    await device.request('POST', `/messages/devicebound/${token}/abandon?${version}`),
    await device.request('DELETE', `/messages/devicebound/00000000-0000-4000-8000-000000000000?${version}&reject`),
  ]) {
    assert.deepEqual([answer.status, refusalIn(answer).code], [412, 'DeviceMessageLockLost']);
  }
  assert.deepEqual(await outcomes(http, device, 'm1'), ['completed']);
});

test('nobody takes or settles the commands of another identity', async () => {
  await using http = await openHttpHub();
  const d1 = await registerDevice(http, 'd1');
  const d2 = await registerDevice(http, 'd2');
  const m1 = await registerDevice(http, 'd1', 'm1');
  await send(http, d1, command('of-d1'));
  await send(http, m1, command('of-m1'));
  assert.equal((await d2.request('GET', inbox)).status, 204);
  const taken = await d1.request('GET', inbox);
  assert.equal(taken.headers['iothub-messageid'], 'of-d1');
  const path = `/messages/devicebound/${tokenIn(taken.headers)}?${version}`;
  assert.equal((await d2.request('DELETE', path)).status, 412, 'a token of another queue is none of its own');
  for (const authorization of [await d2.token(), await m1.token(), await http.token('service'), '']) {
    for (const [method, address] of [
      ['GET', `/devices/d1${inbox}`],
      ['DELETE', `/devices/d1${path}`],
      ['POST', `/devices/d1${path.replace('?', '/abandon?')}`],
    ]) {
      const answer = await http.request(method, address, { headers: { authorization } });
      assert.deepEqual([answer.status, refusalIn(answer).text], [401, 'Unauthorized'], `${method} ${address}`);
    }
  }
  const byPolicy = { headers: { authorization: await http.token('device') } };
  assert.equal((await http.request('DELETE', `/devices/d1${path}`, byPolicy)).status, 204);
  const module = await m1.request('GET', inbox);
  assert.equal(module.headers['iothub-messageid'], 'of-m1');
  assert.equal(module.headers['iothub-to'], '/devices/d1/modules/m1/messages/devicebound');
  assert.equal((await m1.request('DELETE', `/messages/devicebound/${tokenIn(module.headers)}?${version}`)).status, 204);
});

test('polling does not end the device’s connection by another protocol', async () => {
  await using http = await openHttpHub();
  const device = await registerDevice(http, 'd1');
  const { generationId } = await http.client().devices.get('d1');
  const drops: string[] = [];
  await http.hub.presence.claim({
    key: device.key,
    generationId,
    protocol: 'mqtt',
    credential: 'sas',
    peer: '127.0.0.1',
    drop: (reason) => void drops.push(reason),
  });
  await send(http, device, command('m1'));
  assert.equal((await device.request('GET', inbox)).status, 200);
  assert.equal((await device.request('POST', `/messages/events?${version}`, { body: 'x' })).status, 204);
  assert.deepEqual(drops, []);
  assert.equal((await http.client().devices.get('d1')).connectionState, 'Connected');
});
