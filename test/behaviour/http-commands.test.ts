/** Commands as back ends send and follow them by REST: the service's calls, and this hub's own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { type HttpHub, openHttpHub, refusalIn } from '../drivers/http.ts';
import { type HttpDevice, registerDevice } from '../drivers/http-device.ts';

const version = 'api-version=2021-04-12';
const inbox = '/messages/devicebound';
const feedback = `/messages/serviceBound/feedback?${version}`;
const tokenIn = (headers: Readonly<Record<string, string>>): string => headers.etag.replaceAll('"', '');

/** The device takes its next command and completes or rejects it; the message id. */
async function settleNext(device: HttpDevice, settlement: 'complete' | 'reject'): Promise<string> {
  const taken = await device.request('GET', inbox);
  assert.equal(taken.status, 200);
  const query = settlement === 'reject' ? '?reject' : '';
  assert.equal((await device.request('DELETE', `${inbox}/${tokenIn(taken.headers)}${query}`)).status, 204);
  return taken.headers['iothub-messageid'];
}

async function hubWithDevice(): Promise<{ http: HttpHub; clock: VirtualClock; device: HttpDevice }> {
  const clock = new VirtualClock();
  const http = await openHttpHub({ clock });
  return { http, clock, device: await registerDevice(http, 'd1') };
}

test('a command is sent with curl’s means: text, base64, JSON or nothing', async () => {
  const { http, clock, device } = await hubWithDevice();
  await using _ = http;
  const send = (body: unknown) => http.request('POST', '/mooring/v1/devices/d1/commands', { body });
  const cases: readonly (readonly [object, string, string | undefined])[] = [
    [{ bodyText: 'Grüße' }, 'Grüße', undefined],
    [{ bodyBase64: Buffer.from('binary').toString('base64') }, 'binary', undefined],
    [{ bodyJson: { a: [1, null] } }, '{"a":[1,null]}', 'application/json'],
    [{ bodyJson: null, contentType: 'text/x' }, 'null', 'text/x'],
    [{}, '', undefined],
  ];
  for (const [draft, body, contentType] of cases) {
    const answer = await send(draft);
    assert.equal(answer.status, 201, answer.body);
    const { sequence, messageId, deviceId } = JSON.parse(answer.body);
    assert.match(messageId, /^[0-9a-f-]{36}$/, 'an id is made where none is given');
    const taken = await device.request('GET', inbox);
    assert.deepEqual(
      [taken.body, taken.headers['iothub-contenttype'], taken.headers['iothub-messageid'], deviceId],
      [body, contentType, messageId, 'd1'],
    );
    assert.equal(taken.headers['iothub-sequencenumber'], String(sequence));
  }
  const expiryTimeUtc = new Date(clock.now() + 5000).toISOString();
  for (const draft of [{ ttlSeconds: 5 }, { expiryTimeUtc }, { expiryTimeUtc: expiryTimeUtc.slice(0, -1) }]) {
    await send(draft);
    assert.equal((await device.request('GET', inbox)).headers['iothub-expiry'], expiryTimeUtc);
  }
});

