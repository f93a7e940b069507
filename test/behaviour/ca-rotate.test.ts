/** The CA behind the hub's certificate is replaced in stages: nobody is cut off, and a crash between two files is put right. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type tls from 'node:tls';
import type { ServerAuthorityJson } from '../../src/api/authorities.ts';
import { signSas } from '../../src/api/sas.ts';
import { VirtualClock } from '../../src/base/clock.ts';
import { silentLog } from '../../src/base/log.ts';
import { systemRandom } from '../../src/base/random.ts';
import { openPrivateTls, type ServerTls } from '../../src/server/tls/tls-source.ts';
import { apiOf } from '../drivers/api.ts';
import { runMooring, startHub } from '../drivers/hub.ts';
import { type connectPacket, MqttDriver, publishPacket } from '../drivers/mqtt.ts';

const certificatesIn = (pem: string): number => pem.match(/BEGIN CERTIFICATE/g)?.length ?? 0;

test('offered, reported, switched: a connection lives through it, new ones need the new CA', async () => {
  await using hub = await startHub();
  const { endpoints, dataDir } = hub;
  const api = apiOf(hub);
  const fieldsOf = async (deviceId: string): Promise<Parameters<typeof connectPacket>[0]> => {
    const key = (await api.devices.create(deviceId)).authentication.symmetricKey?.primaryKey ?? '';
    const expiresAt = Date.now() + 600_000;
    const password = await signSas({ resource: `localhost/devices/${deviceId}`, key, expiresAt });
    const username = `localhost/${deviceId}/?api-version=2021-04-12`;
    return { clientId: deviceId, username, password: Buffer.from(password) };
  };
  const [seen, unseen] = [await fieldsOf('seen'), await fieldsOf('unseen')];
  const place = { port: endpoints.ports.mqtts ?? 0 };
  const { client } = await MqttDriver.connect({ ...place, ca: hub.ca }, seen);

  const run = async (...args: readonly string[]) => {
    const ended = await runMooring(['ca', 'rotate', ...args, '--data-dir', dataDir, '--json']);
    const json = ended.code === 0 ? (JSON.parse(ended.stdout) as ServerAuthorityJson) : undefined;
    return { ...ended, json };
  };
  const early = await run('--switch');
  assert.equal(early.code, 1);
  assert.match(early.stderr, /offer/);
  const offered = await run();
  assert.equal(offered.code, 0, offered.stderr);
  const both = readFileSync(endpoints.caFile, 'utf8');
  assert.equal(certificatesIn(both), 2);
  assert.deepEqual(offered.json?.unseen, { devices: 2, unseen: 2, deviceIds: ['seen', 'unseen'] });

  const publish = async (messageId: number): Promise<void> => {
    client.send(publishPacket({ topic: 'devices/seen/messages/events/', qos: 1, messageId }));
    await client.next('puback');
  };
  await publish(1);
  const again = await run();
  assert.equal(again.json?.offered?.sha256, offered.json?.offered?.sha256);
  assert.deepEqual(again.json?.unseen, { devices: 2, unseen: 1, deviceIds: ['unseen'] });
  const refused = await run('--switch');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /1 of 2 devices/);

  const switched = await run('--switch', '--force');
  assert.equal(switched.code, 0, switched.stderr);
  assert.deepEqual(
    [switched.json?.current.sha256, switched.json?.offered, switched.json?.unseen],
    [offered.json?.offered?.sha256, null, null],
  );
  await publish(2);
  const late = await MqttDriver.connect({ ...place, ca: both }, unseen);
  assert.equal(late.returnCode, 0);
  const shown = (late.client.socket as tls.TLSSocket).getPeerX509Certificate();
  const current = new X509Certificate(readFileSync(endpoints.caFile, 'utf8'));
  assert.ok(shown?.checkIssued(current) && shown.verify(current.publicKey));
  await assert.rejects(MqttDriver.open({ ...place, ca: hub.ca }), /self-signed|verify|issuer/i);
  await publish(3);
  client.destroy();
  late.client.destroy();
  api.close();
});

/** A folder `tls` and the certificate source over it. */
async function scene(clock = new VirtualClock(Date.UTC(2026, 5, 1))) {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-rotate-'));
  const file = (name: string): string => path.join(folder, name);
  const opened: ServerTls[] = [];
  const open = async (): Promise<ServerTls> => {
    const names = [{ type: 'dns', value: 'localhost' } as const];
    const tls = await openPrivateTls(folder, 'myhub', names, { clock, random: systemRandom, log: silentLog });
    opened.push(tls);
    return tls;
  };
  return {
    folder,
    file,
    open,
    [Symbol.dispose]() {
      for (const tls of opened) tls.close();
      rmSync(folder, { recursive: true });
    },
  };
}

