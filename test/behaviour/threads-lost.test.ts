/** Listener threads that end unasked, and what reaches them while they run. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import tls from 'node:tls';
import type { Worker } from 'node:worker_threads';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { readAll } from '../../src/stores/contract/event-log.ts';
import type { MqttDriver } from '../drivers/mqtt.ts';
import { openThreadedHub } from '../drivers/threads.ts';
import { until } from '../drivers/until.ts';

const ids = Array.from({ length: 16 }, (_, at) => `d${at}`);

/** Publishes and resolves when the hub has acknowledged; false if the connection ended before that. */
async function publish(client: MqttDriver, deviceId: string, text: string): Promise<boolean> {
  client.publish({ topic: `devices/${deviceId}/messages/events/`, payload: text, qos: 1, messageId: 1 });
  return client.next('puback').then(
    () => true,
    () => false,
  );
}

test('a thread that ends loses its connections and nothing acknowledged; it is replaced, and its devices come back', async () => {
  await using hub = await openThreadedHub();
  const acknowledged: string[] = [];
  const clients = await Promise.all(ids.map((id) => hub.device(id)));
  const closed = new Set<string>();
  const publishing = ids.map(async (id, at) => {
    for (let n = 0; !closed.has('all'); n++) {
      if (!(await publish(clients[at], id, `${id} ${n}`))) {
        closed.add(id);
        return;
      }
      acknowledged.push(`${id} ${n}`);
    }
  });
  await until('500 acknowledgements', () => acknowledged.length >= 500, { everyMs: 1 });
  const next = hub.nextWorker();
  await hub.workers[0].terminate();
  const replacement = await next;
  await once(replacement, 'online');
  closed.add('all');
  await Promise.all(publishing);
  closed.delete('all');
  assert.ok(closed.size > 0 && closed.size < ids.length, `${closed.size} of ${ids.length} were on the thread`);
  assert.equal(await hub.hub.presence.connectedDevices(), ids.length - closed.size);

  // They come back while the thread is away, and to it when it is there again.
  const back = await Promise.all([...closed].map((id) => hub.device(id)));
  for (const [at, id] of [...closed].entries()) assert.ok(await publish(back[at], id, `${id} back`));
  assert.equal(await hub.hub.presence.connectedDevices(), ids.length);
  const partitions = await Promise.all([0, 1, 2, 3].map((partition) => readAll(hub.telemetry, partition)));
  const stored = partitions.flat().join('\n');
  for (const text of acknowledged) assert.ok(stored.includes(text), `${text} was acknowledged`);
  const sentences = hub.log.filter(({ level }) => level === 'error').map(({ sentence }) => sentence);
  assert.deepEqual(sentences, ['a listener thread has ended; its connections are lost, and it is started again']);
  await until('every thread serves', () => hub.threads.serving >= hub.threads.size);
});

test('a thread that hangs is ended after ten seconds, and its devices come back on others', async () => {
  await using hub = await openThreadedHub(2, new URL('../drivers/hanging-worker.ts', import.meta.url));
  const clients = await Promise.all(ids.map((id) => hub.device(id)));
  for (const [at, id] of ids.entries()) assert.ok(await publish(clients[at], id, `${id} before`));
  const next = hub.nextWorker();
  const ended = once(hub.workers[0], 'exit');
  const begun = performance.now();
  hub.workers[0].postMessage({ kind: 'note', note: 'hang' });
  await ended;
  const seconds = (performance.now() - begun) / 1000;
  const bound = (limits.memberBeatMs * (limits.memberSilentBeatsMax + 2)) / 1000;
  assert.ok(seconds < bound + 5, `${seconds} s`);
  const sentences = hub.log.filter(({ level }) => level === 'error').map(({ sentence }) => sentence);
  assert.equal(sentences[0], 'a listener thread does not answer and is ended');
  // Nothing of it has its place any more.
  const kept = await hub.hub.presence.connectedDevices();
  assert.ok(kept > 0 && kept < ids.length, `${kept}`);
  await once(await next, 'online');
  const back = await Promise.all(ids.map((id) => hub.device(id)));
  for (const [at, id] of ids.entries()) assert.ok(await publish(back[at], id, `${id} back`));
  assert.equal(await hub.hub.presence.connectedDevices(), ids.length);
});

test('a thread that hangs while it starts is ended, and the start fails', async () => {
  const late: (() => void)[] = [];
  const clock: Clock = {
    ...systemClock,
    after(delayMs, callback) {
      if (delayMs === limits.threadStartMs) late.push(callback);
      return systemClock.after(delayMs, callback);
    },
  };
  const runs: Promise<unknown>[] = [];
  const ended: Promise<unknown>[] = [];
  const onWorker = (worker: Worker): void => {
    runs.push(once(worker, 'online'));
    ended.push(once(worker, 'exit'));
  };
  process.on('worker', onWorker);
  const opening = openThreadedHub(1, new URL('../drivers/stuck-worker.ts', import.meta.url), clock);
  const refused = assert.rejects(opening, { code: 'ServiceUnavailable' });
  await until('the thread is started', () => ended.length === 1 && late.length === 1);
  process.off('worker', onWorker);
  await Promise.all(runs);
  late[0]();
  await Promise.all([refused, ...ended]);
});

test('an error that nobody handles ends the thread, not the hub; one that dies again and again waits longer and longer', async () => {
  await using hub = await openThreadedHub(1);
  for (let death = 0; death < 4; death++) {
    const next = hub.nextWorker();
    const worker = hub.workers[death];
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    // No packet: the thread's first look at it throws.
    worker.postMessage(null);
    await ended;
    assert.equal(hub.threads.serving, 0);
    await once(await next, 'online');
  }
  const waits = hub.log
    .filter(({ sentence }) => sentence.startsWith('a listener thread has ended'))
    .map(({ fields }) => fields.restartMs);
  assert.deepEqual(waits, [100, 200, 400, 800]);
  assert.equal(hub.log.filter(({ sentence }) => sentence.startsWith('an error was not handled')).length, 4);
  const restarted = 'a listener thread was started again';
  await until(restarted, () => hub.log.some(({ sentence }) => sentence === restarted));
  const client = await hub.device('d0');
  await client.disconnect();
});

test('a renewed certificate reaches every thread, and open connections stay', async () => {
  await using hub = await openThreadedHub();
  const serial = async (): Promise<string> => {
    const socket = tls.connect({ port: hub.mqtts.port, host: '127.0.0.1', servername: 'localhost', ca: hub.tls.ca });
    await once(socket, 'secureConnect');
    const { serialNumber } = socket.getPeerCertificate();
    socket.destroy();
    return serialNumber;
  };
  const before = await serial();
  const client = await hub.device('d0');
  await hub.tls.renew();
  // The answer to a call comes behind the note of the new certificate.
  await hub.threads.count();
  const after = new Set<string>();
  for (let turn = 0; turn < 12; turn++) after.add(await serial());
  assert.equal(after.size, 1);
  assert.ok(!after.has(before));
  await client.ping();
  await client.disconnect();
});