test('a draft that says two things, or something unknown, is refused', async () => {
  const { http } = await hubWithDevice();
  await using _ = http;
  const now = http.hub.clock.now();
  const cases: readonly (readonly [unknown, number, string])[] = [
    [{ bodyText: 'a', bodyJson: 1 }, 400, 'ArgumentInvalid'],
    [{ ttlSeconds: 5, expiryTimeUtc: new Date(now + 1000).toISOString() }, 400, 'ArgumentInvalid'],
    [{ ttl: 5 }, 400, 'ArgumentInvalid'],
    [{ ttlSeconds: 0 }, 400, 'ArgumentInvalid'],
    [{ bodyBase64: '%%%' }, 400, 'ArgumentInvalid'],
    [{ ack: 'yes' }, 400, 'ArgumentInvalid'],
    [{ properties: { n: 1 } }, 400, 'ArgumentInvalid'],
    [{ properties: { 'a b': 'c' } }, 400, 'ArgumentInvalid'],
    [{ expiryTimeUtc: new Date(now).toISOString() }, 403, 'InvalidMessageExpiryTime'],
    [{ ttlSeconds: limits.commandTimeToLiveMsMax / 1000 + 1 }, 403, 'InvalidMessageExpiryTime'],
    [{ bodyText: 'x'.repeat(limits.commandBytesMax + 1) }, 413, 'MessageTooLarge'],
    ['{"properties":{"__proto__":"x"}}', 400, 'ArgumentInvalid'],
    ['{"properties":{"\\u005f_proto__":"x"}}', 400, 'ArgumentInvalid'],
    ['[]', 400, 'ArgumentInvalid'],
    [undefined, 400, 'ArgumentNull'],
  ];
  for (const [body, status, code] of cases) {
    const answer = await http.request('POST', '/mooring/v1/devices/d1/commands', { body });
    assert.deepEqual([answer.status, refusalIn(answer).code], [status, code], JSON.stringify(body)?.slice(0, 60));
  }
});

test('the historic call takes its target and properties from headers', async () => {
  const { http, clock, device } = await hubWithDevice();
  await using _ = http;
  const module = await registerDevice(http, 'd1', 'm1');
  const send = (headers: Record<string, string>) =>
    http.request('POST', `/messages/devicebound?${version}`, { body: Buffer.from([7, 255]), headers });
  const all = {
    'iothub-to': '/devices/d1/messages/deviceBound',
    'content-type': 'application/octet-stream',
    'IoTHub-MessageId': 'm-1',
    'iothub-correlationid': 'c-1',
    'iothub-userid': 'u-1',
    'iothub-ack': 'Full',
    'iothub-expiry': new Date(clock.now() + 1000).toISOString(),
    'iothub-app-Level': 'high',
  };
  const answer = await send(all);
  assert.deepEqual([answer.status, answer.body], [204, '']);
  const { headers } = await device.request('GET', inbox);
  assert.deepEqual(
    ['messageid', 'correlationid', 'userid', 'ack', 'expiry', 'app-level'].map((name) => headers[`iothub-${name}`]),
    ['m-1', 'c-1', 'u-1', 'full', all['iothub-expiry'], 'high'],
  );
  assert.equal((await send({ 'iothub-to': '/devices/d1/modules/m1/messages/devicebound' })).status, 204);
  assert.equal((await module.request('GET', inbox)).status, 200);
  const cases: readonly (readonly [Record<string, string>, number, string])[] = [
    [{}, 400, 'ArgumentNull'],
    [{ 'iothub-to': '/devices/d1' }, 400, 'InvalidOperation'],
    [{ ...all, 'iothub-to': '/devices/nobody/messages/devicebound' }, 404, 'DeviceNotFound'],
    [{ ...all, 'iothub-ack': 'perhaps' }, 400, 'ArgumentInvalid'],
    [{ ...all, 'iothub-expiry': 'soon' }, 400, 'ArgumentInvalid'],
  ];
  for (const [given, status, code] of cases) {
    const refused = await send(given);
    assert.deepEqual([refused.status, refusalIn(refused).code], [status, code]);
  }
});

test('a command may be posted to the address of its device; a header does not name another', async () => {
  const { http, device } = await hubWithDevice();
  await using _ = http;
  const module = await registerDevice(http, 'd1', 'm1');
  const send = (path: string, headers: Record<string, string> = {}) =>
    http.request('POST', `${path}/messages/deviceBound?${version}`, { body: Buffer.from('x'), headers });
  assert.equal((await send('/devices/d1', { 'iothub-app-k': 'v' })).status, 204);
  assert.equal((await device.request('GET', inbox)).headers['iothub-app-k'], 'v');
  assert.equal((await send('/devices/d1/modules/m1')).status, 204);
  assert.equal((await module.request('GET', inbox)).status, 200);
  const same = { 'iothub-to': '/devices/d1/messages/devicebound' };
  assert.equal((await send('/devices/d1', same)).status, 204);
  assert.equal(refusalIn(await send('/devices/d1/modules/m1', same)).code, 'InvalidOperation');
  assert.equal((await send('/devices/nobody')).status, 404);
  assert.equal((await device.request('POST', `${inbox}?${version}`)).status, 401, 'a device may not send to itself');
});

