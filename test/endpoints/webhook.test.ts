/** Batches of events to real receivers over HTTP: forms, consent, order, refusals, and what must never be called. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import { type EventView, eventView } from '../../src/endpoints/event-view.ts';
import { WebhookDeliverer, type WebhookOptions } from '../../src/endpoints/webhook/deliverer.ts';
import { signingKey } from '../../src/endpoints/webhook/signature.ts';
import { recordCodec } from '../../src/records/record-codec.ts';

const TIME = Date.UTC(2026, 10, 29, 12);

interface Asked {
  readonly method: string | undefined;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

type Reply = { status: number; headers?: Record<string, string>; body?: string };

/** A receiver that agrees to everything, until `reply` says something else. */
async function receiver(
  context: TestContext,
  reply: (asked: Asked, at: number) => Reply | undefined = () => undefined,
) {
  const asked: Asked[] = [];
  const server = http.createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const call = { method: request.method, headers: request.headers, body };
    asked.push(call);
    const { status, headers, body: text } = reply(call, asked.length - 1) ?? agreeable(call);
    response.writeHead(status, headers).end(text);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/in?token=secret-of-url`);
  const posts = (): readonly Asked[] =>
    asked.filter(({ method, headers }) => method === 'POST' && headers['aeg-event-type'] !== 'SubscriptionValidation');
  return { url, asked, posts };
}

function agreeable({ method, headers, body }: Asked): Reply {
  if (method === 'OPTIONS') return { status: 200, headers: { 'WebHook-Allowed-Origin': '*' } };
  if (headers['aeg-event-type'] !== 'SubscriptionValidation') return { status: 204 };
  const [event] = JSON.parse(body);
  return { status: 200, body: JSON.stringify({ validationResponse: event.data.validationCode }) };
}

function deliverer(context: TestContext, url: URL, more: Partial<WebhookOptions> = {}): WebhookDeliverer {
  const made = new WebhookDeliverer({
    ...{
      url,
      form: 'cloudEvents',
      hub: 'harbour',
      origin: 'harbour.example',
      mayBePrivate: true,
      eventsMax: 100,
      now: () => TIME,
    },
    ...more,
  });
  context.after(() => made.close());
  return made;
}

interface Sent {
  readonly body?: string | Buffer;
  readonly contentType?: string;
  readonly properties?: readonly (readonly [string, string | null])[];
}

function event(
  sequence: number,
  { body = '{"t":21.5}', contentType = 'application/json', properties = [] }: Sent = {},
): EventView {
  const stamp = { deviceId: 'truck-7', generationId: 'g1', authMethod: '{"scope":"device"}', source: 'Telemetry' };
  const system = { messageId: `m${sequence}`, contentType, contentEncoding: 'utf-8' };
  const record = recordCodec.encode(stamp, { system, properties, body: Buffer.from(body) }, TIME);
  return eventView(record, { partition: 2, sequence, enqueuedTime: TIME }, [['site', 'north']]);
}

test('events arrive as one batch of CloudEvents, after the receiver has agreed', async (context) => {
  const { url, asked, posts } = await receiver(context);
  const webhook = deliverer(context, url, { bearer: 'b3arer' });
  const binary = event(5, { body: Buffer.from([0, 255]), contentType: 'application/octet-stream' });
  assert.deepEqual(
    await webhook.deliver([
      event(4, {
        properties: [
          ['level', 'high'],
          ['__proto__', 'x'],
        ],
      }),
      binary,
    ]),
    { kind: 'done' },
  );
  await webhook.deliver([event(6)]);

  assert.deepEqual(
    asked.map(({ method }) => method),
    ['OPTIONS', 'POST', 'POST'],
    'consent is asked for once',
  );
  assert.equal(asked[0].headers['webhook-request-origin'], 'harbour.example');
  const [post] = posts();
  assert.equal(post.headers['content-type'], 'application/cloudevents-batch+json; charset=UTF-8');
  assert.equal(post.headers.authorization, 'Bearer b3arer');
  const [first, second] = JSON.parse(post.body);
  const { data, ...head } = first;
  assert.deepEqual(head, {
    ...{ specversion: '1.0', id: '2-4', source: '/hubs/harbour', type: 'Microsoft.Devices.DeviceTelemetry' },
    ...{ subject: 'devices/truck-7', time: '2026-11-29T12:00:00.000Z', datacontenttype: 'application/json' },
  });
  assert.deepEqual(data.body, { t: 21.5 });
  assert.deepEqual(Object.entries(data.properties), [
    ['level', 'high'],
    ['__proto__', 'x'],
    ['site', 'north'],
  ]);
  assert.equal(data.systemProperties['iothub-connection-device-id'], 'truck-7');
  assert.equal(data.systemProperties['iothub-content-type'], 'application/json');
  assert.equal(second.data.body, 'AP8=', 'a body that is no JSON is base64');
});

test('the schema of Event Grid comes after its handshake', async (context) => {
  const { url, asked, posts } = await receiver(context);
  const webhook = deliverer(context, url, { form: 'eventGrid' });
  assert.deepEqual(await webhook.deliver([event(9)]), { kind: 'done' });
  const [asking] = JSON.parse(asked[0].body);
  assert.equal(asking.eventType, 'Microsoft.EventGrid.SubscriptionValidationEvent');
  const [told] = JSON.parse(posts()[0].body);
  assert.equal(posts()[0].headers['aeg-event-type'], 'Notification');
  assert.deepEqual(
    [told.id, told.topic, told.subject, told.eventType, told.eventTime, told.dataVersion, told.metadataVersion],
    [
      '2-9',
      '/hubs/harbour',
      'devices/truck-7',
      'Microsoft.Devices.DeviceTelemetry',
      '2026-11-29T12:00:00.000Z',
      '',
      '1',
    ],
  );
});

test('a receiver that has not agreed gets no event', async (context) => {
  for (const origin of ['', 'elsewhere.example']) {
    const headers = { 'WebHook-Allowed-Origin': origin };
    const { url, posts } = await receiver(context, () => ({ status: 200, headers }));
    const outcome = await deliverer(context, url).deliver([event(1)]);
    assert.equal(outcome.kind, 'retry');
    assert.match(String('reason' in outcome && outcome.reason), /has not agreed/);
    assert.equal(posts().length, 0);
  }
  const grid = await receiver(context, () => ({ status: 200, body: '{"validationResponse":"guess"}' }));
  assert.equal((await deliverer(context, grid.url, { form: 'eventGrid' }).deliver([event(1)])).kind, 'retry');
  assert.equal(grid.posts().length, 0);
  const refusing = await receiver(context, () => ({ status: 400, body: 'what is this' }));
  assert.equal(
    (await deliverer(context, refusing.url).deliver([event(1)])).kind,
    'retry',
    'a refused handshake drops no event',
  );
});

test('requests are signed as Standard Webhooks say', async (context) => {
  const secret = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;
  const { url, posts } = await receiver(context);
  await deliverer(context, url, { signingKey: signingKey(secret) }).deliver([event(1)]);
  const [{ headers, body }] = posts();
  const mac = createHmac('sha256', Buffer.alloc(24, 7))
    .update(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`)
    .digest('base64');
  assert.equal(headers['webhook-signature'], `v1,${mac}`);
  assert.equal(headers['webhook-timestamp'], String(TIME / 1000));
  for (const bad of ['', 'whsec_', 'c2hvcnQ=', 'not base64!!', 'A'.repeat(1000)])
    assert.equal(signingKey(bad), undefined, bad);
});

