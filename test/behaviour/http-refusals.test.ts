import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { signSas } from '../../src/api/sas.ts';
import { limits } from '../../src/base/limits.ts';
import { seededRandom } from '../../src/base/random.ts';
import { type HttpAnswer, openHttpHub, parseAnswer, readToEnd, refusalIn } from '../drivers/http.ts';

const version = 'api-version=2021-04-12';
const key = Buffer.alloc(32, 7).toString('base64');

/** What every refusal holds, whatever it is. */
function assertForm(answer: HttpAnswer): void {
  assert.equal(answer.headers['content-type'], 'application/json; charset=utf-8');
  assert.equal(answer.headers['iothub-errorcode'], refusalIn(answer).code);
  const { ExceptionMessage } = JSON.parse(answer.body);
  assert.match(ExceptionMessage, /^Tracking ID:[0-9a-f]{32}-G:0-TimeStamp:\d\d\/\d\d\/\d{4} \d\d:\d\d:\d\d$/);
  assert.equal(ExceptionMessage.slice(12, 44), answer.headers['x-ms-request-id'].replaceAll('-', ''));
}

test('every client that is not authenticated gets one and the same 401, and the log says why', async () => {
  await using http = await openHttpHub();
  await http
    .client()
    .devices.create('d1', { authentication: { symmetricKey: { primaryKey: key, secondaryKey: key } } });
  const inAnHour = http.hub.clock.now() + 3600_000;
  const sign = (resource: string, policyName?: string, signingKey = key, expiresAt = inAnHour) =>
    signSas({ resource, key: signingKey, expiresAt, ...(policyName === undefined ? {} : { policyName }) });
  const good = await http.token();
  const attempts: Readonly<Record<string, string | undefined>> = {
    'missing-credential': '',
    'malformed-token': 'Basic b3duZXI6a2V5',
    'wrong-key': await sign('localhost', 'iothubowner'),
    'unknown-policy': await sign('localhost', 'nobody'),
    'expired-token': await signSas({
      resource: 'localhost',
      policyName: 'iothubowner',
      key: http.policies[0].primaryKey,
      expiresAt: http.hub.clock.now() - limits.clockSkewMs - 1000,
    }),
    'wrong-host': await signSas({
      resource: 'elsewhere.example',
      policyName: 'iothubowner',
      key: http.policies[0].primaryKey,
      expiresAt: inAnHour,
    }),
    'wrong-resource': await http.token('iothubowner', '/devices/d2'),
    'unknown-identity': await sign('localhost/devices/nobody'),
  };
  const seen = new Set<string>();
  for (const [reason, authorization = ''] of Object.entries(attempts)) {
    const path = reason === 'unknown-identity' ? '/devices/nobody' : '/devices/d1';
    const answer = await http.request('GET', `${path}?${version}`, { headers: { authorization } });
    assert.equal(answer.status, 401, reason);
    assertForm(answer);
    const { date: _, 'x-ms-request-id': __, ...headers } = answer.headers;
    seen.add(JSON.stringify([headers, refusalIn(answer)]));
    const line = http.log.findLast((entry) => entry.sentence === 'HTTP request refused');
    assert.ok(line !== undefined && line.fields.requestId === answer.headers['x-ms-request-id']);
    assert.equal(line.fields.reason, reason);
  }
  assert.deepEqual(seen.size, 1, [...seen].join('\n'));
  const everything = JSON.stringify(http.log);
  for (const secret of [key, ...http.policies.map((policy) => policy.primaryKey), good]) {
    assert.equal(everything.includes(secret), false);
  }
});

test('a token without the permission is refused with the reason, a device may not manage', async () => {
  await using http = await openHttpHub();
  await http
    .client()
    .devices.create('d1', { authentication: { symmetricKey: { primaryKey: key, secondaryKey: key } } });
  const attempts: readonly (readonly [string, string, string])[] = [
    ['PUT', '/devices/d2', await http.token('registryRead')],
    ['DELETE', '/devices/d1', await http.token('service')],
    ['GET', '/devices', await http.token('device')],
    ['GET', '/statistics/devices', await http.token('service')],
    ['GET', '/mooring/v1/hub', await http.token('service')],
    ['PUT', '/mooring/v1/event-hubs/testhub/consumer-groups/g', await http.token('service')],
    [
      'GET',
      '/devices/d1',
      await signSas({ resource: 'localhost/devices/d1', key, expiresAt: http.hub.clock.now() + 60_000 }),
    ],
  ];
  for (const [method, path, authorization] of attempts) {
    const answer = await http.request(method, `${path}?${version}`, {
      headers: { authorization },
      ...(method === 'PUT' && path.startsWith('/devices') ? { body: {} } : {}),
    });
    assert.deepEqual([answer.status, refusalIn(answer).code], [401, 'IotHubUnauthorizedAccess'], `${method} ${path}`);
    assertForm(answer);
  }
});

