/**
 * Makes `test/fixtures/data-<name>`: a small data folder written by the hub of an earlier revision, and `expected.json`,
 * what it was told to keep. Run it once for the last revision of each format of the tables or of the event log; a folder
 * that is there is never made again.
 *
 *     node scripts/data-folder-fixture.ts REVISION NAME [--patch FILE] [--gap]
 *     node scripts/data-folder-fixture.ts 696bbea tables-2 --patch scripts/fixture-patches/tables-2.patch
 *
 * The revision is checked out into a folder of its own and run with this checkout's packages; a patch is for one that does not
 * start as it stands, and must not touch what it writes. `--gap` damages a batch when the hub has stopped, and mends the folder
 * with `mooring data repair` of that revision, so that the journal holds a gap. Keys are sealed with the key of 32 bytes of value
 * 7, the policies' keys are given, so that nothing secret stands in the fixture.
 */

import { type ChildProcess, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startProgram, stopProgram } from '../bench/servers/server.ts';
import { createApiClient } from '../src/api/client.ts';
import type { Endpoints } from '../src/api/endpoints.ts';
import { signSas } from '../src/api/sas.ts';
import { readToEnd } from '../test/reliability/event-reader.ts';
import { KillPublisher } from '../test/reliability/kill-publisher.ts';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { patch: { type: 'string' }, gap: { type: 'boolean', default: false } },
});
const [revision, name] = positionals;
if (revision === undefined || !/^[a-z0-9-]+$/.test(name ?? '')) {
  process.stderr.write('node scripts/data-folder-fixture.ts REVISION NAME [--patch FILE] [--gap]\n');
  process.exit(2);
}
const root = path.dirname(import.meta.dirname);
const target = path.join(root, 'test', 'fixtures', `data-${name}`);
if (existsSync(target)) throw new Error(`${target} is there already; a fixture is never made again`);

const DEVICES = 4;
const MESSAGES = 25;
const SEED = 1;
const key = (n: number): string => Buffer.alloc(32, n).toString('base64');
const scratch = mkdtempSync(path.join(os.tmpdir(), 'mooring-fixture-'));
const checkout = path.join(scratch, 'checkout');
const dataDir = path.join(scratch, 'data');

git('clone', '--quiet', '--no-checkout', root, checkout);
git('-C', checkout, 'checkout', '--quiet', revision);
if (values.patch !== undefined) git('-C', checkout, 'apply', path.resolve(values.patch));
symlinkSync(path.join(root, 'node_modules'), path.join(checkout, 'node_modules'));
const ports = ['mqtts', 'https', 'amqps', 'amqp', 'admin', 'mqtt'].flatMap((port) => [`--${port}-port`, '0']);
Object.assign(process.env, { MOORING_KEY_ENCRYPTION_KEY: key(7) });
for (const [at, policy] of ['OWNER', 'SERVICE', 'DEVICE', 'REGISTRY_READ', 'REGISTRY_READ_WRITE'].entries()) {
  process.env[`MOORING_${policy}_KEY`] = key(100 + at);
}
const main = path.join(checkout, 'src', 'main.ts');
const flags = ['--partitions', '2', '--segment-bytes', '65536', '--hub-name', 'mooring', '--retention-days', '7'];
const { child, endpoints } = await serve();
const ca = readFileSync(endpoints.caFile, 'utf8');
const api = createApiClient({
  connectionString: endpoints.connectionStrings.iothubowner,
  port: endpoints.ports.https ?? 0,
  ca,
});
const devices: Record<string, { readonly key: string; readonly statusReason: string; readonly messages: number }> = {};
let commands = 0;
for (let n = 0; n < DEVICES; n++) {
  const deviceId = `device-${n}`;
  const statusReason = `device ${n} of the fixture`;
  const authentication = { symmetricKey: { primaryKey: key(n), secondaryKey: key(n + 50) } };
  await api.devices.create(deviceId, { authentication, statusReason });
  const password = await signSas({
    resource: `${endpoints.hostName}/devices/${deviceId}`,
    key: key(n),
    expiresAt: Date.now() + 600_000,
  });
  const username = `${endpoints.hostName}/${deviceId}/?api-version=2021-04-12`;
  const login = { clientId: deviceId, username, password, topic: `devices/${deviceId}/messages/events/` };
  const publisher = new KillPublisher(login, SEED);
  await publisher.start(endpoints.ports.mqtt as number);
  while (publisher.acknowledgedNumbers().length < MESSAGES) await new Promise((resolve) => setTimeout(resolve, 2));
  await publisher.finish();
  devices[deviceId] = { key: key(n), statusReason, messages: publisher.acknowledgedNumbers().length };
  try {
    await api.commands.send({ deviceId }, { messageId: `command-${n}`, bodyText: `command ${n}`, ack: 'full' });
    commands++;
  } catch {
    // This revision cannot be sent commands yet.
  }
}
await api.modules.create('device-0', 'module-0', {
  authentication: { symmetricKey: { primaryKey: key(9), secondaryKey: key(9) } },
});
await api.consumerGroups.create(endpoints.hubName, 'Readers');
api.close();
await stopProgram(child);
const lost = values.gap ? await makeGap() : undefined;
leaveOutCertificates();

