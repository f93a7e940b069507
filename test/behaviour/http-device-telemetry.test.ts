/** Telemetry by HTTP: one message, a batch, every spelling of the headers, and what is refused. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import { test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import type { BatchWriter } from '../../src/stores/event-log/writer.ts';
import { makeCertificate, type TestCertificate } from '../drivers/certificates.ts';
import { type HttpHub, openHttpHub, readToEnd, refusalIn } from '../drivers/http.ts';
import { bodyOf, type HttpDevice, registerDevice, storedEvents } from '../drivers/http-device.ts';

const events = '/messages/events?api-version=2021-04-12';
const batchType = 'application/vnd.microsoft.iothub.json';

/** Bytes that have been taken and are not yet durable. */
const waitingBytes = ({ telemetry }: HttpHub): number => (telemetry.writer as BatchWriter).pendingBytes;

/** Lets the hub work, request by request, until `done`. */
async function until(device: HttpDevice, done: () => boolean): Promise<void> {
  for (const late = performance.now() + 20_000; !done(); ) {
    assert.ok(performance.now() < late, 'what is waited for never happened');
    await device.request('GET', '/messages/devicebound');
  }
}

test('a message is stored with its body, system and application properties', async () => {
  await using http = await openHttpHub();
  const device = await registerDevice(http, 'd1');
  const body = Buffer.from([0, 1, 2, 0xff]);
  const answer = await device.request('POST', events, {
    body,
    headers: {
      'content-type': 'application/octet-stream',
      'iothub-to': '/devices/d1/messages/events',
      'iothub-messageid': 'm1',
      'IoTHub-CorrelationId': 'c1',
      'iothub-userid': 'u1',
      'iothub-contenttype': 'application/json',
      'iothub-contentencoding': 'utf-8',
      'iothub-creationtimeutc': '2026-05-01T12:00:00.5Z',
      'iothub-expiry': '2026-05-02T12:00:00Z',
      'iothub-interface-id': 'urn:i',
      'iothub-operation': 'd2c',
      'iothub-ack': 'none',
      'dt-subject': 'part',
      'iothub-app-Level': 'high',
      'iothub-app-place': 'B\u00fcro',
    },
  });
  assert.deepEqual([answer.status, answer.body], [204, '']);
  const [event, ...others] = await storedEvents(http);
  assert.equal(others.length, 0);
  assert.deepEqual(Buffer.from((event.body as { content: Buffer }).content), body);
  assert.deepEqual(event.application_properties, {
    Level: 'high',
    place: 'B\u00fcro',
    'iothub-creation-time-utc': '2026-05-01T12:00:00.500Z',
  });
  assert.equal(event.message_id, 'm1');
  assert.equal(event.correlation_id, 'c1');
  assert.equal(event.to, '/devices/d1/messages/events');
  assert.equal(event.content_type, 'application/json');
  assert.equal(event.content_encoding, 'utf-8');
  assert.equal(Number(event.absolute_expiry_time), Date.UTC(2026, 4, 2, 12));
  const annotations = event.message_annotations ?? {};
  assert.equal(annotations['iothub-connection-device-id'], 'd1');
  assert.equal(annotations['dt-subject'], 'part');
  assert.equal(annotations['iothub-interface-id'], 'urn:i');
  assert.equal(
    annotations['iothub-connection-auth-method'],
    '{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}',
  );
});