test('api-version must be a date since 2015, except under /mooring', async () => {
  await using http = await openHttpHub();
  for (const good of ['2015-08-15-preview', '2016-11-14', '2018-06-30', '2020-09-30', '2021-04-12']) {
    assert.equal((await http.request('GET', `/devices?api-version=${good}`)).status, 200, good);
  }
  for (const bad of ['', '?api-version=', '?api-version=2014-01-01', '?api-version=2021-13-40', '?api-version=new']) {
    const answer = await http.request('GET', `/devices${bad}`);
    assert.deepEqual([answer.status, refusalIn(answer).code], [400, 'InvalidProtocolVersion'], bad);
    assertForm(answer);
  }
  assert.equal((await http.request('GET', '/mooring/v1/hub')).status, 200);
});

test('bodies that cannot be used are refused in the right form', async () => {
  await using http = await openHttpHub();
  const secret = 'c2VjcmV0IGtleSBpbiBhIGJvZHk=';
  const attempts: readonly (readonly [string, unknown, Record<string, string>, number, string])[] = [
    ['cut JSON', `{"symmetricKey":"${secret}`, {}, 400, 'IotHubFormatError'],
    ['not JSON', `key=${secret}`, {}, 400, 'IotHubFormatError'],
    ['an array', [], {}, 400, 'ArgumentInvalid'],
    ['null', 'null', {}, 400, 'ArgumentInvalid'],
    [
      'a wrong type',
      { status: 7, authentication: { symmetricKey: { primaryKey: [secret] } } },
      {},
      400,
      'ArgumentInvalid',
    ],
    ['an unknown status', { status: secret }, {}, 400, 'ArgumentInvalid'],
    ['another id', { deviceId: 'd2' }, {}, 400, 'ArgumentInvalid'],
    [
      'a bad key',
      { authentication: { symmetricKey: { primaryKey: 'x', secondaryKey: 'y' } } },
      {},
      400,
      'ArgumentInvalid',
    ],
    ['another type', { deviceId: 'd1' }, { 'content-type': 'text/xml' }, 415, 'UnsupportedMediaType'],
    ['a coding', { deviceId: 'd1' }, { 'content-encoding': 'gzip' }, 415, 'UnsupportedMediaType'],
    ['too long', { statusReason: 'x'.repeat(limits.requestBytesMax) }, {}, 413, 'MessageTooLarge'],
  ];
  for (const [what, body, headers, status, code] of attempts) {
    const answer = await http.request('PUT', `/devices/d1?${version}`, { body, headers });
    assert.deepEqual([answer.status, refusalIn(answer).code], [status, code], what);
    assertForm(answer);
    assert.equal(answer.body.includes(secret), false, what);
  }
  const none = await http.request('PUT', `/devices/d1?${version}`);
  assert.deepEqual([none.status, refusalIn(none).code], [400, 'ArgumentNull']);
  assert.equal(JSON.stringify(http.log).includes(secret), false);
  for (const type of ['application/json', 'application/json; charset=utf-8', 'Application/JSON;charset=UTF-8']) {
    const answer = await http.request('PUT', `/devices/${encodeURIComponent(type.length)}?${version}`, {
      body: {},
      headers: { 'content-type': type },
    });
    assert.equal(answer.status, 200, type);
  }
});

test('a body without a length is cut off at the same size', async () => {
  await using http = await openHttpHub();
  const socket = await http.connect();
  const head = [
    `PUT /devices/d1?${version} HTTP/1.1`,
    'host: localhost',
    `authorization: ${await http.token()}`,
    'content-type: application/json',
    'transfer-encoding: chunked',
  ];
  const answer = readToEnd(socket);
  socket.write(`${head.join('\r\n')}\r\n\r\n`);
  const chunk = Buffer.alloc(64 * 1024, 0x20);
  for (let sent = 0; sent <= limits.requestBytesMax && socket.writable; sent += chunk.length) {
    socket.write(`${chunk.length.toString(16)}\r\n`);
    socket.write(chunk);
    socket.write('\r\n');
  }
  const parsed = parseAnswer(await answer);
  assert.deepEqual([parsed.status, refusalIn(parsed).code], [413, 'MessageTooLarge']);
});

