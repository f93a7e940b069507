import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { test } from 'node:test';
import type { HealthReport } from '../../src/api/health.ts';
import { signSas } from '../../src/api/sas.ts';
import type { WholeHub } from '../../src/core/hub.ts';
import { buildAdminApp, openAdminDoor } from '../../src/protocols/http/admin-server.ts';
import type { AdminDoorOptions } from '../../src/protocols/http/options.ts';
import { createMemoryHub, type MemoryHub, parseAnswer, refusalIn } from '../drivers/http.ts';

const paths = ['/healthz', '/readyz', '/metrics', '/openapi.json'];

const well: HealthReport = { ready: true, status: 'ok', checks: [{ name: 'disk', status: 'ok' }] };
const ill: HealthReport = {
  ready: false,
  status: 'fail',
  checks: [
    { name: 'tables', status: 'ok' },
    { name: 'events', status: 'fail', reason: 'the event log cannot be written: no space', remedy: 'Make some.' },
    { name: 'disk', status: 'warn', reason: 'the disk is nearly full' },
  ],
};

function adminOptions({ hub }: MemoryHub, more: Partial<AdminDoorOptions> = {}): AdminDoorOptions {
  return {
    port: 0,
    addresses: ['127.0.0.1'],
    hub,
    log: hub.log,
    health: () => well,
    metrics: async () => ({ contentType: 'text/plain; version=0.0.4', text: 'hub_up 1\n' }),
    openApi: () => ({ openapi: '3.0.3' }),
    ...more,
  };
}

const ownerToken = ({ policies, hub }: MemoryHub, policyName: string): Promise<string> =>
  signSas({
    resource: 'localhost',
    key: policies.find((policy) => policy.name === policyName)?.primaryKey ?? '',
    policyName,
    expiresAt: hub.clock.now() + 60_000,
  });

test('health, readiness, metrics and the description of the API are served over plain HTTP', async () => {
  const memory = await createMemoryHub();
  let health = well;
  const door = await openAdminDoor(adminOptions(memory, { health: () => health }));
  try {
    const get = async (path: string, accept?: string) => {
      const headers = accept === undefined ? {} : { accept };
      const request = http.get({ host: '127.0.0.1', port: door.port, path, headers, agent: false });
      const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
      request.on('response', resolve).on('error', reject);
      const response = await promise;
      return { status: response.statusCode, type: response.headers['content-type'], body: await text(response) };
    };
    assert.deepEqual(await get('/healthz'), { status: 200, type: 'text/plain; charset=utf-8', body: 'ok\n' });
    assert.deepEqual(await get('/readyz'), { status: 200, type: 'text/plain; charset=utf-8', body: 'ready\n' });
    assert.equal((await get('/metrics')).body, 'hub_up 1\n');
    assert.equal((await get('/metrics')).type, 'text/plain; version=0.0.4');
    assert.deepEqual(JSON.parse((await get('/openapi.json')).body), { openapi: '3.0.3' });
    assert.deepEqual(JSON.parse((await get('/readyz', 'application/json')).body), well);
    health = { ...ill, ready: true, status: 'warn', checks: [ill.checks[2]] };
    const warned = await get('/readyz');
    assert.deepEqual([warned.status, warned.body], [200, 'ready\nwarn disk: the disk is nearly full.\n']);
    health = ill;
    assert.deepEqual(await get('/readyz'), {
      status: 503,
      type: 'text/plain; charset=utf-8',
      body:
        'not ready\nfail events: the event log cannot be written: no space. Make some.\n' +
        'warn disk: the disk is nearly full.\n',
    });
    const json = await get('/readyz', 'text/html, application/json;q=0.9');
    assert.deepEqual([json.status, json.type], [503, 'application/json; charset=utf-8']);
    assert.deepEqual(JSON.parse(json.body), ill);
    assert.equal((await get('/other')).status, 404);
  } finally {
    await door.stopAccepting();
    await door.drain();
  }
  assert.equal(door.connections(), 0);
});