test('no content type, Java’s and C’s, an empty body, and a body in chunks are all taken as they are', async () => {
  await using http = await openHttpHub();
  const device = await registerDevice(http, 'd1');
  for (const type of ['', 'binary/octet-stream', 'application/octet-stream', 'text/plain; charset=utf-8']) {
    const headers: Record<string, string> = type === '' ? {} : { 'content-type': type };
    const authorization = await device.token();
    const lines = Object.entries({
      host: 'localhost',
      connection: 'close',
      authorization,
      ...headers,
      'content-length': '1',
    });
    const text = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
    assert.equal((await http.exchange(`POST /devices/d1${events} HTTP/1.1\r\n${text}\r\nx`)).status, 204, type);
  }
  assert.equal((await device.request('POST', events)).status, 204);
  const chunked = await device.request('POST', events, {
    body: '3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n',
    headers: { 'transfer-encoding': 'chunked', 'content-length': '' },
  });
  assert.equal(chunked.status, 400, 'both lengths at once is not HTTP');
  const socket = await http.connect();
  const head = `POST /devices/d1${events} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: ${await device.token()}\r\n`;
  socket.write(`${head}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`);
  assert.match((await readToEnd(socket)).toString(), /^HTTP\/1\.1 204 /);
  assert.deepEqual((await storedEvents(http)).map(bodyOf), ['x', 'x', 'x', 'x', '', 'abcde']);
});

test('a batch is stored in order, base64 unless it says otherwise', async () => {
  await using http = await openHttpHub();
  const device = await registerDevice(http, 'd1');
  const batch = [
    { body: Buffer.from('one').toString('base64') },
    { body: Buffer.from('two').toString('base64'), base64Encoded: true, properties: { 'iothub-app-N': '2' } },
    { body: 'three', base64Encoded: false, properties: { 'iothub-messageid': 'm3', 'dt-subject': 's' } },
    { body: '', properties: null },
  ];
  const answer = await device.request('POST', events, { body: batch, headers: { 'content-type': batchType } });
  assert.equal(answer.status, 204);
  const stored = await storedEvents(http);
  assert.deepEqual(stored.map(bodyOf), ['one', 'two', 'three', '']);
  assert.deepEqual(stored[1].application_properties, { N: '2' });
  assert.equal(stored[2].message_id, 'm3');
  assert.equal(stored[2].message_annotations?.['dt-subject'], 's');
});

test('a batch that cannot be read, is too long or holds a message that is too large stores nothing', async () => {
  await using http = await openHttpHub();
  const device = await registerDevice(http, 'd1');
  const good = { body: 'eA==' };
  const long = Array.from({ length: limits.httpBatchMessagesMax + 1 }, () => good);
  const large = { body: 'x'.repeat(limits.telemetryBytesMax + 1), base64Encoded: false };
  const cases: readonly (readonly [unknown, number, string])[] = [
    // What Node’s SDK makes of a property value with a quote in it.
    ['[{"body": "eA==", "properties":{"iothub-app-q":"say "hi""}}]', 400, 'IotHubFormatError'],
    [Buffer.from([0x5b, 0xff, 0x5d]), 400, 'IotHubFormatError'],
    [good, 400, 'ArgumentInvalid'],
    [[good, { text: 'no body' }], 400, 'ArgumentInvalid'],
    [[good, { body: 'not base64!' }], 400, 'IotHubFormatError'],
    [[good, { body: 'x', properties: { n: 1 } }], 400, 'ArgumentInvalid'],
    [long, 400, 'ArgumentInvalid'],
    [[good, large], 413, 'MessageTooLarge'],
    ['x'.repeat(limits.requestBytesMax + 1), 413, 'MessageTooLarge'],
  ];
  for (const [body, status, code] of cases) {
    const answer = await device.request('POST', events, { body, headers: { 'content-type': batchType } });
    assert.deepEqual([answer.status, refusalIn(answer).code], [status, code], JSON.stringify(body).slice(0, 60));
  }
  assert.deepEqual(await storedEvents(http), []);
  assert.equal(
    (await device.request('POST', events, { body: [], headers: { 'content-type': batchType } })).status,
    204,
    'an empty batch asks for nothing',
  );
});

test('a message over the limit is refused, one at the limit is not', async () => {
  await using http = await openHttpHub();
  const device = await registerDevice(http, 'd1');
  const send = (bytes: number) => device.request('POST', events, { body: Buffer.alloc(bytes) });
  assert.equal((await send(limits.telemetryBytesMax)).status, 204);
  const answer = await send(limits.telemetryBytesMax + 1);
  assert.deepEqual([answer.status, refusalIn(answer).code], [413, 'MessageTooLarge']);
  assert.match(refusalIn(answer).text, /telemetryBytesMax/);
});

