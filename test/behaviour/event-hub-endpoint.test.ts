/** Event hubs that routes lead to: read by their names like any other, over one listener thread and over two. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiOf } from '../drivers/api.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';
import { senderOf } from '../drivers/sender.ts';
import { until } from '../drivers/until.ts';
import { type ReadEvent, readToEnd } from '../reliability/event-reader.ts';

/** What readers of an event hub of this name get of it now. */
async function eventsOf(hub: TestHub, eventHub: string, group?: string): Promise<readonly ReadEvent[]> {
  const found: ReadEvent[] = [];
  const whole = hub.endpoints.connectionStrings.eventHubsEmulator;
  const connectionString = whole.replace(/EntityPath=[^;]*/, `EntityPath=${eventHub}`);
  const place = { port: hub.endpoints.ports.amqp ?? 0, connectionString, ...(group !== undefined && { group }) };
  await readToEnd(place, new Map(), (event) => found.push(event));
  return found;
}

const numberIn = ({ body }: ReadEvent): number => (JSON.parse(body.toString()) as { n: number }).n;

const numbersOf = (events: readonly ReadEvent[], deviceId: string): readonly number[] =>
  events.filter((event) => event.deviceId === deviceId).map(numberIn);

const alarms = {
  endpoints: [{ name: 'loud', kind: 'eventHub', eventHub: 'site.Alarms', partitions: 2 }],
  routes: [{ name: 'high', endpoint: 'loud', condition: "level = 'high'" }],
  enrichments: [
    { key: 'site', value: '$twin.tags.site', endpoints: ['loud'] },
    { key: 'level', value: 'replaced', endpoints: ['loud'] },
  ],
};

for (const threads of ['1', '2']) {
  test(`events that a route takes are in their own event hub, and stay there (${threads} listener thread(s))`, async () => {
    let hub = await startHub({ args: ['--threads', threads] });
    try {
      let api = apiOf(hub);
      await assert.rejects(eventsOf(hub, 'site.alarms'), /answered 404/);
      await api.routes.replace(alarms);
      for (const deviceId of ['d1', 'd2', 'd3']) {
        await api.devices.create(deviceId);
        await api.twins.update({ deviceId }, { tags: { site: `of ${deviceId}` } });
        const { client, send } = await senderOf(hub, deviceId);
        for (let n = 0; n < 20; n++) await send(`{"n":${n}}`, `level=${n % 2 === 0 ? 'high' : 'low'}&a=b`);
        await client.disconnect();
      }
      let events: readonly ReadEvent[] = [];
      const there = async (): Promise<boolean> => {
        events = await eventsOf(hub, 'site.alarms');
        return events.length >= 30;
      };
      await until('they are there', there, { everyMs: 100 });
      const even = Array.from({ length: 10 }, (_, at) => 2 * at);
      for (const deviceId of ['d1', 'd2', 'd3']) {
        assert.deepEqual(numbersOf(events, deviceId), even);
        const own = events.filter((event) => event.deviceId === deviceId);
        assert.deepEqual(own[0].properties, { level: 'replaced', a: 'b', site: `of ${deviceId}` });
        assert.equal(own[0].fields.content_type, 'application/json');
        assert.equal(new Set(own.map(({ partition }) => partition)).size, 1);
        assert.ok(own[0].annotations['iothub-enqueuedtime'] !== undefined);
      }
      assert.ok(events.every(({ partition }) => Number(partition) < 2));
      const builtIn = await eventsOf(hub, hub.endpoints.hubName);
      assert.ok(builtIn.length === 30 && builtIn.every((event) => numberIn(event) % 2 === 1));

      await api.consumerGroups.create('site.alarms', 'night');
      assert.equal((await eventsOf(hub, 'SITE.ALARMS', 'night')).length, 30);
      const ofTheHub = await api.consumerGroups.list(hub.endpoints.hubName);
      assert.ok(!ofTheHub.some(({ name }) => name === 'night'), 'each event hub has its own');
      const { eventHubs } = await api.hub();
      assert.ok(eventHubs.some(({ name, partitions }) => name === 'site.Alarms' && partitions.length === 2));

      api.close();
      await hub.stop();
      if (process.env.MOORING_TEST_KAFKA === undefined) {
        const { stdout, code } = await runMooring(['data', 'check', '--data-dir', hub.dataDir]);
        assert.equal(code, 0, stdout);
        assert.match(stdout, /site\.alarms/);
      }
      hub = await hub.restart();
      api = apiOf(hub);
      assert.equal((await eventsOf(hub, 'site.alarms', 'night')).length, 30);
      const { client, send } = await senderOf(hub, 'd1');
      await send('{"n":20}', 'level=high');
      await until('it goes on', async () => (await eventsOf(hub, 'site.alarms')).length === 31, { everyMs: 100 });
      await client.disconnect();
      await api.routes.replace({});
      await assert.rejects(eventsOf(hub, 'site.alarms'), /answered 404/);
      api.close();
    } finally {
      await hub[Symbol.asyncDispose]();
    }
  });
}

