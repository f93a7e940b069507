/** Foreign clients at the adapter: each sends a small message and a large one, reads its twin, and takes a command. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import coap from '../../src/adapters/coap/index.ts';
import { FakeHub, type RunningAdapter, runAdapter } from '../../src/gateway/testing/index.ts';
import { makeAuthorityCertificate, makeCertificate, type TestCertificate } from '../drivers/certificates.ts';
import {
  aiocoap,
  aiocoapPrograms,
  californium,
  coapClient,
  coapClientWithKey,
  goCoap,
  keyForShell,
  mbedtls,
  missingAiocoap,
  missingCalifornium,
  missingLibcoap,
  missingOpenssl,
  missingPion,
  pskOf,
  run,
} from '../drivers/coap-clients.ts';
import { until } from '../drivers/until.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mooring-coap-'));
const hub = new FakeHub();
let adapter: RunningAdapter;
let authority: TestCertificate;
const port = { udp: 0, dtls: 0, tcp: 0, tls: 0 };
const file = (name: string, content: string | Buffer): string => {
  writeFileSync(path.join(folder, name), content, { mode: 0o600 });
  return path.join(folder, name);
};
const large = file('large', 'x'.repeat(20_000));

before(async () => {
  authority = await makeAuthorityCertificate('Test Root');
  const own = await makeCertificate('localhost', { issuer: authority });
  file('ca.pem', authority.pem);
  const files = { certificateFile: file('c.pem', own.pem), keyFile: file('k.pem', own.keyPem) };
  const any = { port: 0 };
  const settings = { udp: any, dtls: { ...any, experimental: true }, tcp: any, tls: { ...any, ...files } };
  adapter = await runAdapter(coap, settings, hub);
  [port.udp, port.dtls, port.tcp, port.tls] = adapter.ports;
});
after(async () => {
  await adapter?.stop();
  rmSync(folder, { recursive: true, force: true });
});

let devices = 0;
function device(): { id: string; key: string; query: string } {
  const id = `foreign-${++devices}`;
  const key = hub.addDevice(id, keyForShell());
  return { id, key, query: `?device=${id}&key=${encodeURIComponent(key)}` };
}

/** Sends the device a command as soon as it can take one. @returns how it was settled */
async function commandTo(id: string): Promise<string> {
  await until(`${id} is connected`, () => hub.isConnected(id), { withinMs: 60_000 });
  return hub.sendCommand(id, 'blink', { colour: 'red' });
}

const tookAll = (id: string): void => assert.deepEqual(hub.textsOf(id), ['small', 'x'.repeat(20_000)]);

/** What `device.py` and `Device.java` print. */
function saidAll(output: string, code: (name: string) => string): void {
  const lines = output.split('\n').filter(Boolean);
  assert.deepEqual(lines.slice(0, 2), [`small ${code('Changed')} `, `large ${code('Changed')} `], output);
  assert.match(lines[2], /^twin 2\.05.* \{"desired":\{"\$version":\d+\},"reported":\{\}\}$/);
  assert.match(lines[3], /^observes 2\.05/);
  assert.match(lines[4], /^command 2\.05.* blink$/);
}

for (const tls of ['openssl', 'gnutls'] as const)
  test(`coap-client (${tls}) by DTLS with a pre-shared key`, { skip: missingLibcoap() }, async () => {
    const { id, key } = device();
    const at = `coaps://127.0.0.1:${port.dtls}`;
    const psk = pskOf(key);
    assert.equal(await coapClientWithKey(tls, id, psk, ['-m', 'post', '-e', 'small', `${at}/telemetry`]), '');
    assert.equal(await coapClientWithKey(tls, id, psk, ['-m', 'post', '-f', large, `${at}/telemetry`]), '');
    assert.match(await coapClientWithKey(tls, id, psk, [`${at}/twin`]), /"reported":\{\}/);
    const settled = commandTo(id);
    assert.match(await coapClientWithKey(tls, id, psk, ['-s', '1', `${at}/commands`]), /^blink/);
    assert.equal(await settled, 'complete');
    tookAll(id);
    const wrong = Buffer.alloc(32, 'w');
    const who = tls === 'openssl' ? id : 'nobody';
    assert.match(await coapClientWithKey(tls, who, wrong, [`${at}/twin`]), /decrypt error/i);
  });

for (const suite of ['PSK-AES128-CCM8', 'PSK-AES128-CCM', 'PSK-AES128-GCM-SHA256'])
  test(`openssl s_client by DTLS, ${suite}`, { skip: missingOpenssl() }, async () => {
    const { id, key } = device();
    const connect = ['s_client', '-dtls1_2', '-connect', `127.0.0.1:${port.dtls}`, '-cipher', suite];
    const output = await run('openssl', [...connect, '-psk_identity', id, '-psk', pskOf(key).toString('hex')]);
    assert.match(output, new RegExp(`Cipher\\s*: ${suite}`));
  });