test('there is no answer before the disk has the message, and no other request waits for it', async () => {
  await using http = await openHttpHub({ telemetry: { durable: 'byHand' } });
  const device = await registerDevice(http, 'd1');
  let answered = false;
  const first = device.request('POST', events, { body: 'x' }).then((answer) => {
    answered = true;
    return answer;
  });
  // A request that came later has been answered: the first one waits for the disk alone.
  await until(device, () => waitingBytes(http) > 0);
  await device.request('GET', '/messages/devicebound');
  assert.equal(answered, false);
  await http.telemetry.commit();
  assert.equal((await first).status, 204);
  assert.equal((await storedEvents(http)).length, 1);
});

test('while too much waits for the disk a device is told to come back', async () => {
  await using http = await openHttpHub({ telemetry: { durable: 'byHand', writerBytesMax: 1000 } });
  const device = await registerDevice(http, 'd1');
  const first = device.request('POST', events, { body: Buffer.alloc(2000) });
  await until(device, () => http.telemetry.writer.congested);
  const refused = await device.request('POST', events, { body: 'y' });
  assert.deepEqual([refused.status, refusalIn(refused).code], [429, 'ThrottlingException']);
  assert.equal(refused.headers['retry-after'], '1');
  await http.telemetry.commit();
  assert.equal((await first).status, 204);
  const again = device.request('POST', events, { body: 'y' });
  await until(device, () => waitingBytes(http) > 0);
  await http.telemetry.commit();
  assert.equal((await again).status, 204);
  assert.equal((await storedEvents(http)).length, 2);
});

test('when the disk fails, so does the request: the device sends again', async () => {
  await using http = await openHttpHub();
  const device = await registerDevice(http, 'd1');
  http.telemetry.failWith(new Error('the disk is gone'));
  const answer = await device.request('POST', events, { body: 'x' });
  assert.deepEqual([answer.status, refusalIn(answer).code], [503, 'ServiceUnavailable']);
  assert.doesNotMatch(answer.body, /disk is gone/);
  http.telemetry.failWith(undefined);
  assert.equal((await device.request('POST', events, { body: 'x' })).status, 204);
  assert.equal((await storedEvents(http)).length, 1);
});

test('a device, its module and a policy with DeviceConnect may send; everybody else gets the same 401', async () => {
  await using http = await openHttpHub();
  const d1 = await registerDevice(http, 'd1');
  const d2 = await registerDevice(http, 'd2');
  const m1 = await registerDevice(http, 'd1', 'm1');
  const send = (path: string, authorization: string) =>
    http.request('POST', `${path}${events}`, { headers: { authorization }, body: 'x' });
  assert.equal((await send(m1.path, await m1.token())).status, 204);
  assert.equal((await send(d1.path, await http.token('device'))).status, 204);
  assert.equal((await send(d1.path, await http.token('device', '/devices/d1'))).status, 204);
  const refused = new Set<string>();
  for (const [path, authorization] of [
    [d1.path, await d2.token()],
    [d1.path, await m1.token()],
    [m1.path, await d1.token()],
    [d1.path, await http.token('service')],
    [d1.path, await http.token('registryReadWrite')],
    [d1.path, await http.token('device', '/devices/d2')],
    [d1.path, ''],
    [d1.path, 'nonsense'],
    ['/devices/nobody', await http.token('device')],
    ['/devices/nobody', await d1.token()],
  ] as const) {
    const answer = await send(path, authorization);
    assert.equal(answer.status, 401, `${path} ${authorization.slice(0, 60)}`);
    refused.add(refusalIn(answer).code + refusalIn(answer).text);
  }
  assert.deepEqual([...refused], ['IotHubUnauthorizedUnauthorized']);
  await http.client().devices.update('d1', { status: 'disabled' });
  assert.equal((await send(d1.path, await d1.token())).status, 401);
  assert.equal((await send(m1.path, await m1.token())).status, 401);
  assert.equal((await storedEvents(http)).length, 3);
});