test('the body of an unauthenticated request is not parsed', async () => {
  await using http = await openHttpHub();
  const answer = await http.request('PUT', `/devices/d1?${version}`, {
    body: '{broken',
    headers: { authorization: 'x' },
  });
  assert.equal(answer.status, 401);
});

test('unknown paths, wrong methods and absent rooms are told apart', async () => {
  await using http = await openHttpHub();
  const expect = async (method: string, path: string, status: number, code: string) => {
    const answer = await http.request(method, `${path}?${version}`);
    assert.deepEqual([answer.status, refusalIn(answer).code], [status, code], `${method} ${path}`);
    assertForm(answer);
    return answer;
  };
  await expect('GET', '/nothing/here', 404, 'AmqpAddressNotFound');
  await expect('GET', '/', 404, 'AmqpAddressNotFound');
  await expect('GET', '/devices/%zz', 400, 'IotHubFormatError');
  const wrong = await expect('PATCH', '/devices/d1', 405, 'GenericMethodNotAllowed');
  assert.deepEqual(wrong.headers.allow.split(', ').sort(), ['DELETE', 'GET', 'PUT']);
  await expect('POST', '/statistics/devices', 405, 'GenericMethodNotAllowed');
  for (const [method, path] of [['GET', '/messages/serviceBound/filenotifications']]) {
    const answer = await expect(method, path, 501, 'OperationNotOffered');
    const { Message } = JSON.parse(answer.body);
    assert.ok(Message.includes(`does not offer ${method} ${path.split('/').slice(0, 2).join('/')}`), Message);
  }
  const unknown = await http.request('GET', `/jobs?${version}`, { headers: { authorization: 'nonsense' } });
  assert.equal(unknown.status, 401);
});

test('X-HTTP-Method-Override turns a POST into the method it names, and nothing else', async () => {
  await using http = await openHttpHub();
  const override = (method: string, wanted: string) =>
    http.request(method, `/devices/d1?${version}`, { headers: { 'x-http-method-override': wanted }, body: {} });
  assert.equal((await override('POST', 'PUT')).status, 200);
  assert.equal((await override('POST', 'patch')).status, 405);
  assert.equal((await override('GET', 'DELETE')).status, 200);
  assert.equal((await override('POST', 'TRACE')).status, 405);
  assert.equal((await override('POST', 'DELETE')).status, 204);
});

test('a failure of ours is answered 500 without its cause, which only the log has', async () => {
  await using http = await openHttpHub();
  // The store below the real registry breaks: the one part that is not the real one.
  http.hub.registry.get = async () => {
    throw new TypeError('disk /dev/sda1 is gone');
  };
  const answer = await http.request('GET', `/devices/d1?${version}`);
  assert.deepEqual([answer.status, refusalIn(answer).code], [500, 'ServerError']);
  assertForm(answer);
  assert.equal(answer.body.includes('sda1'), false);
  const line = http.log.find((entry) => entry.level === 'error');
  assert.match(String(line?.fields.error), /sda1/);
  assert.equal(line?.fields.requestId, answer.headers['x-ms-request-id']);
});

test('headers that are too large and requests that are not HTTP are refused; the door lives on', async () => {
  await using http = await openHttpHub();
  const large = await http.exchange(`GET /devices HTTP/1.1\r\nhost: localhost\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`);
  assert.deepEqual([large.status, refusalIn(large).code], [431, 'MessageTooLarge']);
  assertForm(large);
  const noise = await http.exchange('HELO example.org\r\n\r\n');
  assert.deepEqual([noise.status, refusalIn(noise).code], [400, 'IotHubFormatError']);
  const nameless = await http.exchange('GET /devices HTTP/1.1\r\nconnection: close\r\n\r\n');
  assert.deepEqual([nameless.status, refusalIn(nameless).code], [400, 'IotHubFormatError']);
  assertForm(nameless);
  const smuggled = await http.exchange(
    'POST /devices HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
  );
  assert.equal(smuggled.status, 400);
  const seed = Date.now() % 1_000_000;
  const random = seededRandom(seed);
  for (let round = 0; round < 50; round++) {
    const socket = await http.connect();
    const bytes = readToEnd(socket);
    socket.end(random.bytes(1 + Math.floor(random.next() * 2000)));
    const text = (await bytes.catch(() => Buffer.alloc(0))).toString('latin1');
    assert.ok(text === '' || text.startsWith('HTTP/1.1 4'), `seed ${seed}, round ${round}: ${text.slice(0, 80)}`);
  }
  assert.equal((await http.request('GET', `/devices?${version}`)).status, 200);
});