mkdirSync(target, { recursive: true });
const [wal, shm] = ['hub.db-wal', 'hub.db-shm'].map((file) => path.join(target, 'tables', file));
for (const kept of ['hub.json', 'events', 'tables']) {
  cpSync(path.join(dataDir, kept), path.join(target, kept), { recursive: true });
}
// An empty log and the index of it say nothing, and would be written by whoever looks into the fixture.
if (!existsSync(wal) || statSync(wal).size === 0) for (const file of [wal, shm]) rmSync(file, { force: true });
const tables = readdirSync(path.join(target, 'tables'));
const made = { revision: git('-C', checkout, 'rev-parse', '--short', 'HEAD'), patch: values.patch };
const expected = { ...made, seed: SEED, devices, lost, commands, tables };
writeFileSync(path.join(target, 'expected.json'), `${JSON.stringify(expected, undefined, 2)}\n`);
rmSync(scratch, { recursive: true });
process.stdout.write(`${target}\n`);

async function serve(): Promise<{ readonly child: ChildProcess; readonly endpoints: Endpoints }> {
  const args = [main, 'serve', '--data-dir', dataDir, ...ports, ...flags];
  const { child } = await startProgram(process.execPath, args, /^ready\b/m, 30_000, process.env);
  return { child, endpoints: JSON.parse(readFileSync(path.join(dataDir, 'endpoints.json'), 'utf8')) as Endpoints };
}

/** The fixture holds no private key: that its certificates are gone is accepted by the revision's own repair, where it knows of them. */
function leaveOutCertificates(): void {
  const { parts } = JSON.parse(readFileSync(path.join(dataDir, 'hub.json'), 'utf8')) as { parts?: { tls?: boolean } };
  if (parts?.tls !== true) return;
  rmSync(path.join(dataDir, 'tls'), { recursive: true });
  const flags = ['data', 'repair', '--data-dir', dataDir, '--accept-loss', 'tls'];
  const repair = spawnSync(process.execPath, [main, ...flags], { encoding: 'utf8' });
  if (repair.status !== 0) throw new Error(`mooring data repair: ${repair.stdout}${repair.stderr}`);
}

/** Damages the middle of the second segment and repairs it. Returns which numbers of which device cannot be read any more. */
async function makeGap(): Promise<Record<string, readonly number[]>> {
  const folder = path.join(dataDir, 'events', 'mooring');
  const segment = path.join(folder, readdirSync(folder).filter((file) => file.endsWith('.journal'))[1]);
  const bytes = readFileSync(segment);
  bytes[bytes.length >> 1] ^= 1;
  writeFileSync(segment, bytes);
  const repair = spawnSync(process.execPath, [main, 'data', 'repair', '--data-dir', dataDir], { encoding: 'utf8' });
  if (repair.status !== 0) throw new Error(`mooring data repair: ${repair.stdout}${repair.stderr}`);
  const again = await serve();
  const found = new Map(Object.keys(devices).map((deviceId) => [deviceId, new Set<number>()]));
  const place = {
    port: again.endpoints.ports.amqp as number,
    connectionString: again.endpoints.connectionStrings.eventHubsEmulator,
  };
  await readToEnd(place, new Map(), (event) => void found.get(event.deviceId)?.add(Number(event.properties.n)));
  await stopProgram(again.child);
  const numbers = (deviceId: string): readonly number[] => [...Array(devices[deviceId].messages).keys()];
  return Object.fromEntries([...found].map(([id, has]) => [id, numbers(id).filter((n) => !has.has(n))]));
}

function git(...args: readonly string[]): string {
  const run = spawnSync('git', args, { encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`git ${args.join(' ')}: ${run.stderr}`);
  return run.stdout.trim();
}
