/** `mooring data export`: a real hub is taken from its folder into Kafka and PostgreSQL and back, and its users see no difference. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { apiOf } from '../drivers/api.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';
import { startKafka } from '../drivers/kafka.ts';
import { until } from '../drivers/until.ts';
import type { ReadEvent } from '../reliability/event-reader.ts';
import {
  deviceKey,
  drop,
  env,
  exported,
  flagsOf,
  folders,
  newPlace,
  noPorts,
  readAll,
  seen,
  sendSome,
  skip,
  small,
  unnumbered,
} from './export-rig.ts';

const routes = {
  endpoints: [{ name: 'copy', kind: 'eventHub', eventHub: 'Site.Copy', partitions: 3 }],
  routes: [
    { name: 'all', endpoint: 'copy' },
    { name: 'shown', endpoint: 'events' },
  ],
};

async function fill(hub: TestHub): Promise<void> {
  const api = apiOf(hub);
  const authentication = { symmetricKey: { primaryKey: deviceKey, secondaryKey: deviceKey } };
  for (const deviceId of ['one', 'two']) await api.devices.create(deviceId, { authentication });
  await api.modules.create('one', 'part');
  await api.twins.update({ deviceId: 'one' }, { tags: { site: 'north' }, properties: { desired: { speed: 3 } } });
  await api.consumerGroups.create(hub.endpoints.hubName, 'reports');
  for (const text of ['first', 'second']) await api.commands.send({ deviceId: 'two' }, { bodyText: text, ack: 'full' });
  api.close();
  await sendSome(hub, 12);
}

/** What the management API says of what is kept. */
async function told(hub: TestHub): Promise<unknown> {
  const api = apiOf(hub);
  try {
    return {
      devices: await api.devices.list(),
      module: await api.modules.get('one', 'part'),
      twin: await api.twins.get({ deviceId: 'one' }),
      groups: (await api.consumerGroups.list(hub.endpoints.hubName)).map(({ name }) => name),
      commands: await api.commands.find({ deviceId: 'two' }, { sequence: 2 }),
      strings: hub.endpoints.connectionStrings.iothubowner.replace(/HostName=[^;]*/, ''),
    };
  } finally {
    api.close();
  }
}

test('a hub goes into Kafka and PostgreSQL and back: events keep numbers and times, everything else is as it was', {
  skip,
}, async (t) => {
  await using kafka = await startKafka();
  using folder = folders();
  const place = newPlace(kafka);
  const flags = flagsOf(place);
  await using embedded = await startHub({ dataDir: folder.at('old'), args: ['--storage', 'embedded', ...small] });
  const copied = async (hub: TestHub, count: number): Promise<readonly ReadEvent[]> => {
    let events: readonly ReadEvent[] = [];
    const hasAll = async () => {
      events = seen(await readAll(hub, 'site.copy'));
      return events.length >= count;
    };
    await until(`the event hub of the endpoint has ${count}`, hasAll, { everyMs: 300 });
    return events;
  };
  const first = apiOf(embedded);
  await first.routes.replace(routes);
  first.close();
  await fill(embedded);
  const before = seen(await readAll(embedded));
  const facts = await told(embedded);
  const copyBefore = await copied(embedded, 482);
  const firsts = [...Map.groupBy(before, ({ partition }) => partition).values()].map(([{ sequence }]) => sequence);
  assert.ok(
    firsts.some((sequence) => sequence > 0),
    `numbers begin behind 0: ${firsts}`,
  );
  await embedded.stop();

  const there = await exported([folder.at('new'), '--storage', 'cluster', '--data-dir', folder.at('old'), ...flags]);
  assert.equal(there.code, 0, there.stderr);
  assert.match(there.stderr, /events of mooring: \d+ of \d+/, 'progress is shown');
  assert.match(there.stdout, new RegExp(`events of mooring: ${before.length}\\n`));
  assert.match(there.stdout, /events of Site\.Copy: 482\n/);
  assert.doesNotMatch(there.stdout, /put together/);
  const keyOf = (name: string): string => readFileSync(path.join(folder.at(name), 'keys', 'tables.key'), 'utf8');
  assert.notEqual(keyOf('new'), keyOf('old'), 'stored keys are sealed with a key of the new folder alone');

  // In the folder that it was taken from it has nothing there; and in the new one nothing of its own.
  for (const [name, storage] of [
    ['old', 'cluster'],
    ['new', 'embedded'],
  ]) {
    const args = ['serve', '--data-dir', folder.at(name), '--storage', storage, ...flags, ...noPorts];
    const { code, stderr } = await runMooring(args, env);
    assert.notEqual(code, 0);
    assert.match(stderr, /is started with storage .* data export/);
  }
  // Neither into what is there already.
  const again = await exported([folder.at('third'), '--storage', 'cluster', '--data-dir', folder.at('old'), ...flags]);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /The schema .* is not empty/);

  await using cluster = await startHub({
    ...{ dataDir: folder.at('new'), env },
    args: ['--storage', 'cluster', ...flags],
  });
  assert.deepEqual(await told(cluster), facts);
  assert.deepEqual(seen(await readAll(cluster)), before, 'the same events');
  assert.deepEqual(await copied(cluster, 482), copyBefore, 'and in the event hub of the endpoint');
  await sendSome(cluster, 1);
  const api = apiOf(cluster);
  const sent = await api.commands.send({ deviceId: 'two' }, { bodyText: 'third' });
  assert.equal(sent.sequence, 3, 'numbers of commands go on');
  api.close();
  const middle = seen(await readAll(cluster));
  assert.equal(middle.length, before.length + 42);
  const [kept, added] = [new Set(before.map(nameOf)), middle.map(nameOf)];
  assert.ok([...kept].every((name) => added.includes(name)));
  const copyMiddle = await copied(cluster, 482 + 42);
  const lastFacts = await told(cluster);
  await cluster.stop();

  const back = await exported([folder.at('back'), '--storage', 'embedded', '--data-dir', folder.at('new'), ...flags]);
  assert.equal(back.code, 0, back.stderr);
  const { code, stdout } = await runMooring(['data', 'check', '--data-dir', folder.at('back')]);
  assert.deepEqual([code, /index/.test(stdout) || /Nothing is wrong/.test(stdout)], [0, true], stdout);
  await using home = await startHub({ dataDir: folder.at('back'), args: ['--storage', 'embedded'] });
  assert.deepEqual(await told(home), lastFacts);
  assert.deepEqual(seen(await readAll(home)), middle, 'the same events');
  assert.deepEqual(await copied(home, 482 + 42), copyMiddle);
  await sendSome(home, 1);
  assert.equal((await readAll(home)).length, middle.length + 42);
  assert.equal((await copied(home, 482 + 84)).length, 482 + 84, 'delivery goes on, each once');
  t.diagnostic(`${middle.length} events, from sequence number ${before[0].sequence} on`);
});

