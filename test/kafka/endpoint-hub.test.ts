/** A hub that delivers to a topic of Kafka: killed while it does, and with a broker that is down for a while. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { apiOf } from '../drivers/api.ts';
import { startHub } from '../drivers/hub.ts';
import { kafkaMissing, startKafka, type TestKafka } from '../drivers/kafka.ts';
import { senderOf } from '../drivers/sender.ts';
import { until } from '../drivers/until.ts';

const missing = kafkaMissing();
let kafka: TestKafka;

before(async () => {
  if (missing === undefined) kafka = await startKafka();
});

after(async () => {
  if (missing === undefined) await kafka[Symbol.asyncDispose]();
});

async function makeTopic(topic: string): Promise<object> {
  const server = ['--bootstrap-server', kafka.brokers[0]];
  const make = ['--create', '--topic', topic, '--partitions', '3'];
  await kafka.tool('org.apache.kafka.tools.TopicCommand', ...server, ...make);
  return {
    endpoints: [{ name: 'away', kind: 'kafka', brokers: kafka.brokers, topic }],
    routes: [{ name: 'all', endpoint: 'away' }],
    enrichments: [{ key: 'hub', value: '$iothubname', endpoints: ['away'] }],
  };
}

/** Lines of all records that are there: headers, then body. Those of a device are in order. */
async function consumed(topic: string): Promise<readonly string[]> {
  const server = ['--bootstrap-server', kafka.brokers[0], '--topic', topic];
  const ends = await kafka.tool('org.apache.kafka.tools.GetOffsetShell', ...server);
  const count = ends.split('\n').reduce((sum, line) => sum + Number(/:\d+:(\d+)$/.exec(line)?.[1] ?? 0), 0);
  const text = await kafka.tool(
    'org.apache.kafka.tools.consumer.ConsoleConsumer',
    ...[...server, '--from-beginning', '--max-messages', `${count}`, '--timeout-ms', '30000'],
    ...['--property', 'print.headers=true'],
  );
  return text.split('\n').filter((line) => line.includes('{"n":'));
}

const numberIn = (line: string): number => Number(/\{"n":(\d+)\}/.exec(line)?.[1]);

test('a hub that is killed again and again brings each acknowledged event to the topic, in order', {
  skip: missing,
  timeout: 120_000,
}, async (context) => {
  let hub = await startHub();
  context.after(() => hub[Symbol.asyncDispose]());
  const first = apiOf(hub);
  await first.routes.replace(await makeTopic('killed'));
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
  const api = apiOf(hub);
  await until('everything is delivered', async () => {
    const [{ health, lagEvents }] = await api.routes.endpoints();
    return health === 'healthy' && lagEvents === 0;
  });
  api.close();
  const lines = await consumed('killed');
  assert.match(lines[0], new RegExp(`hub:${hub.endpoints.hubName}`));
  const firsts = [...new Set(lines.map(numberIn))];
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

test('while no broker answers the state says so, and everything is there when one does', {
  skip: missing,
  timeout: 120_000,
}, async (context) => {
  let hub = await startHub();
  context.after(() => hub[Symbol.asyncDispose]());
  const first = apiOf(hub);
  await first.routes.replace(await makeTopic('down'));
  first.close();
  await hub.stop();
  await kafka.kill(1);
  hub = await hub.restart();
  const api = apiOf(hub);
  const { client, send } = await senderOf(hub, 'd1');
  for (let n = 0; n < 50; n++) await send(`{"n":${n}}`);
  await until('it is degraded', async () => (await api.routes.endpoints())[0].health === 'degraded');
  assert.match((await api.routes.endpoints())[0].reason, /no broker of Kafka can be reached/);
  await kafka.restart(1);
  await until('everything is delivered', async () => {
    const [{ health, lagEvents }] = await api.routes.endpoints();
    return health === 'healthy' && lagEvents === 0;
  });
  api.close();
  const numbers = [...new Set((await consumed('down')).map(numberIn))];
  assert.deepEqual(
    numbers,
    Array.from({ length: 50 }, (_, n) => n),
  );
  await client.disconnect();
});