test('property names of visible ASCII are delivered; what a header cannot hold is percent-encoded', async () => {
  const { http, device } = await hubWithDevice();
  await using _ = http;
  const properties = { '&ey1': 'a', 'K/y2': 'b', 'Ke?3': 'c', '(x)': 'd' };
  const call = { bodyText: 'x', properties };
  assert.equal((await http.request('POST', '/mooring/v1/devices/d1/commands', { body: call })).status, 201);
  const { headers } = await device.request('GET', inbox);
  assert.deepEqual(
    ['&ey1', 'k%2fy2', 'ke%3f3', '%28x%29'].map((name) => headers[`iothub-app-${name}`]),
    ['a', 'b', 'c', 'd'],
  );
  for (const name of ['a b', 'é', 'a\r\nb']) {
    const refused = await http.request('POST', '/mooring/v1/devices/d1/commands', {
      body: { bodyText: 'x', properties: { [name]: 'v' } },
    });
    assert.equal(refused.status, 400, name);
  }
});

test('purge ends what waits and says how many; the 51st command is refused with its limit', async () => {
  const { http } = await hubWithDevice();
  await using _ = http;
  await registerDevice(http, 'd1', 'm1');
  const { commands } = http.client('service');
  for (let at = 0; at < limits.commandQueueDepthMax; at++) await commands.send({ deviceId: 'd1' }, {});
  await assert.rejects(commands.send({ deviceId: 'd1' }, {}), { status: 403, code: 'DeviceMaximumQueueDepthExceeded' });
  await commands.send({ deviceId: 'd1', moduleId: 'm1' }, {});
  const purge = (path: string) => http.request('DELETE', `${path}/commands?${version}`);
  const answer = await purge('/devices/d1');
  assert.deepEqual([answer.status, JSON.parse(answer.body)], [200, { deviceId: 'd1', totalMessagesPurged: 50 }]);
  assert.deepEqual(JSON.parse((await purge('/devices/d1')).body), { deviceId: 'd1', totalMessagesPurged: 0 });
  assert.deepEqual(JSON.parse((await purge('/devices/d1/modules/m1')).body), {
    deviceId: 'd1',
    moduleId: 'm1',
    totalMessagesPurged: 1,
  });
  assert.deepEqual([(await purge('/devices/nobody')).status], [404]);
});

test('receipts come as a locked batch, again when abandoned or when the lock ends, no more when completed', async () => {
  const { http, clock, device } = await hubWithDevice();
  await using _ = http;
  const { commands } = http.client('service');
  const { generationId } = await http.client().devices.get('d1');
  for (const messageId of ['a', 'b']) await commands.send({ deviceId: 'd1' }, { messageId, ack: 'full' });
  assert.equal(await settleNext(device, 'complete'), 'a');
  assert.equal(await settleNext(device, 'reject'), 'b');
  const take = () => http.request('GET', feedback);
  const settle = (method: string, token: string, rest = '') =>
    http.request(method, `/messages/serviceBound/feedback/${token}${rest}?${version}`);
  assert.equal((await take()).status, 204, 'a batch waits to fill');
  const ended = new Date(clock.now()).toISOString();
  clock.advance(limits.receiptBatchMs);
  const first = await take();
  assert.equal(first.headers['content-type'], 'application/json; charset=utf-8');
  const common = { deviceGenerationId: generationId, deviceId: 'd1', enqueuedTimeUtc: ended };
  assert.deepEqual(JSON.parse(first.body), [
    { originalMessageId: 'a', description: 'Success', ...common, statusCode: 'Success' },
    { originalMessageId: 'b', description: 'Rejected', ...common, statusCode: 'Rejected' },
  ]);
  assert.equal((await take()).status, 204, 'locked');
  assert.equal((await settle('POST', tokenIn(first.headers), '/abandon')).status, 204);
  const second = await take();
  assert.equal(second.body, first.body);
  clock.advance(limits.receiptLockMs);
  const third = await take();
  assert.equal(third.body, first.body);
  const late = await settle('DELETE', tokenIn(second.headers));
  assert.deepEqual([late.status, refusalIn(late).code], [412, 'DeviceMessageLockLost']);
  assert.equal((await settle('DELETE', `%22${tokenIn(third.headers)}%22`)).status, 204);
  clock.advance(limits.receiptLockMs);
  assert.equal((await take()).status, 204);
});

