/**
 * Delivery to a receiver over HTTP that does everything wrong, again and again: whatever it answers, all events come in the end, first
 * appearances in order, and it is soon that they do.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { silentLog } from '../../src/base/log.ts';
import { type Random, seededRandom } from '../../src/base/random.ts';
import { routedLog } from '../../src/core/routes/routed-log.ts';
import { nextSet, readDeclaration } from '../../src/core/routes/rules.ts';
import { noRoutes } from '../../src/core/routes/types.ts';
import { webhookSink } from '../../src/endpoints/sinks.ts';
import { recordCodec, routingMark, writeRoutingMark } from '../../src/records/record-codec.ts';
import { Delivery } from '../../src/server/delivery/delivery.ts';
import { createMemoryEventLog } from '../../src/stores/memory/event-log.ts';
import { createMemoryRoutes } from '../../src/stores/memory/routes.ts';
import { until } from '../drivers/until.ts';

const PARTITIONS = 4;
/** What is half a minute and a minute for others. */
const ANSWER_MS = 700;
const before = { ...limits };
Object.assign(limits, { webhookAnswerMs: ANSWER_MS, deliveryRetryMsMin: 20, deliveryRetryMsMax: 100 });
test.after(() => Object.assign(limits, before));

type Fault = (request: http.IncomingMessage, response: http.ServerResponse, body: Buffer) => void;

/** What a receiver may do in place of taking events. */
const faults: Readonly<Record<string, Fault>> = {
  fails: (_, response) => response.writeHead(500).end('it has fallen over'),
  'is busy': (_, response) => response.writeHead(503, { 'retry-after': '0' }).end(),
  'ends the connection': (request) => request.socket.destroy(),
  'resets the connection': (request) => request.socket.resetAndDestroy(),
  'never answers': () => {},
  'begins an answer, and never ends it': (_, response) => void response.writeHead(200).write('so'),
  'begins an answer, and ends the connection': (request, response) => {
    response.writeHead(200, { 'content-length': '10' }).write('so');
    setTimeout(() => request.socket.destroy(), 5);
  },
  'goes over to another protocol': (request) =>
    void request.socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n'),
  'says that it goes on': (request) => void request.socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'),
  'speaks no HTTP': (request) => void request.socket.write('SSH-2.0-OpenSSH_9.2p1\r\n'),
  'answers for ever': (request, response) => {
    response.writeHead(500);
    const timer = setInterval(() => response.write('x'.repeat(1024)), 1);
    request.socket.once('close', () => clearInterval(timer));
  },
  'takes the events, and loses its answer': (request) => request.socket.destroy(),
  'answers, and ends the connection that is kept': (request, response) => {
    response.writeHead(204).end();
    setTimeout(() => request.socket.destroy(), 1);
  },
};
const takes = new Set(['takes the events, and loses its answer', 'answers, and ends the connection that is kept']);

