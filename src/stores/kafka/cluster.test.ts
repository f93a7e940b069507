import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { FieldReader, FieldWriter } from '../../wire/kafka/fields.ts';
import type { Broker } from './broker-connection.ts';
import { KafkaCluster } from './cluster.ts';

/** What a broker says of a cluster of one, which has no topics. */
function metadata(): FieldReader {
  const out = new FieldWriter().int32(0);
  out.list([1], (id) => void out.int32(id).text('one').int32(9092).text(null).noTags());
  out
    .text('test')
    .int32(1)
    .list([], () => {})
    .noTags();
  return new FieldReader(out.done());
}

const answering = (request: Broker['request']): Broker => ({
  ...{ address: '', isGone: false, whenGone: () => {}, giveBack: () => {}, close: () => {} },
  request,
});

const opened = (open: (host: string) => Promise<Broker>): Promise<KafkaCluster> =>
  KafkaCluster.open({
    ...{ brokers: ['silent:9092', 'one:9092'], access: { clientId: 'test', clock: systemClock }, log: silentLog },
    open,
  });

for (const [what, silent] of [
  ['takes the connection and says nothing', () => new Promise<Broker>(() => {})],
  ['does not answer', async () => answering(() => new Promise(() => {}))],
] as const) {
  test(`a broker that ${what} does not keep the next one from being asked`, async () => {
    const begun = performance.now();
    const cluster = await opened((host) =>
      host === 'silent' ? silent() : Promise.resolve(answering(async () => metadata())),
    );
    assert.ok(performance.now() - begun >= limits.kafkaSlowMs - 10, 'it has had its time');
    await cluster.refresh();
    cluster.close();
  });
}

test('where no broker answers, it is said of each why', async () => {
  const failing = opened((host) => Promise.reject(new Error(`${host} is not there`)));
  await assert.rejects(failing, /silent is not there; one is not there/);
});
