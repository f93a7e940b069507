/** A file that the disk has damaged: what waits in it is never lost without a word. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { Queue } from './queue.ts';
import { GatewayStore, GatewayStoreError } from './store.ts';

const PAGE_BYTES = 4096;
const COUNT = 40;

const open = (folder: string) => {
  const store = new GatewayStore({ folder, clock: systemClock, commitMs: 0 });
  return { store, queue: new Queue({ store, bytesMax: 1e8, whenFull: 'refuse' }) };
};
const textOf = (n: number): string => `${n} `.repeat(1000);

test('a damaged page is told at the start, whichever it is, and the file stays as it was', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-gateway-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'gateway.db');
  const whole = open(folder);
  for (let n = 0; n < COUNT; n++) {
    await whole.queue.put({
      ...{ deviceId: 'd', moduleId: undefined, created: 0, messageId: undefined, correlationId: undefined },
      ...{ contentType: undefined, contentEncoding: undefined, address: undefined, properties: [] },
      body: Buffer.from(textOf(n)),
    });
  }
  whole.store.close();
  const good = readFileSync(file);
  let refused = 0;
  for (let page = 0; page < good.length / PAGE_BYTES; page += 3) {
    const damaged = Buffer.from(good);
    for (let at = 0; at < PAGE_BYTES; at++) damaged[page * PAGE_BYTES + at] ^= 0x5a;
    writeFileSync(file, damaged);
    try {
      const { store, queue } = open(folder);
      let broken = 0;
      queue.onBroken = (count) => {
        broken += count;
      };
      queue.begin();
      const found = queue.take('backlog', 1e8, 1000)?.messages ?? [];
      const right = found.filter(({ body }, n) => Buffer.from(body).toString() === textOf(n)).length;
      store.close();
      assert.ok(right === COUNT || broken > 0, `page ${page}: ${right} messages are right, and nothing was said`);
    } catch (error) {
      if (!(error instanceof GatewayStoreError)) throw error;
      assert.match(error.message, /is damaged .*move the folder away/);
      assert.ok(readFileSync(file).equals(damaged), 'nothing was changed in it');
      refused++;
    }
  }
  assert.ok(refused > 10, `${refused} pages were found damaged`);
});