test('without a token the certificate of the connection counts; a token that is wrong is not made up for by it', async () => {
  await using http = await openHttpHub();
  const own = await makeCertificate('x1');
  const other = await makeCertificate('x1');
  await http.client().devices.create('x1', {
    authentication: { type: 'selfSigned', x509Thumbprint: { primaryThumbprint: own.sha256 } },
  });
  const send = async (
    certificate: TestCertificate,
    headers: Record<string, string> = {},
    path = `/devices/x1${events}`,
  ): Promise<number> => {
    const request = https.request({
      host: '127.0.0.1',
      servername: 'localhost',
      port: http.door.port,
      ca: http.tls.ca,
      cert: certificate.pem,
      key: certificate.keyPem,
      agent: false,
      method: 'POST',
      path,
      headers,
    });
    request.end('x');
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.resume();
    await once(response, 'end');
    return response.statusCode ?? 0;
  };
  assert.equal(await send(own), 204);
  assert.equal(await send(other), 401);
  assert.equal(await send(own, { authorization: 'SharedAccessSignature sr=localhost&sig=x&se=9999999999' }), 401);
  assert.equal(await send(own, { authorization: 'Basic eA==' }), 204, 'what is no token says nothing');
  // A device with a certificate is let in wherever one with a token is (what it sends here names no file); and it is nobody else.
  assert.equal(await send(own, {}, '/devices/x1/files'), 400);
  assert.equal(await send(own, {}, '/devices/x2/files'), 401);
  assert.equal(await send(own, {}, `/devices/x2${events}`), 401);
  assert.equal(await send(own, {}, '/devices?api-version=2021-04-12'), 401);
  assert.equal(await send(own, {}, '/devices/query?api-version=2021-04-12'), 401);
  const [event] = await storedEvents(http);
  assert.match(event.message_annotations?.['iothub-connection-auth-method'], /"type":"x509"/);
});

test('paths in any case and with doubled slashes, no api-version, many messages on one connection', async () => {
  await using http = await openHttpHub();
  const device = await registerDevice(http, 'd1', undefined);
  const authorization = await device.token();
  for (const path of [
    '/Devices/d1/Messages/Events',
    '//devices/d1//messages/events/',
    '/devices/d1/messages/events?api-version=1',
  ]) {
    assert.equal((await http.request('POST', path, { headers: { authorization }, body: 'x' })).status, 204, path);
  }
  const socket = await http.connect();
  const request = (last: boolean, body: string) =>
    `POST /devices/d1${events} HTTP/1.1\r\nhost: localhost\r\nauthorization: ${authorization}\r\n` +
    `${last ? 'connection: close\r\n' : ''}content-length: ${body.length}\r\n\r\n${body}`;
  for (let at = 0; at < 20; at++) socket.write(request(at === 19, `k${at}`));
  const text = (await readToEnd(socket)).toString();
  assert.equal(text.match(/HTTP\/1\.1 204 /g)?.length, 20);
  const bodies = (await storedEvents(http)).map(bodyOf).slice(3);
  assert.deepEqual(
    bodies,
    Array.from({ length: 20 }, (_, at) => `k${at}`),
  );
});

test('a property that claims who has sent the message is left out', async () => {
  await using http = await openHttpHub();
  const device = await registerDevice(http, 'd1', undefined);
  const headers = {
    authorization: await device.token(),
    'iothub-connection-device-id': 'other',
    'iothub-app-iothub-connection-device-id': 'other',
    'iothub-app-own': '1',
  };
  assert.equal((await http.request('POST', `/devices/d1${events}`, { headers, body: 'x' })).status, 204);
  const [event] = await storedEvents(http);
  assert.equal(event.message_annotations?.['iothub-connection-device-id'], 'd1');
  assert.deepEqual(event.application_properties, { own: '1' });
});
