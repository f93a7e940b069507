/** Who may open a link at a node's port. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import tls from 'node:tls';
import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import { openSocketLink } from '../threads/socket-link.ts';
import { makeAuthority, makeNodeCertificate, makeServerCertificate } from '../tls/certificates.ts';
import { openNodePort } from './node-port.ts';
import { NODE_NAME, openNodeTls } from './node-tls.ts';

/** @param aheadMs the clock of the node whose port it is, and which makes the authority */
async function scene(t: TestContext, aheadMs = 0) {
  const secrets = new Map<string, string>();
  const get = async (name: string, fresh: string): Promise<string> => {
    if (!secrets.has(name)) secrets.set(name, fresh);
    return secrets.get(name) ?? '';
  };
  const parts = { secrets: { get }, hubName: 'hub', clock: systemClock, random: systemRandom };
  const clock = { ...systemClock, now: () => Date.now() + aheadMs };
  const [one, other] = [await openNodeTls({ ...parts, clock }), await openNodeTls(parts)];
  let accepted = 0;
  const port = await openNodePort({
    ...{ port: 0, addresses: ['127.0.0.1'], tls: one, clock: systemClock, log: silentLog },
    accept(link, greeted) {
      accepted++;
      greeted();
      link.serve('nodes', { heard: async () => 'yes' });
    },
  });
  t.after(() => port.close());
  const authority = JSON.parse(secrets.get('node authority') ?? '') as { cert: string; key: string };
  const knock = async (options: tls.ConnectionOptions): Promise<string> => {
    const socket = tls.connect({
      host: '127.0.0.1',
      port: port.port,
      checkServerIdentity: () => undefined,
      ...options,
    });
    socket.on('error', () => {});
    socket.write('x');
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
    return accepted === 0 ? 'turned away' : 'let in';
  };
  return { port: port.port, other, authority, knock, accepted: () => accepted };
}

test('a node of the same hub is let in, and both ends are sure of each other', async (t) => {
  const { port, other, accepted } = await scene(t);
  const socket = tls.connect({ ...other.client(), host: '127.0.0.1', port });
  await once(socket, 'secureConnect');
  assert.equal(socket.authorized, true);
  const link = openSocketLink(socket);
  const remote = link.remote<{ heard(): Promise<string> }>('nodes', { heard: true });
  assert.equal(await remote.heard(), 'yes');
  assert.equal(accepted(), 1);
  socket.destroy();
});

test('a node whose clock is wrong by a day has links, whichever way', async (t) => {
  for (const aheadMs of [-24, 24].map((hours) => hours * 3_600_000)) {
    const { port, other } = await scene(t, aheadMs);
    const socket = tls.connect({ ...other.client(), host: '127.0.0.1', port });
    await once(socket, 'secureConnect');
    assert.equal(socket.authorized, true);
    const remote = openSocketLink(socket).remote<{ heard(): Promise<string> }>('nodes', { heard: true });
    assert.equal(await remote.heard(), 'yes');
    socket.destroy();
  }
});

test('no other certificate is worth anything there: none, another authority’s, another name of the same authority', async (t) => {
  const { authority, knock } = await scene(t);
  const now = Date.now();
  const ca = authority.cert;
  const stranger = await makeAuthority('devices', now, systemRandom);
  const ofStranger = await makeNodeCertificate(stranger, NODE_NAME, now, systemRandom);
  const server = await makeServerCertificate(authority, [{ type: 'dns', value: 'localhost' }], now, systemRandom);
  const otherName = await makeNodeCertificate(authority, 'mooring:/device', now, systemRandom);
  assert.equal(await knock({ ca }), 'turned away');
  assert.equal(await knock({ ca, ...ofStranger }), 'turned away');
  assert.equal(await knock({ ca, ...server }), 'turned away');
  assert.equal(await knock({ ca, ...otherName }), 'turned away');
});

test('a node does not speak to who shows another certificate than a node’s', async (t) => {
  const { other, authority } = await scene(t);
  const pair = await makeServerCertificate(authority, [{ type: 'dns', value: 'localhost' }], Date.now(), systemRandom);
  const server = tls.createServer(pair, (socket) => socket.on('error', () => {}));
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const socket = tls.connect({ ...other.client(), host: '127.0.0.1', port: address.port });
  const [error] = (await once(socket, 'error')) as [Error];
  assert.match(error.message, /not that of a node/);
});