test('an event that the receiver refuses is found by halving, and only that one', async (context) => {
  const { url, posts } = await receiver(context, ({ method, body }) =>
    method === 'POST' && body.includes('"id":"2-5"') ? { status: 422, body: 'no such unit\nsecond line' } : undefined,
  );
  const webhook = deliverer(context, url);
  const events = [1, 2, 3, 4, 5, 6, 7, 8].map((sequence) => event(sequence));
  const delivered: number[] = [];
  const refused: number[] = [];
  for (let at = 0; at < events.length; ) {
    const outcome = await webhook.deliver(events.slice(at));
    assert.notEqual(outcome.kind, 'retry');
    const count = (outcome.kind !== 'retry' && outcome.count) || events.length - at;
    if (outcome.kind === 'refused') {
      assert.equal(outcome.reason, 'the webhook answered 422: no such unit');
    }
    (outcome.kind === 'refused' ? refused : delivered).push(
      ...events.slice(at, at + count).map(({ sequence }) => sequence),
    );
    at += count;
  }
  assert.deepEqual(refused, [5]);
  assert.deepEqual(delivered, [1, 2, 3, 4, 6, 7, 8]);
  const taken = posts()
    .filter(({ body }) => !body.includes('"id":"2-5"'))
    .flatMap(({ body }) => (JSON.parse(body) as { id: string }[]).map(({ id }) => id));
  assert.deepEqual(
    taken,
    [1, 2, 3, 4, 6, 7, 8].map((sequence) => `2-${sequence}`),
    'in order',
  );
});