test('a sender that takes too long is cut off, with the header as with the body', async () => {
  await using http = await openHttpHub({ requestMs: 1000 });
  const token = await http.token();
  const starts = [
    '',
    'GET /devices HTTP/1.1\r\nhost: loc',
    `PUT /devices/d1?${version} HTTP/1.1\r\nhost: localhost\r\nauthorization: ${token}\r\ncontent-length: 50\r\n\r\n{`,
  ];
  for (const start of starts) {
    const answer = await http.exchange(start);
    assert.equal(answer.status, 408, start.slice(0, 20));
    assertForm(answer);
  }
});

test('an upgrade that nobody serves is refused, one in the table is handed over', async () => {
  const taken: string[] = [];
  await using http = await openHttpHub({
    upgrades: [
      {
        path: '/$iothub/websocket',
        subprotocols: ['mqtt'],
        accept(request, socket, head) {
          taken.push(`${request.url} ${head.length}`);
          socket.end('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
        },
      },
    ],
  });
  const upgrade = (path: string, subprotocol: string) =>
    http.exchange(
      `GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: WebSocket\r\n` +
        `sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n` +
        `sec-websocket-protocol: ${subprotocol}\r\n\r\n`,
    );
  assert.equal((await upgrade('/$iothub/websocket?iothub-no-client-cert=true', 'MQTT')).status, 101);
  assert.equal((await upgrade('/%24iothub/websocket', 'other, mqtt')).status, 101);
  assert.equal(taken.length, 2);
  for (const [path, subprotocol] of [
    ['/$iothub/websocket', 'AMQPWSB10'],
    ['/elsewhere', 'mqtt'],
  ]) {
    const answer = await upgrade(path, subprotocol);
    assert.equal(answer.status, 404, path);
    assertForm(answer);
  }
});

test('many requests on one connection, pipelined as well', async () => {
  await using http = await openHttpHub();
  const token = await http.token();
  const socket = await http.connect();
  const get = (more = '') =>
    `GET /statistics/devices?${version} HTTP/1.1\r\nhost: localhost\r\nauthorization: ${token}\r\n${more}\r\n`;
  const answer = readToEnd(socket);
  socket.write(get() + get() + get('connection: close\r\n'));
  assert.equal((await answer).toString('latin1').split('HTTP/1.1 200 OK').length - 1, 3);
});

test('a renewed certificate serves new connections and leaves the old ones', async () => {
  await using http = await openHttpHub();
  const before = await http.connect();
  const serial = before.getPeerCertificate().serialNumber;
  await http.tls.renew();
  const after = await http.connect();
  assert.notEqual(after.getPeerCertificate().serialNumber, serial);
  const answer = readToEnd(before);
  before.write(`GET /devices HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
  assert.equal(parseAnswer(await answer).status, 401);
  after.destroy();
});

test('draining answers what was asked and ends idle connections at once', async () => {
  await using http = await openHttpHub();
  const idle = await http.connect();
  const idleEnded = once(idle, 'close');
  idle.resume();
  const list = http.hub.registry.list.bind(http.hub.registry);
  const asked = Promise.withResolvers<void>();
  const mayAnswer = Promise.withResolvers<void>();
  http.hub.registry.list = async (...args) => {
    asked.resolve();
    await mayAnswer.promise;
    return list(...args);
  };
  const answer = http.request('GET', `/devices?${version}`, { headers: { connection: 'keep-alive' } });
  await asked.promise;
  await http.door.stopAccepting();
  const drained = http.door.drain();
  await idleEnded;
  mayAnswer.resolve();
  assert.equal((await answer).status, 200);
  await drained;
  assert.equal(http.door.connections(), 0);
});
