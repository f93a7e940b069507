/** News of all partitions that a broker leads comes by one answer: what is wrong with one of them is not that of the others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { FieldReader, FieldWriter, MalformedKafka } from '../../wire/kafka/fields.ts';
import type { KafkaCluster } from './cluster.ts';
import { Facts } from './facts.ts';
import { Follower } from './follower.ts';

/** Three partitions, each with a record at offset 0. */
function news(): FieldReader {
  const out = new FieldWriter().int32(0).int16(0).int32(0);
  out.list(['t'], () => {
    out.text('t').list([0, 1, 2], (partition) => {
      out.int32(partition).int16(0).int64(1).int64(1).int64(0);
      out
        .list([], () => {})
        .int32(-1)
        .bytes(Buffer.from('records'))
        .noTags();
    });
    out.noTags();
  });
  return new FieldReader(out.noTags().done());
}

test('a partition whose records are damaged does not keep news of the others', async () => {
  let asked = 0;
  const connection = {
    request: () => (asked++ === 0 ? Promise.resolve(news()) : new Promise(() => {})),
    giveBack: () => {},
  };
  const cluster = {
    leaderOf: () => 1,
    whenLeadersChange: () => {},
    connection: () => Promise.resolve(connection),
    refresh: () => Promise.resolve(),
  } as unknown as KafkaCluster;
  const told: number[] = [];
  let done = (): void => {};
  const all = new Promise<void>((resolve) => {
    done = resolve;
  });
  const follower = new Follower({
    ...{ cluster, topic: 't', facts: new Facts(3), clock: systemClock, log: silentLog },
    take({ partition }) {
      if (partition === 0) throw new MalformedKafka('the record batch at offset 0 is damaged');
    },
    tell(partition) {
      // Its readers are told as well: they learn by reading why they cannot.
      if (told.push(partition) === 3) done();
    },
  });
  for (const partition of [0, 1, 2]) follower.watch(partition);
  await all;
  assert.deepEqual(told, [0, 1, 2]);
  follower.close();
});
