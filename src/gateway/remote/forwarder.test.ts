import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { readBatch } from '../../wire/gateway/batch.ts';
import { Forwarder } from './forwarder.ts';
import { Queue } from './queue.ts';
import { GatewayStore } from './store.ts';

test('messages that pass the disk fill a batch by their properties too: the hub reads each batch', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-gateway-'));
  const store = new GatewayStore({ folder, clock: systemClock });
  t.after(() => {
    store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const queue = new Queue({ store, bytesMax: 1_000_000, whenFull: 'refuse' });
  const forwarder = new Forwarder({ queue, clock: systemClock });
  const arrived: number[] = [];
  const unread: unknown[] = [];
  forwarder.linked({
    async send(batch) {
      try {
        arrived.push(...readBatch(batch).map(({ body }) => Number(body.toString())));
      } catch (error) {
        unread.push(error);
      }
      return [];
    },
  });
  const numbers = Array.from({ length: 50 }, (_, n) => n);
  const sent = numbers.map((n) =>
    forwarder.send({
      deviceId: 'd1',
      created: n,
      properties: [['a', randomBytes(40_000).toString('base64')]],
      body: Buffer.from(String(n)),
    }),
  );
  await Promise.all(sent);
  assert.deepEqual(unread, []);
  assert.deepEqual(arrived, numbers);
});