const signedBy = (tls: ServerTls, caFile: string): boolean => {
  const certificates = tls.current().cert.map((cert) => new X509Certificate(cert));
  const authority = new X509Certificate(readFileSync(caFile, 'utf8'));
  const kinds = certificates.map(({ publicKey }) => publicKey.asymmetricKeyType);
  assert.deepEqual(kinds, ['ec', 'rsa']);
  return certificates.every((each) => each.checkIssued(authority) && each.verify(authority.publicKey));
};

test('an offer outlives a restart, changes nothing that is shown, and can be taken back', async () => {
  using all = await scene();
  const first = await all.open();
  const before = first.current().cert;
  const { offered } = (await first.authority?.offer()) ?? {};
  assert.deepEqual(first.current().cert, before);
  const second = await all.open();
  assert.deepEqual(second.current().cert, before);
  assert.deepEqual(second.authority?.status().offered, offered);
  assert.equal((await second.authority?.withdraw())?.offered, undefined);
  assert.equal(certificatesIn(readFileSync(all.file('ca.pem'), 'utf8')), 1);
  for (const name of ['ca-next.pem', 'ca-next-key.pem', 'ca-next.json'])
    assert.equal(existsSync(all.file(name)), false);
});

test('a switch tells the doors once, and the next start finds it done', async () => {
  using all = await scene();
  const tls = await all.open();
  await tls.authority?.offer();
  let told = 0;
  tls.watch(() => told++);
  await tls.authority?.switchOver();
  assert.equal(told, 1);
  assert.ok(signedBy(tls, all.file('ca.pem')));
  assert.deepEqual((await all.open()).current().cert, tls.current().cert);
});

test('wherever a crash cuts a switch or an offer short, the next start goes on from there', async () => {
  const names = [
    'ca.pem',
    'ca-key.pem',
    'ca-next.pem',
    'ca-next-key.pem',
    'ca-next.json',
    'server.pem',
    'server-key.pem',
  ];
  using all = await scene();
  const tls = await all.open();
  await tls.authority?.offer();
  const offered = new Map(names.map((name) => [name, readFileSync(all.file(name))]));
  const next = readFileSync(all.file('ca-next.pem'), 'utf8');
  const nextKey = readFileSync(all.file('ca-next-key.pem'));
  const reset = (): void => {
    for (const [name, bytes] of offered) writeFileSync(all.file(name), bytes);
  };
  // Each cut is the one before and one more write or removal of a switch, in the order in which it does them.
  const steps: (() => void)[] = [
    () => writeFileSync(all.file('ca.pem'), next),
    () => writeFileSync(all.file('ca-key.pem'), nextKey),
    () => rmSync(all.file('ca-next.pem')),
    () => rmSync(all.file('ca-next-key.pem')),
    () => rmSync(all.file('ca-next.json')),
  ];
  for (let cut = 1; cut <= steps.length; cut++) {
    reset();
    for (const step of steps.slice(0, cut)) step();
    const opened = await all.open();
    assert.ok(signedBy(opened, all.file('ca.pem')), `cut after ${cut}`);
    assert.equal(readFileSync(all.file('ca.pem'), 'utf8'), next);
    assert.equal(opened.authority?.status().offered, undefined);
    assert.equal(existsSync(all.file('ca-next-key.pem')), false);
  }
  // An offer: all of `next` is there, ca.pem is not yet.
  reset();
  const old = `${readFileSync(all.file('ca.pem'), 'utf8').split('-----END CERTIFICATE-----')[0]}-----END CERTIFICATE-----\n`;
  writeFileSync(all.file('ca.pem'), old);
  assert.notEqual((await all.open()).authority?.status().offered, undefined);
  assert.equal(certificatesIn(readFileSync(all.file('ca.pem'), 'utf8')), 2);
  // And only its key: nobody has seen it.
  reset();
  writeFileSync(all.file('ca.pem'), old);
  rmSync(all.file('ca-next.pem'));
  assert.equal((await all.open()).authority?.status().offered, undefined);
  assert.equal(existsSync(all.file('ca-next-key.pem')), false);
});