test('two back ends that compete get each receipt once between them', async () => {
  const { http, clock, device } = await hubWithDevice();
  await using _ = http;
  const [one, two] = [http.client('service').commands, http.client('service').commands];
  for (let round = 0; round < 4; round++) {
    for (let at = 0; at < 40; at++)
      await one.send({ deviceId: 'd1' }, { messageId: `${round}-${at}`, ack: 'positive' });
    for (let at = 0; at < 40; at++) await settleNext(device, 'complete');
  }
  clock.advance(limits.receiptBatchMs);
  const seen: (string | null)[] = [];
  const drain = async (commands: typeof one): Promise<void> => {
    for (let batch = await commands.takeReceipts(); batch !== undefined; batch = await commands.takeReceipts()) {
      assert.ok(batch.receipts.length <= limits.receiptBatchMax);
      seen.push(...batch.receipts.map(({ originalMessageId }) => originalMessageId));
      await commands.completeReceipts(batch.lockToken);
    }
  };
  await Promise.all([drain(one), drain(two)]);
  assert.equal(seen.length, 160);
  assert.equal(new Set(seen).size, 160);
});

test('a lost command is found by its message id with every step, shown as dead letter, and sent again', async () => {
  const { http, clock, device } = await hubWithDevice();
  await using _ = http;
  const { commands } = http.client('service');
  const target = { deviceId: 'd1' };
  await commands.send(target, { messageId: 'x?#%', ttlSeconds: 1, bodyText: 'hello', properties: { k: 'v' } });
  clock.advance(1000);
  await http.hub.commands.sweep();
  const { commands: dead, isComplete } = await commands.deadLetters(target);
  assert.equal(isComplete, true);
  assert.deepEqual(
    dead.map((command) => [command.sequence, command.outcome, command.messageId, command.properties]),
    [[1, 'expired', 'x?#%', { k: 'v' }]],
  );
  assert.deepEqual(await commands.sendAgain(target, 1), { deviceId: 'd1', sequence: 2, messageId: 'x?#%' });
  const locked = await device.request('GET', inbox);
  assert.equal(locked.body, 'hello');
  const found = await commands.find(target, { messageId: 'x?#%' });
  assert.deepEqual(
    found.commands.map((command) => [
      command.sequence,
      command.state,
      command.handedOver,
      command.trail.map(({ step }) => step),
    ]),
    [
      [2, 'locked', 1, ['enqueued', 'handed-over']],
      [1, 'ended', 0, ['enqueued', 'expired', 'sent-again']],
    ],
  );
  assert.ok(!JSON.stringify(found).includes(tokenIn(locked.headers)), 'a lock’s token is the device’s alone');
  await assert.rejects(commands.sendAgain(target, 2), { status: 400, code: 'ArgumentInvalid' });
  for (const query of ['', '?top=2', '?top=1000000']) {
    const answer = await http.request('GET', `/mooring/v1/devices/d1/commands${query}`);
    assert.deepEqual(JSON.parse(answer.body), JSON.parse(JSON.stringify(found)), query);
  }
  const newest = await commands.find(target, { top: 1 });
  assert.deepEqual([newest.commands.map(({ sequence }) => sequence), newest.isComplete], [[2], false]);
  for (const query of ['?messageId=x&sequence=1', '?messageId=x&top=1', '?sequence=one', '?sequence=1&top=1']) {
    const answer = await http.request('GET', `/mooring/v1/devices/d1/commands${query}`);
    assert.deepEqual([answer.status, refusalIn(answer).code], [400, 'ArgumentInvalid'], query);
  }
});

