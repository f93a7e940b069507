/**
 * Makes `test/fixtures/data-<name>`: a small data folder written by the hub of an earlier revision, and `expected.json`,
 * what it was told to keep. Run it once for the last revision of each format of the tables or of the event log; a folder
 * that is there is never made again.
 *
 *     node scripts/data-folder-fixture.ts REVISION NAME          e.g.  683aee0~1 tables-2
 *
 * The revision is checked out into a folder of its own and run with this checkout's packages. Its keys are sealed with the
 * key of 32 bytes of value 7, its policies' keys are given, so that nothing secret stands in the fixture.
 */

import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startProgram, stopProgram } from '../bench/servers/server.ts';
import { createApiClient } from '../src/api/client.ts';
import type { Endpoints } from '../src/api/endpoints.ts';
import { signSas } from '../src/api/sas.ts';
import { KillPublisher } from '../test/reliability/kill-publisher.ts';

const [revision, name] = process.argv.slice(2);
if (revision === undefined || !/^[a-z0-9-]+$/.test(name ?? '')) {
  process.stderr.write('node scripts/data-folder-fixture.ts REVISION NAME\n');
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
symlinkSync(path.join(root, 'node_modules'), path.join(checkout, 'node_modules'));
const ports = ['mqtts', 'https', 'amqps', 'amqp', 'admin', 'mqtt'].flatMap((port) => [`--${port}-port`, '0']);
Object.assign(process.env, { MOORING_KEY_ENCRYPTION_KEY: key(7) });
for (const [at, policy] of ['OWNER', 'SERVICE', 'DEVICE', 'REGISTRY_READ', 'REGISTRY_READ_WRITE'].entries()) {
  process.env[`MOORING_${policy}_KEY`] = key(100 + at);
}
const main = path.join(checkout, 'src', 'main.ts');
const flags = ['--partitions', '2', '--segment-bytes', '65536', '--hub-name', 'mooring', '--retention-days', '7'];
const { child } = await startProgram(
  process.execPath,
  [main, 'serve', '--data-dir', dataDir, ...ports, ...flags],
  /^ready\b/m,
  30_000,
);
const endpoints = JSON.parse(readFileSync(path.join(dataDir, 'endpoints.json'), 'utf8')) as Endpoints;
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

mkdirSync(target, { recursive: true });
for (const kept of ['hub.json', 'events', 'tables']) {
  cpSync(path.join(dataDir, kept), path.join(target, kept), { recursive: true });
}
const tables = readdirSync(path.join(target, 'tables'));
writeFileSync(
  path.join(target, 'expected.json'),
  `${JSON.stringify({ revision: git('-C', checkout, 'rev-parse', '--short', 'HEAD'), seed: SEED, devices, commands, tables }, undefined, 2)}\n`,
);
rmSync(scratch, { recursive: true });
process.stdout.write(`${target}\n`);

function git(...args: readonly string[]): string {
  const run = spawnSync('git', args, { encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`git ${args.join(' ')}: ${run.stderr}`);
  return run.stdout.trim();
}