/** @param next what it does with the next request; without a fault it takes the events, after so many ms */
async function receiver(next: () => { readonly fault?: string; readonly ms: number }) {
  const taken: string[] = [];
  const seen = new Map<string, number>();
  const server = http.createServer({ keepAliveTimeout: 30 }, async (request, response) => {
    if (request.method === 'OPTIONS') return response.setHeader('WebHook-Allowed-Origin', '*').end();
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const { fault, ms } = next();
    if (fault !== undefined) seen.set(fault, (seen.get(fault) ?? 0) + 1);
    if (fault === undefined || takes.has(fault)) {
      taken.push(...(JSON.parse(String(body)) as { id: string }[]).map(({ id }) => id));
    }
    if (fault !== undefined) return faults[fault](request, response, body);
    setTimeout(() => response.writeHead(204).end(), ms);
  });
  server.on('connection', (socket) => socket.on('error', () => {}));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    ...{ taken, seen, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` },
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** A log of some partitions, and its delivery to one webhook. */
async function rig(url: string, settings: object) {
  const log = createMemoryEventLog({ name: 'hub', partitionCount: PARTITIONS });
  const { cursors, routes } = createMemoryRoutes();
  const endpoints = [{ kind: 'webhook', name: 'hook', url, ...settings }];
  const set = nextSet(
    noRoutes,
    readDeclaration({ endpoints }, () => {}),
    0,
  );
  assert.ok(await routes.replace(set, new Array<number>(PARTITIONS).fill(0)));
  const reasons: string[] = [];
  const delivery = new Delivery({
    ...{ log: routedLog(log, routingMark), cursors, clock: systemClock, node: 'n', hubLog: silentLog },
    storeTime: () => systemClock.now(),
    chance: () => 1,
    sinkOf: (endpoint) => {
      assert.equal(endpoint.kind, 'webhook');
      const parts = { hub: 'hub', origin: 'hub', mayBePrivate: true, now: () => systemClock.now(), lost: () => {} };
      return webhookSink(endpoint as never, parts);
    },
    enriched: async (_, records) => records.map((record) => ({ ...record, enrichments: [] })),
    changed: (_, __, { reason }) => void reasons.push(reason ?? ''),
  });
  delivery.follow(set);
  const stamp = { deviceId: 'd', generationId: 'g', authMethod: '{}', source: 'Telemetry' };
  async function put(partition: number, count: number): Promise<void> {
    for (let at = 0; at < count; at += 1) {
      const record = recordCodec.encode(stamp, { system: {}, properties: [], body: Buffer.alloc(50, 'x') }, 1);
      writeRoutingMark(record, 0, 1);
      const place = log.writer.reserve(partition, record.length);
      record.copy(log.writer.bytes(partition), place);
    }
    await log.commit();
  }
  return { put, delivery, reasons };
}

for (const fault of Object.keys(faults)) {
  test(`a receiver that ${fault} gets its events with a later request`, async () => {
    let isFirst = true;
    const hook = await receiver(() => {
      const answer = isFirst ? { fault, ms: 0 } : { ms: 0 };
      isFirst = false;
      return answer;
    });
    const { put, delivery } = await rig(hook.url, { eventsPerRequest: 10 });
    try {
      await put(0, 25);
      await until('all is delivered', () => new Set(hook.taken).size === 25, { withinMs: 10_000 });
      await until('it is healthy', () => delivery.facts()[0].condition.health === 'healthy');
    } finally {
      await delivery.close();
      hook.close();
    }
  });
}

function someFault(random: Random): { readonly fault?: string; readonly ms: number } {
  const names = Object.keys(faults);
  const bytes = random.bytes(3);
  const ms = bytes[2] % 30;
  return bytes[0] < 60 ? { fault: names[bytes[1] % names.length], ms } : { ms };
}

test('whatever a receiver does: all events come, in order, while others come behind them', async (t) => {
  const seed = Number(process.env.MOORING_TEST_SEED ?? randomInt(2 ** 31));
  const random = seededRandom(seed);
  const began = performance.now();
  const hook = await receiver(() => someFault(random));
  const { put, delivery } = await rig(hook.url, { eventsPerRequest: 20, inFlight: 3 });
  const counts = new Array<number>(PARTITIONS).fill(0);
  try {
    for (let wave = 0; wave < 60; wave += 1) {
      const [where, count, rest] = random.bytes(3);
      counts[where % PARTITIONS] += count;
      await put(where % PARTITIONS, count);
      await new Promise<void>((resolve) => void setTimeout(resolve, rest % 60));
    }
    const all = counts.reduce((sum, count) => sum + count, 0);
    await until(`all is delivered (seed ${seed})`, () => new Set(hook.taken).size === all, { withinMs: 60_000 });
    await until('none is behind', () => delivery.facts()[0].behind === 0);
  } catch (error) {
    throw new Error(`seed ${seed}: ${JSON.stringify(delivery.facts())}`, { cause: error });
  } finally {
    await delivery.close();
    hook.close();
  }
  for (const [partition, count] of counts.entries()) {
    const first = [...new Set(hook.taken)].filter((id) => id.startsWith(`${partition}-`));
    assert.deepEqual(
      first,
      Array.from({ length: count }, (_, sequence) => `${partition}-${sequence}`),
      `seed ${seed}`,
    );
  }
  const faultsSeen = [...hook.seen].map(([name, times]) => `${name}: ${times}`).join(', ');
  t.diagnostic(`seed ${seed}: ${Math.round(performance.now() - began)} ms; ${faultsSeen}`);
});

test('a batch of many slow requests holds up nobody who waits for its end', async () => {
  const hook = await receiver(() => ({ ms: 200 }));
  const { put, delivery } = await rig(hook.url, { eventsPerRequest: 1 });
  await put(0, 100);
  await until('some are delivered', () => hook.taken.length >= 3);
  const began = performance.now();
  await delivery.close();
  hook.close();
  assert.ok(performance.now() - began < 2000, 'it ends behind the request that is under way');
});