test('a large batch goes in several requests, each within its bound', async (context) => {
  const { url, posts } = await receiver(context);
  const body = JSON.stringify({ text: 'x'.repeat(200_000) });
  const events = Array.from({ length: 12 }, (_, at) => event(at, { body }));
  assert.deepEqual(await deliverer(context, url).deliver(events), { kind: 'done' });
  assert.ok(posts().length >= 3);
  for (const post of posts()) assert.ok(Buffer.byteLength(post.body) <= limits.webhookBatchBytesMax);
  const [before, few] = [posts().length, events.slice(0, 5)];
  assert.deepEqual(await deliverer(context, url, { eventsMax: 2 }).deliver(few), { kind: 'done' });
  assert.deepEqual(
    posts()
      .slice(before)
      .map((post) => JSON.parse(post.body).length),
    [2, 2, 1],
  );
});

const answers: readonly [what: string, reply: Reply, wanted: object][] = [
  ['503', { status: 503 }, { kind: 'retry', reason: 'the webhook answered 503' }],
  [
    '429 with seconds',
    { status: 429, headers: { 'retry-after': '7' } },
    { kind: 'retry', reason: 'the webhook answered 429', afterMs: 7000 },
  ],
  [
    '503 with a date',
    { status: 503, headers: { 'retry-after': new Date(TIME + 60_000).toUTCString() } },
    { kind: 'retry', reason: 'the webhook answered 503', afterMs: 60_000 },
  ],
  [
    'more time than there is',
    { status: 503, headers: { 'retry-after': '999999999' } },
    { kind: 'retry', reason: 'the webhook answered 503', afterMs: limits.webhookRetryAfterMsMax },
  ],
  [
    '410',
    { status: 410 },
    { kind: 'retry', reason: 'the webhook answered 410', afterMs: limits.webhookRetryAfterMsMax },
  ],
];

for (const [what, reply, wanted] of answers) {
  test(`what a receiver answers decides: ${what}`, async (context) => {
    const { url } = await receiver(context, ({ method }) => (method === 'POST' ? reply : undefined));
    assert.deepEqual(await deliverer(context, url).deliver([event(1)]), wanted);
  });
}

test('a redirect is not followed', async (context) => {
  const elsewhere = await receiver(context);
  const { url } = await receiver(context, ({ method }) =>
    method === 'POST' ? { status: 307, headers: { location: elsewhere.url.href } } : undefined,
  );
  const outcome = await deliverer(context, url).deliver([event(1)]);
  assert.deepEqual(outcome, { kind: 'retry', reason: 'the webhook answered 307: a redirect is not followed' });
  assert.equal(elsewhere.asked.length, 0);
});

test('an endless answer is cut', async (context) => {
  const server = http.createServer((request, response) => {
    if (request.method === 'OPTIONS') return response.setHeader('WebHook-Allowed-Origin', '*').end();
    response.writeHead(500);
    const timer = setInterval(() => response.write('x'.repeat(10_000)), 1);
    response.on('close', () => clearInterval(timer));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  const outcome = await deliverer(
    context,
    new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`),
  ).deliver([event(1)]);
  assert.match(outcome.kind === 'retry' ? outcome.reason : '', /^the webhook answered 500: x{100,}$/);
});

test('what goes wrong is told without the secrets of the URL', async (context) => {
  const { url } = await receiver(context);
  const closed = new URL(url);
  closed.port = '1';
  const outcome = await deliverer(context, closed).deliver([event(1)]);
  assert.equal(outcome.kind, 'retry');
  assert.doesNotMatch(JSON.stringify(outcome), /secret-of-url/);
});

test('an address that is not public is not called', async (context) => {
  const { url, asked } = await receiver(context);
  const named = new URL(url);
  named.protocol = 'https:';
  named.hostname = 'localhost';
  const mapped = new URL(url);
  mapped.hostname = '[::ffff:127.0.0.1]';
  const number = new URL(`http://2130706433:${url.port}/`);
  for (const each of [url, named, mapped, number]) {
    const outcome = await deliverer(context, each, { mayBePrivate: false }).deliver([event(1)]);
    assert.match(outcome.kind === 'retry' ? outcome.reason : '', /no public address/, each.host);
  }
  assert.equal(asked.length, 0);
  const plain = await deliverer(context, new URL('http://receiver.example/'), { mayBePrivate: false }).deliver([
    event(1),
  ]);
  assert.match(plain.kind === 'retry' ? plain.reason : '', /https is needed/);
});