test('a request for another host, or of a page from elsewhere, is refused on every path', async () => {
  const memory = await createMemoryHub();
  const app = await buildAdminApp(adminOptions(memory));
  const status = async (url: string, headers: Record<string, string>) =>
    (await app.inject({ method: 'GET', url, headers })).statusCode;
  for (const path of paths) {
    for (const host of [
      'localhost:8080',
      'LOCALHOST',
      '127.0.0.1:8080',
      '[::1]:8080',
      '192.168.1.7',
      'hub.example:80',
    ]) {
      assert.equal(await status(path, { host }), 200, `${path} at ${host}`);
      assert.equal(await status(path, { host, origin: `http://${host}` }), 200, `${path} from ${host}`);
    }
    for (const host of [
      'evil.example',
      'localhost.evil.example',
      'evil.example:8080',
      'localhost@evil.example',
      'x y',
    ]) {
      assert.equal(await status(path, { host }), 403, `${path} at "${host}"`);
    }
    for (const origin of ['http://evil.example', 'https://localhost:8080', 'http://localhost:1', 'null', '']) {
      assert.equal(await status(path, { host: 'localhost:8080', origin }), 403, `${path} from "${origin}"`);
    }
  }
  const answer = await app.inject({ method: 'GET', url: '/metrics', headers: { host: 'evil.example' } });
  assert.equal(refusalIn({ status: 403, headers: {}, body: answer.body }).code, 'OperationNotAvailable');
  assert.equal(answer.headers['access-control-allow-origin'], undefined);
});

test('beyond loopback a token with RegistryRead is asked for, except for the bare answers of probes', async () => {
  const memory = await createMemoryHub();
  const app = await buildAdminApp(adminOptions(memory, { addresses: ['127.0.0.1', '10.0.0.5'], health: () => ill }));
  const get = (url: string, authorization?: string) =>
    app.inject({ method: 'GET', url, headers: { host: '10.0.0.5', ...(authorization && { authorization }) } });
  const owner = await ownerToken(memory, 'iothubowner');
  for (const path of ['/metrics', '/openapi.json']) {
    const refused = await get(path);
    assert.equal(refused.statusCode, 401);
    assert.equal(refused.headers['www-authenticate'], 'SharedAccessSignature');
    assert.equal((await get(path, 'SharedAccessSignature nonsense')).statusCode, 401);
    assert.equal((await get(path, await ownerToken(memory, 'service'))).statusCode, 401);
    assert.equal((await get(path, owner)).statusCode, 200);
    assert.equal((await get(path, `Bearer ${owner}`)).statusCode, 200);
  }
  assert.equal((await get('/healthz')).body, 'ok\n');
  const bare = await get('/readyz');
  assert.deepEqual([bare.statusCode, bare.body], [503, 'not ready\n']);
  assert.match((await get('/readyz', owner)).body, /^not ready\nfail events: /);
  const json = await app.inject({ url: '/readyz', headers: { host: '10.0.0.5', accept: 'application/json' } });
  assert.deepEqual(JSON.parse(json.body), { ready: false, status: 'fail', checks: [] });
});

test('who guesses tokens on the admin port is counted by address, as at every other door', async () => {
  const memory = await createMemoryHub();
  const peers: (string | undefined)[] = [];
  const { authentication } = memory.hub;
  const watched: WholeHub = {
    ...memory.hub,
    authentication: {
      ...authentication,
      token(token, audience, peer) {
        peers.push(peer);
        return authentication.token(token, audience, peer);
      },
    },
  };
  const app = await buildAdminApp(adminOptions({ ...memory, hub: watched }, { addresses: ['10.0.0.5'] }));
  for (const path of ['/metrics', '/readyz']) {
    await app.inject({
      method: 'GET',
      url: path,
      headers: { host: '10.0.0.5', authorization: 'SharedAccessSignature nonsense' },
      remoteAddress: '192.0.2.7',
    });
  }
  assert.deepEqual(peers, ['192.0.2.7', '192.0.2.7']);
});

test('a part that fails is answered 500 without its cause, which only the log has', async () => {
  const memory = await createMemoryHub();
  const metrics = async (): Promise<never> => {
    throw new Error('gauge on /dev/sda1');
  };
  const app = await buildAdminApp(adminOptions(memory, { metrics }));
  const answer = await app.inject({ method: 'GET', url: '/metrics', headers: { host: 'localhost' } });
  assert.equal(answer.statusCode, 500);
  assert.equal(answer.body.includes('sda1'), false);
  assert.match(String(memory.log.find((line) => line.level === 'error')?.fields.error), /sda1/);
});

test('a request that cannot be read is answered in the form of every refusal', async () => {
  const memory = await createMemoryHub();
  const door = await openAdminDoor(adminOptions(memory));
  try {
    for (const [bytes, status, code] of [
      [`GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, 431, 'MessageTooLarge'],
      ['HELO example.org\r\n\r\n', 400, 'IotHubFormatError'],
    ] as const) {
      const socket = net.connect(door.port, '127.0.0.1');
      socket.write(bytes);
      const answer = parseAnswer(await buffer(socket));
      assert.deepEqual([answer.status, refusalIn(answer).code], [status, code]);
    }
  } finally {
    await door.stopAccepting();
    await door.drain();
  }
});