const nameOf = ({ partition, sequence, body }: ReadEvent): string =>
  `${partition} ${sequence} ${body.toString('base64')}`;

test('an export that is killed leaves nothing that a hub starts on, and says what to remove', { skip }, async () => {
  await using kafka = await startKafka();
  using folder = folders();
  const place = newPlace(kafka);
  const flags = flagsOf(place);
  await using embedded = await startHub({ dataDir: folder.at('old'), args: ['--storage', 'embedded', ...small] });
  await fill(embedded);
  const before = seen(await readAll(embedded));
  const refused = await exported([folder.at('new'), '--storage', 'cluster', '--data-dir', folder.at('old'), ...flags]);
  assert.match(refused.stderr, /is held by another hub/);
  await embedded.stop();

  // Its first event hub is in Kafka by then.
  const args = ['data', 'export', folder.at('new'), '--storage', 'cluster', '--data-dir', folder.at('old'), ...flags];
  const main = path.join(import.meta.dirname, '..', '..', 'src', 'main.ts');
  const child = spawn(process.execPath, [main, ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let progress = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    progress += text;
    if (/^ {2}events of mooring-monitoring: /m.test(progress)) child.kill('SIGKILL');
  });
  await once(child, 'close');
  assert.match(progress, /^ {2}events of mooring-monitoring: /m);
  assert.ok(!existsSync(path.join(folder.at('new'), 'hub.json')));

  const started = await runMooring(
    ['serve', '--data-dir', folder.at('other'), '--storage', 'cluster', '--partitions', '2', ...flags, ...noPorts],
    env,
  );
  assert.notEqual(started.code, 0);
  assert.match(started.stderr, /message\.timestamp\.type=LogAppendTime|did not come to its end/);
  const again = await exported([folder.at('newer'), '--storage', 'cluster', '--data-dir', folder.at('old'), ...flags]);
  assert.match(again.stderr, /did not come to its end.*drop schema/s);

  await drop(place);
  const other = flagsOf({ ...place, prefix: `${place.prefix}2-` });
  const topics = await exported([
    folder.at('newest'),
    '--storage',
    'cluster',
    '--data-dir',
    folder.at('old'),
    ...flags,
  ]);
  assert.match(topics.stderr, /topic .* is not empty/);
  await drop(place);
  const done = await exported([
    ...[folder.at('last'), '--storage', 'cluster', '--data-dir', folder.at('old'), '--renumber', ...other],
  ]);
  assert.equal(done.code, 0, done.stderr);
  assert.match(done.stdout, /with new sequence numbers/);
  await using cluster = await startHub({ dataDir: folder.at('last'), env, args: ['--storage', 'cluster', ...other] });
  await until('all events are there', async () => (await readAll(cluster)).length === before.length);
  const after = seen(await readAll(cluster));
  assert.deepEqual(after.map(unnumbered), before.map(unnumbered));
  for (const events of Map.groupBy(after, ({ partition }) => partition).values()) {
    assert.deepEqual(
      events.map(({ sequence }) => sequence),
      events.map((_, nth) => nth),
    );
  }
});
