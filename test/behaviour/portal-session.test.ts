/** Sessions of the portal, the API through them, and the files of the page. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { networkInterfaces, tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { VirtualClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { silentLog } from '../../src/base/log.ts';
import { systemRandom } from '../../src/base/random.ts';
import { buildAdminApp } from '../../src/protocols/http/admin-server.ts';
import { Pages } from '../../src/protocols/http/portal/pages.ts';
import { PortalSessions } from '../../src/protocols/http/portal/sessions.ts';

import { createMemoryHub } from '../drivers/http.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';
import { portalBase, signIn, startLink } from '../drivers/portal.ts';

let hub: TestHub;
before(async () => {
  hub = await startHub();
});
after(() => hub[Symbol.asyncDispose]());

const page = (base: string) => ({ origin: base, 'sec-fetch-site': 'same-origin', 'content-type': 'application/json' });

const owner = () => ({ connectionString: hub.endpoints.connectionStrings.iothubowner });

test('the link of the start opens one session, which asks the API with every right and ends when it signs out', async () => {
  const link = startLink(hub);
  assert.equal(`${link.origin}/`, hub.endpoints.portalUrl);
  const session = await signIn(hub);
  assert.equal(session.facts.policyName, 'iothubowner');
  assert.deepEqual(session.facts.permissions, ['RegistryRead', 'RegistryWrite', 'ServiceConnect', 'DeviceConnect']);
  assert.equal(session.facts.hubName, hub.endpoints.hubName);

  const again = await fetch(`${session.base}/portal/session`, {
    method: 'POST',
    headers: page(session.base),
    body: JSON.stringify({ code: link.hash.slice('#code='.length) }),
  });
  assert.equal(again.status, 401, 'a code is good once');

  const put = await session.fetch('/portal/api/devices/d1', { method: 'PUT', json: { deviceId: 'd1' } });
  assert.equal(put.status, 200, await put.clone().text());
  const found = await session.fetch('/portal/api/devices/query', {
    method: 'POST',
    json: { query: 'SELECT deviceId FROM devices' },
  });
  assert.deepEqual(await found.json(), [{ deviceId: 'd1' }]);
  const absent = await session.fetch('/portal/api/devices/none');
  assert.equal(absent.status, 404);
  assert.equal(absent.headers.get('iothub-errorcode'), 'DeviceNotFound');
  assert.match(absent.headers.get('content-security-policy') ?? '', /default-src 'none'/);
  const own = await session.fetch('/portal/api/devices/d1/messages/events', { method: 'POST', json: {} });
  assert.equal(own.status, 404, 'what devices do for themselves is not there');

  const shown = await session.fetch('/portal/session');
  const { csrf, ...facts } = (await shown.json()) as Record<string, unknown>;
  assert.equal(csrf, undefined, 'the second half is shown once');
  assert.equal(facts.session, session.facts.session);
  assert.equal((await session.fetch('/portal/session', { method: 'DELETE' })).status, 204);
  assert.equal((await session.fetch('/portal/api/devices/d1')).status, 401);
});

test('mooring portal prints a link to who may read the data folder', async () => {
  await using hub = await startHub({ env: { MOORING_SHOW_CONNECTION_STRINGS: 'off' } });
  assert.doesNotMatch(hub.stdout(), /#code=/);
  const secretFile = path.join(hub.dataDir, 'portal.secret');
  assert.equal(statSync(secretFile).mode & 0o777, 0o600);
  const run = await runMooring(['portal', '--data-dir', hub.dataDir, '--json'], {});
  assert.equal(run.code, 0, run.stderr);
  const { url } = JSON.parse(run.stdout) as { url: string };
  await signIn(hub, { code: new URL(url).hash.slice('#code='.length) });
  const wrong = await fetch(`${portalBase(hub)}/portal/codes`, {
    method: 'POST',
    headers: { authorization: 'Bearer wrong' },
  });
  assert.equal(wrong.status, 401);
  await hub.stop();
  assert.equal(existsSync(secretFile), false);
});

test('a policy key opens a session with the rights of its policy, and no other', async () => {
  const session = await signIn(hub, { connectionString: hub.endpoints.connectionStrings.registryRead });
  assert.deepEqual(session.facts.permissions, ['RegistryRead']);
  assert.equal((await session.fetch('/portal/api/devices')).status, 200);
  const refused = await session.fetch('/portal/api/devices/d1', { method: 'PUT', json: { deviceId: 'd1' } });
  assert.equal(refused.status, 401);
  assert.equal(refused.headers.get('iothub-errorcode'), 'IotHubUnauthorizedAccess');
  const base = portalBase(hub);
  const key = /SharedAccessKey=([^;]+)/.exec(hub.endpoints.connectionStrings.service)?.[1];
  for (const login of [
    { policyName: 'registryRead', key },
    { policyName: 'none', key },
    { connectionString: `SharedAccessKeyName=service;SharedAccessKey=${key}A` },
  ]) {
    const answer = await fetch(`${base}/portal/session`, {
      method: 'POST',
      headers: page(base),
      body: JSON.stringify(login),
    });
    assert.equal(answer.status, 401);
    assert.ok(!(await answer.text()).includes(String(key).slice(0, 8)));
  }
  for (const body of ['{}', '[]', '{"code":1}', '{"connectionString":"x"}', '', '{"code":"a","key":"b"}']) {
    const answer = await fetch(`${base}/portal/session`, { method: 'POST', headers: page(base), body });
    assert.equal(answer.status, 400, body);
  }
});

test('a session wants both of its halves, a page of this port, and a Host that is this hub', async () => {
  const session = await signIn(hub, owner());
  const { base, cookie, csrf } = session;
  assert.match(cookie, /^mooring-portal-\d+=/);
  const status = async (headers: Record<string, string>, path = '/portal/api/devices', init: RequestInit = {}) =>
    (await fetch(`${base}${path}`, { ...init, headers })).status;
  const good = { cookie, 'x-mooring-csrf': csrf };
  assert.equal(await status(good), 200);
  for (const path of ['/portal/api/devices', '/portal/session', '/PORTAL/api/devices']) {
    assert.notEqual(await status({ cookie }, path), 200, `${path} by the cookie alone`);
    assert.notEqual(await status({ 'x-mooring-csrf': csrf }, path), 200, `${path} without the cookie`);
    assert.notEqual(await status({ cookie, 'x-mooring-csrf': cookie.split('=')[1] }, path), 200);
  }
  assert.equal(await status({ ...good, origin: 'http://evil.example' }), 403);
  assert.equal(await status({ ...good, origin: 'null' }), 403);
  for (const site of ['cross-site', 'same-site', 'other']) {
    assert.equal(await status({ ...good, 'sec-fetch-site': site }), 403, site);
  }
  // The same places, spelled otherwise.
  for (const path of ['/%70ortal/session', '/portal/%73ession', '/%70ortal/api/devices', '/portal//session']) {
    assert.equal((await status({ ...good, 'sec-fetch-site': 'cross-site' }, path)) >= 400, true, path);
  }
  const code = { method: 'POST', body: JSON.stringify({ code: 'x' }) };
  const json = { 'content-type': 'application/json' };
  assert.equal(await status({ ...json, ...good }, '/%70ortal/session', code), 403, 'no Origin');
  assert.equal(await status({ ...json, origin: base, 'sec-fetch-site': 'cross-site' }, '/%70ortal/session', code), 403);
  // A form of another page carries the cookie only where the browser is old, and then says no Origin or its own.
  assert.equal(await status(good, '/portal/api/devices/d1', { method: 'DELETE' }), 403);
  assert.equal(await status({ ...good, origin: base }, '/portal/session', { method: 'DELETE' }), 204);

  const renamed = await signIn(hub, { connectionString: hub.endpoints.connectionStrings.service });
  const double = `${cookie}; ${renamed.cookie}`;
  assert.equal(await status({ cookie: double, 'x-mooring-csrf': renamed.csrf }, '/portal/session'), 200);
  assert.equal(await status({ cookie: double, 'x-mooring-csrf': csrf }, '/portal/session'), 401);
});

test('of a client that has not signed in only little is read', async () => {
  const base = portalBase(hub);
  const large = JSON.stringify({ code: 'x'.repeat(2 * limits.portalLoginBytesMax) });
  for (const [path, status] of [
    ['/portal/session', 413],
    ['/portal/codes', 413],
    ['/portal/stream/x', 401],
    ['/portal/api/devices', 401],
  ] as const) {
    const answer = await fetch(`${base}${path}`, { method: 'POST', headers: page(base), body: large });
    assert.equal(answer.status, status, path);
  }
});

test('paths of the API are those of the route table alone, whatever the id', async () => {
  const session = await signIn(hub, owner());
  for (const id of ["a'b", 'a(b)c', 'a%b', '$x', 'a#b?c', "x;'=!*", '__proto__', 'constructor', 'a..b']) {
    const at = `/portal/api/devices/${encodeURIComponent(id)}`;
    assert.equal((await session.fetch(at, { method: 'PUT', json: { deviceId: id } })).status, 200, id);
    const answer = await session.fetch(at);
    assert.equal(((await answer.json()) as { deviceId: string }).deviceId, id);
  }
  for (const path of [
    '/portal/api/../metrics',
    '/portal/api/%2e%2e/portal/session',
    '/portal/api//metrics',
    '/portal/api/portal/session',
    '/portal/api/devices/%zz',
    '/portal/api/',
    '/portal/api/devices/a%0d%0aset-cookie:%20x=y',
  ]) {
    const answer = await session.fetch(path);
    assert.ok(answer.status >= 400 || path.includes('..'), `${path} ${answer.status}`);
    assert.equal(answer.headers.get('set-cookie'), null);
  }
});

test('the page is served with its policies, by name from memory, and says so while it is being built', async (context) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-pages-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const dist = path.join(folder, 'dist');
  const memory = await createMemoryHub();
  const owner = memory.policies[0];
  let later = 0;
  const clock = { ...memory.hub.clock, monotonic: () => later, now: () => 0, after: memory.hub.clock.after };
  const app = await buildAdminApp({
    ...{ port: 0, addresses: ['127.0.0.1'], hub: memory.hub, log: silentLog },
    ...{ health: () => ({ ready: true, status: 'ok', checks: [] }), openApi: () => ({}) },
    metrics: async () => ({ contentType: 'text/plain', text: '' }),
    portal: {
      ...{ hub: memory.hub, api: {}, owner, secret: 's', publicOrigins: ['https://hub.proxy'], version: '1' },
      sessions: new PortalSessions(memory.hub.clock, memory.hub.random),
      pages: new Pages(dist, clock, silentLog),
      ports: () => null,
      overview: async () => ({}),
      history: () => ({}),
    },
  });
  const get = (url: string, headers: Record<string, string> = {}) =>
    app.inject({ method: 'GET', url, headers: { host: 'localhost', ...headers } });
  const early = await get('/');
  assert.equal(early.statusCode, 503);
  assert.match(early.body, /being built/);
  writeFileSync(path.join(folder, 'dist.state'), 'failed\nvite: cannot resolve <script>');
  later += 10_000;
  assert.match((await get('/')).body, /could not be built[\s\S]*cannot resolve/);
  assert.match(String((await get('/')).headers['content-type']), /^text\/plain/);

  mkdirSync(path.join(dist, 'assets'), { recursive: true });
  writeFileSync(path.join(dist, 'assets', 'app-1.js'), `console.log(${JSON.stringify('x'.repeat(5000))})`);
  writeFileSync(path.join(dist, 'assets', 'app-1.js.map'), '{}');
  writeFileSync(path.join(dist, 'index.html'), '<!doctype html><script src="/assets/app-1.js" type="module"></script>');
  later += 10_000;
  for (const url of ['/', '/devices', '/device?id=..', '/overview']) {
    const answer = await get(url, { 'sec-fetch-site': 'cross-site', 'accept-encoding': 'identity' });
    assert.equal(answer.statusCode, 200, url);
    assert.match(answer.body, /^<!doctype html>/);
    assert.match(String(answer.headers['content-security-policy']), /require-trusted-types-for 'script'/);
    assert.match(String(answer.headers['content-security-policy']), /frame-ancestors 'none'/);
    assert.equal(answer.headers['cache-control'], 'no-cache');
    assert.equal((await get(url, { 'if-none-match': String(answer.headers.etag) })).statusCode, 304);
  }
  const script = await get('/assets/app-1.js', { 'accept-encoding': 'gzip' });
  assert.equal(script.headers['content-encoding'], 'gzip');
  assert.match(String(script.headers['cache-control']), /immutable/);
  assert.match(String(script.headers['content-type']), /^text\/javascript/);
  for (const url of [
    '/assets/app-1.js.map',
    '/assets/../index.html',
    '/assets/%2e%2e%2findex.html',
    '/assets/',
    '/other',
  ]) {
    assert.equal((await get(url)).statusCode, 404, url);
  }
  // Behind a proxy with TLS the page's origin is another than the port's.
  const post = (headers: Record<string, string>) =>
    app.inject({
      method: 'POST',
      url: '/portal/session',
      headers: { 'content-type': 'application/json', ...headers },
      payload: JSON.stringify({ policyName: owner.name, key: owner.primaryKey }),
    });
  const proxied = await post({ host: 'hub.proxy', origin: 'https://hub.proxy' });
  assert.equal(proxied.statusCode, 201, proxied.body);
  assert.match(
    String(proxied.headers['set-cookie']),
    /^__Host-mooring-portal-0=[\w-]+; Path=\/; HttpOnly; SameSite=Strict; Secure$/,
  );
  assert.equal((await post({ host: 'hub.proxy', origin: 'https://hub.proxy.evil.example' })).statusCode, 403);
  assert.equal((await post({ host: 'other.proxy', origin: 'https://hub.proxy' })).statusCode, 403);
});

test('beyond loopback the portal is served by TLS alone, and probes go on in plain HTTP', async () => {
  await using hub = await startHub({ args: ['--admin-bind-address', '0.0.0.0'] });
  const port = hub.endpoints.ports.admin as number;
  assert.equal(hub.endpoints.portalUrl, `https://localhost:${port}/`);
  assert.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200);
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; cookie: string }>();
  const request = https.request(
    `https://localhost:${port}/portal/session`,
    {
      method: 'POST',
      ca: hub.ca,
      agent: false,
      headers: { origin: `https://localhost:${port}`, 'content-type': 'application/json' },
    },
    (answer) => {
      answer.resume();
      resolve({ status: answer.statusCode ?? 0, cookie: String(answer.headers['set-cookie']) });
    },
  );
  request.on('error', reject).end(JSON.stringify({ code: startLink(hub).hash.slice('#code='.length) }));
  const { status, cookie } = await promise;
  assert.equal(status, 201);
  assert.match(cookie, /^__Host-mooring-portal-\d+=.*; Secure$/);
  const run = await runMooring(['portal', '--data-dir', hub.dataDir], {});
  assert.match(run.stdout, /https:\/\/localhost:\d+\/#code=/, run.stderr);
  const address = Object.values(networkInterfaces())
    .flatMap((entries) => entries ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')?.address;
  if (address === undefined) return;
  const plain = await fetch(`http://${address}:${port}/`);
  assert.equal(plain.status, 403);
  assert.match(await plain.text(), /https:\/\//);
});

test('a session ends by its time, used or not, and a stream that is open keeps it from idling', () => {
  const clock = new VirtualClock();
  const ends: string[] = [];
  const sessions = new PortalSessions(clock, systemRandom, { opened: () => {}, ended: (_, why) => ends.push(why) });
  const principal = {
    kind: 'policy',
    policyName: 'service',
    permissions: new Set(['ServiceConnect'] as const),
    expiresAt: Number.POSITIVE_INFINITY,
    scope: [],
  } as const;
  const idle = sessions.open(principal);
  const watching = sessions.open(principal);
  const release = watching.session.hold();
  clock.advance(limits.portalSessionIdleMs - 1);
  assert.ok(sessions.find(idle.cookie, idle.csrf), 'asked just in time');
  clock.advance(limits.portalSessionIdleMs);
  assert.equal(sessions.find(idle.cookie, idle.csrf), undefined);
  assert.equal(idle.session.ended.aborted, true);
  assert.ok(sessions.find(watching.cookie, watching.csrf));
  release();
  const held = watching.session.hold();
  clock.advance(limits.portalSessionMs);
  sessions.sweep();
  assert.deepEqual(ends, ['idle', 'expired']);
  held();
  const code = sessions.code(1000);
  clock.advance(1000);
  assert.equal(sessions.useCode(code), false);
  const many = Array.from({ length: limits.portalSessionsPerPolicyMax + 1 }, () => sessions.open(principal));
  assert.equal(sessions.size, limits.portalSessionsPerPolicyMax);
  assert.equal(many[0].session.ended.aborted, true, 'the one that was used longest ago makes room');
});