test('a name of the hub is refused to an endpoint by its state, and two endpoints cannot share one', async () => {
  await using hub = await startHub();
  const api = apiOf(hub);
  const one = { name: 'a', kind: 'eventHub', eventHub: hub.endpoints.hubName };
  await api.routes.replace({ endpoints: [one], routes: [{ name: 'all', endpoint: 'a' }] });
  const { client, send } = await senderOf(hub, 'd1');
  await send('{"n":1}');
  await until('it is degraded', async () => (await api.routes.endpoints())[0].health === 'degraded');
  assert.match((await api.routes.endpoints())[0].reason, /is an event hub of the hub's own/);
  const two = [
    { name: 'a', kind: 'eventHub', eventHub: 'same' },
    { name: 'b', kind: 'eventHub', eventHub: 'SAME' },
  ];
  await assert.rejects(api.routes.replace({ endpoints: two }), /another one of the name 'SAME'/);
  await client.disconnect();
  api.close();
});

test('a hub that is killed again and again has each acknowledged event in the event hub of the endpoint, in order', {
  timeout: 120_000,
}, async (context) => {
  let hub = await startHub();
  context.after(() => hub[Symbol.asyncDispose]());
  const first = apiOf(hub);
  await first.routes.replace({
    endpoints: [{ name: 'copy', kind: 'eventHub' }],
    routes: [{ name: 'all', endpoint: 'copy' }],
  });
  first.close();
  const acknowledged: number[] = [];
  for (let [round, n] = [0, 0]; round < 3; round++) {
    const { client, send } = await senderOf(hub, 'd1');
    const ended = hub.ended.then(() => client.destroy());
    if (round < 2) setTimeout(() => void hub.kill(), 400);
    for (let at = 0; at < 2000; at++) {
      n++;
      try {
        await send(`{"n":${n}}`);
        acknowledged.push(n);
      } catch {
        break;
      }
    }
    if (round === 2) {
      await client.disconnect();
      break;
    }
    await hub.kill();
    await ended;
    hub = await hub.restart();
  }
  let numbers: readonly number[] = [];
  const isThere = async (): Promise<boolean> => {
    numbers = numbersOf(await eventsOf(hub, 'copy'), 'd1');
    return numbers.includes(acknowledged.at(-1) as number);
  };
  await until('the last one is there', isThere, { everyMs: 200 });
  const firsts = [...new Set(numbers)];
  assert.deepEqual(
    firsts,
    [...firsts].sort((a, b) => a - b),
    'first appearances are in order',
  );
  const there = new Set(firsts);
  assert.deepEqual(
    acknowledged.filter((each) => !there.has(each)),
    [],
  );
  assert.ok(acknowledged.length > 100);
});