test('each delivery and each handing over of the receipt is in the trail, with who it was', async () => {
  const { http, clock, device } = await hubWithDevice();
  await using _ = http;
  const { commands } = http.client('service');
  await commands.send({ deviceId: 'd1' }, { messageId: 'twice', ack: 'full' });
  await device.request('GET', inbox);
  clock.advance(limits.commandLockMs);
  const taken = await device.request('GET', inbox);
  assert.equal((await device.request('DELETE', `${inbox}/${tokenIn(taken.headers)}`)).status, 204);
  clock.advance(limits.receiptBatchMs);
  const given = await http.request('GET', feedback, { headers: { authorization: await http.token('service') } });
  assert.equal(given.status, 200);
  clock.advance(limits.receiptLockMs);
  const again = await http.request('GET', feedback, { headers: { authorization: await http.token('iothubowner') } });
  const url = `/messages/serviceBound/feedback/${tokenIn(again.headers)}?${version}`;
  await http.request('DELETE', url, { headers: { authorization: await http.token('service') } });
  const { commands: found } = await commands.find({ deviceId: 'd1' }, { messageId: 'twice' });
  assert.deepEqual(
    found[0].trail.map(({ step, detail }) => `${step} ${detail}`.trim()),
    [
      ...['enqueued', 'handed-over', 'lock-ended', 'handed-over delivery 2', 'completed'],
      ...['receipt-handed-over policy service', 'receipt-handed-over policy iothubowner', 'receipt-read'],
    ],
  );
});

test('a list that would be too long is cut, and says so', async () => {
  const { http } = await hubWithDevice();
  await using _ = http;
  const { commands } = http.client('service');
  const target = { deviceId: 'd1' };
  // Each takes a third more as base64.
  const bodyText = 'x'.repeat(60_000);
  for (let round = 0; round < 2; round++) {
    for (let at = 0; at < 40; at++) await commands.send(target, { messageId: 'same', bodyText });
    await commands.purge(target);
  }
  const found = await commands.find(target, { messageId: 'same' });
  assert.equal(found.isComplete, false);
  assert.ok(found.commands.length > 10 && found.commands.length < 80, `${found.commands.length}`);
  assert.equal(found.commands[0].sequence, 80);
  const all = await commands.deadLetters(target, { top: 5 });
  assert.deepEqual([all.commands.length, all.isComplete], [5, false]);
});

test('only a policy with ServiceConnect may do any of this', async () => {
  const { http, device } = await hubWithDevice();
  await using _ = http;
  const operations = [
    ['POST', '/mooring/v1/devices/d1/commands', {}],
    ['GET', '/mooring/v1/devices/d1/commands?messageId=m', undefined],
    ['GET', '/mooring/v1/devices/d1/dead-letters', undefined],
    ['POST', '/mooring/v1/devices/d1/dead-letters/1/send-again', undefined],
    ['DELETE', `/devices/d1/commands?${version}`, undefined],
    ['POST', `/messages/devicebound?${version}`, 'x'],
    ['GET', feedback, undefined],
    ['DELETE', `/messages/serviceBound/feedback/t?${version}`, undefined],
    ['POST', `/messages/serviceBound/feedback/t/abandon?${version}`, undefined],
  ] as const;
  const to = { 'iothub-to': '/devices/d1/messages/devicebound' };
  for (const [method, path, body] of operations) {
    for (const authorization of [
      await http.token('registryReadWrite'),
      await http.token('device'),
      await device.token(),
      await http.token('service', '/devices/d2'),
      '',
    ]) {
      const answer = await http.request(method, path, { body, headers: { ...to, authorization } });
      assert.equal(answer.status, 401, `${method} ${path} ${authorization.slice(0, 80)}`);
    }
    const allowed = await http.request(method, path, {
      body,
      headers: { ...to, authorization: await http.token('service') },
    });
    assert.notEqual(allowed.status, 401, `${method} ${path}`);
  }
});
