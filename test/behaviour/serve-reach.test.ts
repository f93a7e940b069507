import assert from 'node:assert/strict';
import type { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { startHub } from '../drivers/hub.ts';

const root = mkdtempSync(path.join(tmpdir(), 'mooring-reach-'));
after(() => rmSync(root, { recursive: true, force: true }));

/** Linux answers on all of 127/8, so this stands in for an address that is not the one the plain ports are bound to. */
const elsewhere = '127.0.0.2';

function accepts(port: number | null, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port ?? 0, host);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

test('until it is asked for, nothing listens beyond loopback; asked for, the plain ports still do not', async () => {
  await using closed = await startHub();
  const names = ['mqtts', 'amqps', 'https', 'admin', 'amqp', 'mqtt'] as const;
  for (const name of names) {
    assert.equal(await accepts(closed.endpoints.ports[name], '127.0.0.1'), true, name);
    assert.equal(await accepts(closed.endpoints.ports[name], elsewhere), false, name);
  }
  await closed.stop();
  await using open = await closed.restart({ args: ['--bind-address', '0.0.0.0'] });
  for (const name of names) {
    const isTls = name === 'mqtts' || name === 'amqps' || name === 'https';
    assert.equal(await accepts(open.endpoints.ports[name], elsewhere), isTls, name);
  }
});

test('an admin port that others can reach asks for a key', async () => {
  await using hub = await startHub({ args: ['--admin-bind-address', '0.0.0.0'] });
  const { admin } = hub.endpoints.ports;
  assert.equal(await accepts(admin, elsewhere), true);
  assert.equal((await fetch(`http://127.0.0.1:${admin}/metrics`)).status, 401);
});

test("the operator's certificate is shown, and a new one after SIGHUP, while connections stay", async () => {
  // Two hubs make two certificates; a third one is given the files of the first, then those of the second.
  const [cert, key] = [path.join(root, 'cert.pem'), path.join(root, 'key.pem')];
  const made: string[] = [];
  for (const name of ['first', 'second']) {
    const dataDir = path.join(root, name);
    await using hub = await startHub({ dataDir });
    assert.ok(hub.ca.length > 0);
    made.push(path.join(dataDir, 'tls'));
  }
  const give = (folder: string): void => {
    copyFileSync(path.join(folder, 'server.pem'), cert);
    copyFileSync(path.join(folder, 'server-key.pem'), key);
  };
  give(made[0]);
  const caFile = path.join(made[0], 'ca.pem');
  await using hub = await startHub({
    args: ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-file', caFile],
  });
  assert.equal(hub.endpoints.caFile, caFile);
  const connect = async (): Promise<tls.TLSSocket> => {
    const port = hub.endpoints.ports.mqtts ?? 0;
    const socket = tls.connect({ host: '127.0.0.1', port, servername: 'localhost', rejectUnauthorized: false });
    socket.on('error', () => {});
    after(() => socket.destroy());
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    return socket;
  };
  const issuer = (socket: tls.TLSSocket): X509Certificate => {
    const certificate = socket.getPeerX509Certificate();
    assert.ok(certificate !== undefined);
    return certificate;
  };
  const old = await connect();
  const first = issuer(old).fingerprint256;
  let ended = false;
  old.once('close', () => {
    ended = true;
  });
  give(made[1]);
  hub.signal('SIGHUP');
  await hub.logged(/the certificate was read again/);
  assert.notEqual(issuer(await connect()).fingerprint256, first);
  assert.equal(ended, false);
});

test('a certificate without its key is refused with what to do', async () => {
  const [one, two] = ['one', 'two'].map((name) => path.join(root, `pair-${name}`));
  for (const dataDir of [one, two]) {
    await using hub = await startHub({ dataDir });
    assert.ok(hub.pid > 0);
  }
  const args = [
    '--tls-cert-file',
    path.join(one, 'tls', 'server.pem'),
    '--tls-key-file',
    path.join(two, 'tls', 'server-key.pem'),
  ];
  await assert.rejects(startHub({ args }), /do not belong together or are not PEM/);
});

test('what a hub on another address of the loopback network tells clients leads to it', async () => {
  await using hub = await startHub({ args: ['--bind-address', '127.0.0.2'] });
  const { endpoints } = hub;
  assert.equal(endpoints.hostName, '127.0.0.2');
  assert.match(endpoints.connectionStrings.iothubowner, /^HostName=127\.0\.0\.2;/);
  assert.match(endpoints.connectionStrings.eventHubs, /^Endpoint=sb:\/\/127\.0\.0\.2/);
  assert.match(endpoints.connectionStrings.eventHubsEmulator, /^Endpoint=sb:\/\/localhost/, 'the plain port is there');
  const socket = tls.connect({ host: '127.0.0.2', port: endpoints.ports.mqtts ?? 0, ca: hub.ca });
  await once(socket, 'secureConnect');
  assert.equal(socket.authorized, true);
  socket.destroy();
});
