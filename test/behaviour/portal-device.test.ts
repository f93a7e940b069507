/** A device that runs in a page of the portal. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { WebSocket } from 'ws';
import type { ApiClient } from '../../src/api/client.ts';
import { limits } from '../../src/base/limits.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { openStream, type PortalSession, signIn } from '../drivers/portal.ts';
import { until } from '../drivers/until.ts';

let hub: TestHub;
let api: ApiClient;
let owner: PortalSession;

before(async () => {
  hub = await startHub();
  api = apiOf(hub);
  owner = await signIn(hub);
});
after(async () => {
  api.close();
  await hub[Symbol.asyncDispose]();
});

type Word = Readonly<Record<string, unknown>>;

class Page {
  readonly socket: WebSocket;
  readonly words: Word[] = [];
  readonly closed: Promise<string>;

  constructor(session: PortalSession, deviceId: string, changes: { headers?: object; protocols?: string[] } = {}) {
    const { protocols = ['mooring-device', `csrf.${session.csrf}`] } = changes;
    this.socket = new WebSocket(
      `${session.base.replace('http', 'ws')}/portal/device?id=${encodeURIComponent(deviceId)}`,
      protocols,
      { headers: { cookie: session.cookie, origin: session.base, ...changes.headers } },
    );
    this.socket.on('message', (data) => this.words.push(JSON.parse(String(data))));
    this.socket.on('error', (error) => this.words.push({ type: 'error', message: error.message }));
    this.closed = new Promise((resolve) => this.socket.once('close', (_code, reason) => resolve(String(reason))));
  }

  async heard(type: string): Promise<Word> {
    await until(`the page hears ${type}`, () => this.words.some((word) => word.type === type));
    return this.words.find((word) => word.type === type) as Word;
  }

  say(word: Word): void {
    this.socket.send(JSON.stringify(word));
  }
}

test('a page is a device: it sends, reports, and gets commands, methods and desired properties', async () => {
  const id = "page'1$";
  await api.devices.create(id);
  const page = new Page(owner, id);
  assert.equal((await page.heard('connected')).deviceId, id);
  await using stream = await openStream(owner, [`device:${id}`]);
  await stream.next(({ event }) => event === 'hello');
  page.say({ type: 'telemetry', id: 1, body: { t: 21.5 }, properties: { kind: 'test' } });
  assert.equal((await page.heard('stored')).id, 1);
  const told = await stream.next(({ event }) => event === 'telemetry');
  const [event] = told.data.events as readonly Word[];
  assert.deepEqual([event.body, event.contentType], ['{"t":21.5}', 'application/json']);

  page.say({ type: 'report', id: 2, patch: { on: true } });
  assert.equal((await page.heard('reported')).id, 2);
  page.say({ type: 'twin', id: 3 });
  assert.equal(((await page.heard('twin')).reported as Word).on, true);
  const patched = await owner.fetch(`/portal/api/twins/${encodeURIComponent(id)}`, {
    method: 'PATCH',
    json: { properties: { desired: { level: 7 } } },
  });
  assert.equal(patched.status, 200, await patched.clone().text());
  assert.deepEqual(((await page.heard('desired')).patch as Word).level, 7);

  const calling = owner.fetch(`/portal/api/twins/${encodeURIComponent(id)}/methods`, {
    method: 'POST',
    json: { methodName: 'blink', payload: { times: 3 }, responseTimeoutInSeconds: 20 },
  });
  const method = await page.heard('method');
  assert.deepEqual([method.name, method.payload], ['blink', { times: 3 }]);
  page.say({ type: 'answer', id: method.id, status: 200, payload: { done: true } });
  assert.deepEqual(await (await calling).json(), { status: 200, payload: { done: true } });

  const sent = await owner.fetch(`/portal/api/mooring/v1/devices/${encodeURIComponent(id)}/commands`, {
    method: 'POST',
    json: { bodyText: 'hello', messageId: 'm1' },
  });
  assert.ok(sent.ok, await sent.clone().text());
  const command = await page.heard('command');
  assert.equal(command.messageId, 'm1');
  page.say({ type: 'settle', lockToken: command.lockToken, how: 'complete' });
  await until('the command is completed', async () => {
    const trail = await owner.fetch(`/portal/api/mooring/v1/devices/${encodeURIComponent(id)}/commands?messageId=m1`);
    return (await trail.text()).includes('completed');
  });
  page.socket.close();
  await until('it counts as gone', async () => (await api.devices.get(id)).connectionState === 'Disconnected');
});

test('what is no message of a device is refused and the page goes on; one that floods is answered so', async () => {
  await api.devices.create('mean-1');
  const page = new Page(owner, 'mean-1');
  await page.heard('connected');
  const wrong = ['{', '[]', '{"type":"x"}', '{"type":"telemetry"}', '{"type":"telemetry","id":1,"more":1}', '"x"'];
  for (const text of wrong) page.socket.send(text);
  page.say({ type: 'telemetry', id: 5, body: 'x', properties: { 'a b': '<y>' } });
  await page.heard('stored');
  assert.equal(page.words.filter(({ type }) => type === 'refused').length, wrong.length);
  const count = 4 * limits.portalDeviceOpenMax;
  for (let id = 100; id < 100 + count; id++) page.say({ type: 'telemetry', id, body: 'x' });
  await until('all are answered', () => page.words.length >= count + wrong.length + 2);
  page.socket.send(Buffer.from([1]));
  await page.closed;
  const large = new Page(owner, 'mean-1');
  await large.heard('connected');
  large.socket.send('x'.repeat(limits.portalDeviceMessageBytesMax + 1));
  await large.closed;
});

test('only a page of this port with a session that may read the key is let in, and it ends with its session', async () => {
  await api.devices.create('guarded-1');
  const refusedWith = async (page: Page): Promise<string> => {
    await once(page.socket, 'close').catch(() => {});
    return String(page.words[0]?.message);
  };
  const { base } = owner;
  const cases: [object, string[] | undefined, RegExp][] = [
    [{ origin: 'http://evil.example' }, undefined, /403/],
    [{ host: 'evil.example' }, undefined, /403/],
    [{ 'sec-fetch-site': 'cross-site' }, undefined, /403/],
    [{ cookie: '' }, undefined, /401/],
    [{}, ['mooring-device'], /401/],
    [{}, ['mooring-device', 'csrf.x'], /401/],
    [{}, ['mqtt', `csrf.${owner.csrf}`], /404/],
  ];
  for (const [headers, protocols, status] of cases) {
    assert.match(await refusedWith(new Page(owner, 'guarded-1', { headers, ...(protocols && { protocols }) })), status);
  }
  const plain = await fetch(`${base}/portal/device?id=guarded-1`, { headers: { cookie: owner.cookie } });
  assert.notEqual(plain.status, 101);
  const service = await signIn(hub, { connectionString: hub.endpoints.connectionStrings.service });
  const poor = new Page(service, 'guarded-1');
  assert.equal((await poor.heard('refused')).code, 'IotHubUnauthorizedAccess');
  assert.equal(await poor.closed, 'IotHubUnauthorizedAccess');
  assert.equal((await new Page(owner, 'none-1').heard('refused')).code, 'DeviceNotFound');
  assert.equal((await new Page(owner, '..').heard('refused')).code, 'DeviceNotFound');

  const session = await signIn(hub, { connectionString: hub.endpoints.connectionStrings.registryReadWrite });
  const page = new Page(session, 'guarded-1');
  await page.heard('connected');
  await session.fetch('/portal/session', { method: 'DELETE' });
  assert.equal(await page.closed, 'session');

  const again = new Page(owner, 'guarded-1');
  await again.heard('connected');
  await api.devices.delete('guarded-1');
  assert.equal(await again.closed, 'deleted');
});