test('coap-client by UDP without protection', { skip: missingLibcoap() }, async () => {
  const { id, query } = device();
  const at = `coap://127.0.0.1:${port.udp}`;
  assert.equal(await coapClient('notls', ['-m', 'post', '-e', 'small', `${at}/telemetry${query}`]), '');
  assert.equal(await coapClient('notls', ['-m', 'post', '-f', large, `${at}/telemetry${query}`]), '');
  const settled = commandTo(id);
  assert.match(await coapClient('notls', ['-s', '1', `${at}/commands${query}`]), /^blink/);
  assert.equal(await settled, 'complete');
  tookAll(id);
  assert.match(await coapClient('notls', [`${at}/.well-known/core`]), /^<\/telemetry>.*ct="50 52"\s*$/s);
});

test('coap-client fetches a file by Block2 and uploads one by Block1', { skip: missingLibcoap() }, async () => {
  const { id, query } = device();
  const bytes = Buffer.from(Array.from({ length: 150_001 }, (_, at) => (at * 31 + (at >> 8)) & 0xff));
  hub.putFile(id, 'fw/7.bin', bytes);
  const at = `coap://127.0.0.1:${port.udp}/files`;
  const fetched = path.join(folder, 'fetched');
  assert.equal(await coapClient('notls', ['-o', fetched, `${at}/fw/7.bin${query}`]), '');
  assert.ok(bytes.equals(readFileSync(fetched)), 'it is the file');
  rmSync(fetched);
  // Small blocks, two datagrams of which are lost on the way.
  const small = file('small-file', bytes.subarray(0, 2000));
  assert.equal(await coapClient('notls', ['-l', '2,9', '-b', '64', '-m', 'put', '-f', small, `${at}/log${query}`]), '');
  assert.ok(bytes.subarray(0, 2000).equals(hub.fileOf(id, 'log') ?? Buffer.alloc(0)), 'it is in the hub');
  assert.equal(await coapClient('notls', ['-m', 'put', '-f', file('large-file', bytes), `${at}/day/1${query}`]), '');
  assert.ok(bytes.equals(hub.fileOf(id, 'day/1') ?? Buffer.alloc(0)), 'all of it');
  assert.match(await coapClient('notls', [`${at}/nothing${query}`]), /4\.04/);
});

test('coap-client shows by Echo that its address is its own', { skip: missingLibcoap() }, async () => {
  const careful = await runAdapter(coap, { udp: { port: 0, echo: true } }, hub);
  try {
    const { id, query } = device();
    const at = `coap://127.0.0.1:${careful.ports[0]}`;
    assert.equal(await coapClient('notls', ['-m', 'post', '-e', 'small', `${at}/telemetry${query}`]), '');
    assert.equal(await coapClient('notls', ['-m', 'post', '-f', large, `${at}/telemetry${query}`]), '');
    tookAll(id);
    assert.match(await coapClient('notls', [`${at}/twin${query}`]), /"reported":\{\}/);
  } finally {
    await careful.stop();
  }
});

test('coap-client that loses datagrams', { skip: missingLibcoap() }, async () => {
  const { id, query } = device();
  const at = `coap://127.0.0.1:${port.udp}/telemetry${query}`;
  const sent = Array.from({ length: 6 }, (_, at_) => String(at_));
  // The first datagram of each other one is lost for certain, of the rest one in three.
  const lost = (text: string): string => (Number(text) % 2 === 0 ? '1' : '30%');
  await Promise.all(sent.map((text) => coapClient('notls', ['-l', lost(text), '-m', 'post', '-e', text, at])));
  assert.deepEqual([...hub.textsOf(id)].sort(), sent, 'each is there once');
});

for (const tls of ['openssl', 'gnutls'] as const)
  test(`coap-client (${tls}) by TLS with a certificate, and with a pre-shared key`, {
    skip: missingLibcoap(),
  }, async () => {
    const { id, key } = device();
    const at = `coaps+tcp://127.0.0.1:${port.tls}`;
    const own = await makeCertificate(id, { issuer: authority });
    const proof = [
      '-c',
      file(`${id}.pem`, own.pem),
      '-j',
      file(`${id}.key`, own.keyPem),
      '-C',
      path.join(folder, 'ca.pem'),
    ];
    assert.equal(await coapClient(tls, [...proof, '-n', '-m', 'post', '-e', 'small', `${at}/telemetry`]), '');
    const psk = pskOf(key);
    assert.equal(await coapClientWithKey(tls, id, psk, ['-m', 'post', '-f', large, `${at}/telemetry`]), '');
    tookAll(id);
  });

test('coap-client by TCP', { skip: missingLibcoap() }, async () => {
  const { id, query } = device();
  const at = `coap+tcp://127.0.0.1:${port.tcp}`;
  assert.equal(await coapClient('notls', ['-m', 'post', '-e', 'small', `${at}/telemetry${query}`]), '');
  assert.equal(await coapClient('notls', ['-m', 'post', '-f', large, `${at}/telemetry${query}`]), '');
  tookAll(id);
});

