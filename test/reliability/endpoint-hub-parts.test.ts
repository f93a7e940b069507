/** The journal of an endpoint's event hub, as a part of the data folder: in a backup, lost and accepted as lost, removed with its endpoint. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { apiOf } from '../drivers/api.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';
import { senderOf } from '../drivers/sender.ts';
import { until } from '../drivers/until.ts';
import { type ReadEvent, readToEnd } from './event-reader.ts';

const scratch = mkdtempSync(path.join(tmpdir(), 'mooring-endpoint-parts-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const FLAGS = ['--storage', 'embedded', '--partitions', '2'];
const routes = {
  endpoints: [{ name: 'copy', kind: 'eventHub', eventHub: 'Site.Copy', partitions: 1 }],
  routes: [
    { name: 'all', endpoint: 'copy' },
    { name: 'shown', endpoint: 'events' },
  ],
};

async function eventsOf(hub: TestHub, eventHub = hub.endpoints.hubName): Promise<readonly ReadEvent[]> {
  const found: ReadEvent[] = [];
  const whole = hub.endpoints.connectionStrings.eventHubsEmulator;
  const connectionString = whole.replace(/EntityPath=[^;]*/, `EntityPath=${eventHub}`);
  await readToEnd({ port: hub.endpoints.ports.amqp ?? 0, connectionString }, new Map(), (event) => found.push(event));
  return found;
}

const numberOf = ({ body }: ReadEvent): number => JSON.parse(body.toString()).n;
const numbers = (events: readonly ReadEvent[]): readonly number[] => events.map(numberOf).sort((a, b) => a - b);
const range = (from: number, to: number): readonly number[] => Array.from({ length: to - from }, (_, at) => from + at);

async function send(hub: TestHub, from: number, to: number): Promise<void> {
  for (const deviceId of ['d1', 'd2']) {
    const { client, send: sendOne } = await senderOf(hub, deviceId);
    for (let n = from; n < to; n++) if (n % 2 === (deviceId === 'd1' ? 1 : 0)) await sendOne(`{"n":${n}}`);
    await client.disconnect();
  }
}

/**
 * Waits until the endpoint has taken so many events in this run of the hub. Only then is it read: behind a gap of numbers that nobody was
 * given, a reader that waits for the last one waits for the next event.
 */
async function delivered(hub: TestHub, count: number): Promise<void> {
  const api = apiOf(hub);
  const isSo = async (): Promise<boolean> => ((await api.routes.endpoints())[0]?.delivered ?? 0) >= count;
  await until(`the endpoint has taken ${count}`, isSo, { everyMs: 200 });
  api.close();
}

async function started(dataDir: string): Promise<TestHub> {
  const hub = await startHub({ dataDir, args: FLAGS });
  try {
    const api = apiOf(hub);
    await api.routes.replace(routes);
    api.close();
    await send(hub, 0, 20);
    await delivered(hub, 20);
    return hub;
  } catch (error) {
    await hub.kill();
    throw error;
  }
}

const data = (command: string, ...args: readonly string[]) => runMooring(['data', command, ...args]);

test('a backup of a running hub has it; the restored hub goes on with it, under numbers that nobody was given', async () => {
  const [folder, target, restored] = ['hub', 'backup', 'restored'].map((name) => path.join(scratch, name));
  let hub = await started(folder);
  try {
    const made = await data('backup', target, '--keys', '--data-dir', folder);
    assert.equal(made.code, 0, made.stderr);
    await send(hub, 20, 40);
    await delivered(hub, 40);
    const last = Math.max(...(await eventsOf(hub, 'site.copy')).map(({ sequence }) => sequence));
    await hub.stop();
    assert.equal((await data('verify', target)).code, 0);
    const done = await data('restore', target, '--data-dir', restored);
    assert.equal(done.code, 0, done.stderr);
    const check = await data('check', '--data-dir', restored);
    assert.equal(check.code, 0, check.stdout);
    assert.match(check.stdout, /event log site\.copy: /);
    hub = await startHub({ dataDir: restored, args: FLAGS });
    await send(hub, 40, 50);
    await delivered(hub, 10);
    const events = await eventsOf(hub, 'site.copy');
    assert.deepEqual(numbers(events), [...range(0, 20), ...range(40, 50)], 'each once');
    const later = events.filter((event) => numberOf(event) >= 40);
    assert.ok(later.every(({ sequence }) => sequence > last + 2 ** 20));
  } finally {
    await hub.stop();
  }
});

test('where it is lost the start says so; with the loss accepted the hub goes on, and no number is given twice', async () => {
  const folder = path.join(scratch, 'lossy');
  let hub = await started(folder);
  const before = await eventsOf(hub, 'site.copy').finally(() => hub.kill());
  rmSync(path.join(folder, 'events', 'site.copy'), { recursive: true });
  const refused = await runMooring(['serve', '--data-dir', folder, ...FLAGS]);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /events\/site\.copy: the event log is gone.*--accept-loss events\/site\.copy/s);
  const repaired = await data('repair', '--data-dir', folder, '--accept-loss', 'events/site.copy');
  assert.equal(repaired.code, 0, repaired.stdout + repaired.stderr);
  assert.match(repaired.stdout, /the loss in events\/site\.copy was accepted/);
  hub = await startHub({ dataDir: folder, args: FLAGS });
  try {
    assert.deepEqual(numbers(await eventsOf(hub)), range(0, 20), 'the built-in event hub is whole');
    await send(hub, 20, 30);
    await delivered(hub, 10);
    await until('the last one is there', async () => numbers(await eventsOf(hub, 'site.copy')).includes(29), {
      everyMs: 200,
    });
    const after = await eventsOf(hub, 'site.copy');
    assert.deepEqual(
      numbers(after).filter((n) => n >= 20),
      range(20, 30),
    );
    const given = new Map(before.map((event) => [`${event.partition}/${event.sequence}`, numberOf(event)]));
    for (const event of after) {
      const other = given.get(`${event.partition}/${event.sequence}`);
      assert.ok(other === undefined || other === numberOf(event), 'a number stands for one event');
    }
  } finally {
    await hub.stop();
  }
});

test('an endpoint that is removed leaves its events; they can be deleted, and that accepted', async () => {
  const folder = path.join(scratch, 'removed');
  let hub = await started(folder);
  try {
    const api = apiOf(hub);
    await api.routes.replace({});
    api.close();
    await assert.rejects(eventsOf(hub, 'site.copy'), /answered 404/);
  } finally {
    await hub.stop();
  }
  rmSync(path.join(folder, 'events', 'site.copy'), { recursive: true });
  const repaired = await data('repair', '--data-dir', folder, '--accept-loss', 'events/site.copy');
  assert.equal(repaired.code, 0, repaired.stdout + repaired.stderr);
  hub = await startHub({ dataDir: folder, args: FLAGS });
  try {
    assert.deepEqual(numbers(await eventsOf(hub)), range(0, 20));
  } finally {
    await hub.stop();
  }
});
