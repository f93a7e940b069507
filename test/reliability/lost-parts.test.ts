/**
 * A data folder that has lost a part must not start as a new hub: the start refuses, names the part and the option that
 * accepts the loss; then no sequence number is given a second time. Parts are really removed or emptied.
 */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { createDevices } from '../../bench/servers/hub.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';
import { readToEnd } from './event-reader.ts';
import { KillPublisher } from './kill-publisher.ts';

const FLAGS = ['--partitions', '2', '--segment-bytes', '65536'];
const noPorts = ['mqtts', 'amqps', 'https', 'admin', 'amqp'].flatMap((name) => [`--${name}-port`, '0']);
const scratch = mkdtempSync(path.join(tmpdir(), 'mooring-lost-'));
const original = path.join(scratch, 'original');
let known: Numbered;
const SEED = 13;
after(() => rmSync(scratch, { recursive: true, force: true }));

type Logins = Awaited<ReturnType<typeof createDevices>>;
let registered: Logins;

async function send(hub: TestHub, seed: number, logins: Logins): Promise<void> {
  const publishers = logins.map((login) => new KillPublisher(login, seed));
  await Promise.all(publishers.map((publisher) => publisher.start(hub.endpoints.ports.mqtt as number)));
  const enough = (publisher: KillPublisher): boolean => publisher.acknowledgedNumbers().length >= 150;
  await until('150 acknowledgements of each', () => publishers.every(enough));
  await Promise.all(publishers.map((publisher) => publisher.finish()));
}

before(async () => {
  const hub = await startHub({ dataDir: original, args: FLAGS });
  registered = await createDevices(hub.endpoints, hub.ca, 4, '');
  await send(hub, SEED, registered);
  await hub.kill();
  const again = await hub.restart();
  known = await numbered(again);
  assert.equal((await again.stop()).code, 0);
});

let copies = 0;
function copy(): string {
  const folder = path.join(scratch, `copy-${copies++}`);
  cpSync(original, folder, { recursive: true });
  return folder;
}

type Numbered = ReadonlyMap<string, string>;

/** What stands under each number. */
async function numbered(hub: TestHub): Promise<Numbered> {
  const all = new Map<string, string>();
  const place = {
    port: hub.endpoints.ports.amqp as number,
    connectionString: hub.endpoints.connectionStrings.eventHubsEmulator,
  };
  await readToEnd(place, new Map(), ({ partition, sequence, deviceId, body }) =>
    all.set(`${partition}/${sequence}`, `${deviceId} ${body.toString('base64')}`),
  );
  return all;
}

/** Sends more; then nothing stands under a number that something else has had. */
async function assertNoNumberTwice(hub: TestHub, logins: Logins): Promise<void> {
  await send(hub, SEED + 1, logins);
  const now = await numbered(hub);
  assert.ok(now.size >= 600, `what was sent behind the loss is there: ${now.size}`);
  for (const [place, event] of now) {
    const before = known.get(place);
    assert.ok(before === undefined || before === event, `${place} was given twice`);
  }
}

const newest = (folder: string): string => {
  const names = readdirSync(path.join(folder, 'events', 'mooring')).filter((name) => name.endsWith('.journal'));
  const { parts } = JSON.parse(readFileSync(path.join(folder, 'hub.json'), 'utf8'));
  const held = names.filter((name) => Number(name.slice(0, 20)) <= parts.events.mooring.newest).sort();
  return path.join('events', 'mooring', held.at(-1) as string);
};

const losses: readonly { name: string; part: string; lose: (folder: string) => void }[] = [
  { name: 'tables/hub.db removed', part: 'tables', lose: (at) => rmSync(path.join(at, 'tables', 'hub.db')) },
  { name: 'tables/hub.db emptied', part: 'tables', lose: (at) => truncateSync(path.join(at, 'tables', 'hub.db')) },
  { name: 'tables/ removed', part: 'tables', lose: (at) => rmSync(path.join(at, 'tables'), { recursive: true }) },
  { name: 'tls/ removed', part: 'tls', lose: (at) => rmSync(path.join(at, 'tls'), { recursive: true }) },
  {
    name: 'the folder of an event log removed',
    part: 'events/mooring',
    lose: (at) => rmSync(path.join(at, 'events', 'mooring'), { recursive: true }),
  },
  {
    name: 'the folder of an event log emptied',
    part: 'events/mooring',
    lose: (at) => {
      const log = path.join(at, 'events', 'mooring');
      for (const file of readdirSync(log)) rmSync(path.join(log, file));
    },
  },
  {
    name: 'the newest segment removed, with its index',
    part: 'events/mooring',
    lose: (at) => {
      const segment = newest(at);
      rmSync(path.join(at, segment));
      rmSync(path.join(at, segment.replace('.journal', '.index')), { force: true });
    },
  },
];

for (const { name, part, lose } of losses) {
  test(`${name}: the start refuses, and an accepted loss gives no number twice`, async () => {
    const folder = copy();
    lose(folder);
    const refused = await runMooring(['serve', '--data-dir', folder, ...FLAGS, ...noPorts]);
    assert.equal(refused.code, 1, refused.stderr);
    assert.match(refused.stderr, new RegExp(`--accept-loss ${part}`));
    const check = await runMooring(['data', 'check', '--data-dir', folder]);
    assert.equal(check.code, 1, check.stdout);
    assert.match(check.stdout, new RegExp(`--accept-loss ${part}`));
    const unasked = await runMooring(['data', 'repair', '--data-dir', folder]);
    assert.equal(unasked.code, 1, 'a repair accepts no loss by itself');
    const accepted = await runMooring(['data', 'repair', '--data-dir', folder, '--accept-loss', part]);
    assert.equal(accepted.code, 0, accepted.stdout + accepted.stderr);
    await using hub = await startHub({ dataDir: folder, args: FLAGS });
    const logins = part === 'tables' ? await createDevices(hub.endpoints, hub.ca, 4, '') : registered;
    await assertNoNumberTwice(hub, logins);
    const end = await hub.stop();
    assert.equal(end.code, 0);
    const sound = await runMooring(['data', 'check', '--data-dir', folder]);
    assert.equal(sound.code, 0, sound.stdout);
  });
}

test('hub.json and the tables lost together: a repair of the one does not accept the loss of the other', async () => {
  const folder = copy();
  writeFileSync(path.join(folder, 'hub.json'), '{"format":1,');
  rmSync(path.join(folder, 'tables'), { recursive: true });
  const repaired = await runMooring(['data', 'repair', '--data-dir', folder]);
  assert.match(repaired.stdout, /hub\.json was made again/);
  const refused = await runMooring(['serve', '--data-dir', folder, ...FLAGS, ...noPorts]);
  assert.equal(refused.code, 1, refused.stderr);
  assert.match(refused.stderr, /--accept-loss tables/);
  const accepted = await runMooring(['data', 'repair', '--data-dir', folder, '--accept-loss', 'tables']);
  assert.equal(accepted.code, 0, accepted.stdout + accepted.stderr);
  await using hub = await startHub({ dataDir: folder, args: FLAGS });
  await assertNoNumberTwice(hub, await createDevices(hub.endpoints, hub.ca, 4, ''));
});

test('an emptied newest segment is damage, not a segment whose making was cut short', async () => {
  const folder = copy();
  const segment = newest(folder);
  rmSync(path.join(folder, segment.replace('.journal', '.index')), { force: true });
  writeFileSync(path.join(folder, segment), '');
  const refused = await runMooring(['serve', '--data-dir', folder, ...FLAGS, ...noPorts]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /is empty, but it has held events|events\/mooring/);
});