test('aiocoap by UDP, by TCP, and protected by OSCORE', { skip: missingAiocoap() }, async () => {
  for (const by of ['udp', 'tcp', 'oscore']) {
    const { id, key, query } = device();
    const settled = commandTo(id);
    const args = by === 'tcp' ? [`coap+tcp://127.0.0.1:${port.tcp}`, query] : [`coap://127.0.0.1:${port.udp}`, query];
    if (by === 'oscore') {
      const context = path.join(folder, id);
      mkdirSync(context);
      const settings = {
        algorithm: 'AES-CCM-16-64-128',
        'kdf-hashfun': 'sha256',
        'sender-id_hex': '',
        'recipient-id_hex': '01',
        secret_hex: pskOf(key).toString('hex'),
        'id-context_hex': Buffer.from(id).toString('hex'),
      };
      writeFileSync(path.join(context, 'settings.json'), JSON.stringify(settings));
      args[1] = '';
      args.push(context);
    }
    saidAll(await aiocoap(args), (name) => `2.04 ${name}`);
    assert.equal(await settled, 'complete', by);
    tookAll(id);
  }
});

test('Californium by UDP, and by DTLS with a pre-shared key', { skip: missingCalifornium() }, async () => {
  for (const by of ['udp', 'dtls']) {
    const { id, key, query } = device();
    const settled = commandTo(id);
    const args = by === 'udp' ? [`coap://127.0.0.1:${port.udp}`, query] : [`coaps://127.0.0.1:${port.dtls}`, '', id];
    saidAll(await californium(args, pskOf(key).toString('hex')), () => '2.04');
    assert.equal(await settled, 'complete', by);
    tookAll(id);
  }
});

for (const suite of ['PSK-WITH-AES-128-CCM-8', 'PSK-WITH-AES-128-CCM', 'PSK-WITH-AES-128-GCM-SHA256'])
  test(`Mbed TLS by DTLS, ${suite}`, { skip: missingAiocoap() }, async () => {
    const { id, key } = device();
    const psk = pskOf(key).toString('hex');
    assert.equal(await mbedtls(['127.0.0.1', String(port.dtls), id, `TLS-${suite}`], psk), `TLS-${suite}\n2.04\n`);
    assert.deepEqual(hub.textsOf(id), ['small']);
    const wrong = await mbedtls(['127.0.0.1', String(port.dtls), id, `TLS-${suite}`], '77'.repeat(32));
    assert.doesNotMatch(wrong, /2\.04/);
  });

test('go-coap by UDP, and by DTLS of pion with each of the three suites', { skip: missingPion() }, async () => {
  for (const by of ['udp', 'ccm8', 'ccm', 'gcm']) {
    const { id, key } = device();
    const settled = commandTo(id);
    const args =
      by === 'udp'
        ? ['udp', `127.0.0.1:${port.udp}`, `device=${id}&key=${key}`]
        : ['dtls', `127.0.0.1:${port.dtls}`, '', id, by];
    saidAll(await goCoap(args, pskOf(key).toString('hex')), () => '2.04');
    assert.equal(await settled, 'complete', by);
    tookAll(id);
  }
});

const missingForPage = missingLibcoap() || missingAiocoap() || missingOpenssl();
test('what docs/coap.md shows by hand works word for word', { skip: missingForPage }, async () => {
  const page = readFileSync(path.join(import.meta.dirname, '..', '..', 'docs', 'coap.md'), 'utf8');
  const shown = [...page.matchAll(/^(?: {4}| {6})(\S.*)$/gm)].map(([, line]) => line);
  const find = (part: string): string =>
    shown.find((line) => line.includes(part)) ?? assert.fail(`the page shows no ${part}`);
  const id = 'meter-1';
  const key = hub.addDevice(id);
  const own = await makeCertificate(id, { issuer: authority });
  file('meter-1.pem', own.pem);
  file('meter-1.key', own.keyPem);
  const env = {
    ...process.env,
    KEY: key,
    ENCODED: encodeURIComponent(key),
    PATH: `${aiocoapPrograms}:${process.env.PATH}`,
  };
  const placed = (line: string): string =>
    line.replaceAll(':5683', `:${port.udp}`).replaceAll(':5684', `:${port.tls}`).replace('-s 60', '-s 1');
  const shell = (line: string): Promise<string> => run('sh', ['-c', placed(line)], '', { cwd: folder, env });

  const psk = /= ?([0-9a-f]{64})$/m.exec((await shell(find('mooring psk'))).trim())?.[1];
  assert.equal(psk, pskOf(key).toString('hex'));
  assert.equal(await shell(find('/telemetry/hall')), '');
  const settled = commandTo(id);
  assert.match(await shell(find('/commands')), /^blink/);
  assert.equal(await settled, 'complete');
  assert.equal(await shell(find('coaps+tcp://')), '');
  mkdirSync(path.join(folder, id));
  const settings = find('AES-CCM').replace('$PSK', psk).replace('$ID', Buffer.from(id).toString('hex'));
  file('meter-1/settings.json', settings);
  file('credentials.json', placed(find('basedir')));
  await shell(find('aiocoap-client'));
  assert.deepEqual(hub.textsOf(id), ['{"t":21.5}', '21.5', '21.5']);
});
