/** The way of spans to a collector: what it may do wrong, and what the hub makes of it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import type { LogFields } from '../../src/base/log.ts';
import type { Span } from '../../src/core/monitoring/spans.ts';
import { type DropReason, SpanExporter } from '../../src/server/observe/traces/exporter.ts';
import { type Answering, Collector, takes } from '../drivers/collector.ts';

const TOKEN = 'Bearer not-to-be-seen';

function span(at: number, changes: Partial<Span> = {}): Span {
  return {
    traceId: `${at + 1}`.padStart(32, '0'),
    spanId: `${at + 1}`.padStart(16, '0'),
    name: 'stored',
    kind: 'internal',
    startTime: 1_700_000_000_000,
    endTime: 1_700_000_000_001,
    attributes: { 'mooring.device.id': 'd1', 'mooring.module.id': undefined, count: at, share: 0.5 },
    ...changes,
  };
}

/** An exporter whose time moves when the test says so, and what it has logged. */
function exporterTo(endpoint: string) {
  const clock = new VirtualClock();
  const lines: { readonly level: string; readonly fields: LogFields; readonly sentence: string }[] = [];
  const at = (level: string) => (fields: LogFields, sentence: string) => void lines.push({ level, fields, sentence });
  const log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'), child: () => log };
  const exporter = new SpanExporter({
    ...{ endpoint, clock, log, version: '0' },
    headers: { authorization: TOKEN },
    resource: { 'service.name': 'mooring' },
  });
  const add = (count: number): void => {
    for (let each = 0; each < count; each++) exporter.add(span(each));
  };
  const dropped = (reason: DropReason): number => exporter.stats().dropped.get(reason) ?? 0;
  const until = async (holds: () => boolean): Promise<void> => {
    for (const end = Date.now() + 10_000; !holds(); await new Promise((resolve) => setTimeout(resolve, 2))) {
      assert.ok(Date.now() < end, `${holds}: ${JSON.stringify([exporter.stats(), lines])}`);
    }
  };
  /** Everything that waits has been sent or dropped; time passes only between requests. */
  const settled = () => until(() => exporter.stats().pending === 0);
  return { clock, exporter, lines, add, dropped, until, settled };
}

const answers =
  (status: number, headers: Record<string, string> = {}, body = ''): Answering =>
  (response) =>
    void response.writeHead(status, headers).end(body);

test('spans go in batches, as the published messages say, and the headers with them', async () => {
  await using collector = await Collector.open();
  const { clock, exporter, add, settled } = exporterTo(`${collector.endpoint}/`);
  add(3);
  exporter.add(span(3, { parentSpanId: 'f'.repeat(16), kind: 'server', error: 'no \ud800 room' }));
  assert.equal(collector.bodies.length, 0, 'a few wait for others');
  clock.advance(limits.spansWaitMs);
  await settled();
  assert.deepEqual(collector.faults, []);
  assert.equal(collector.bodies.length, 1);
  const [first, , , last] = collector.spans;
  assert.deepEqual(first.attributes, { 'mooring.device.id': 'd1', count: 0, share: 0.5 });
  assert.deepEqual([first.start, first.end, first.kind], [1_700_000_000_000, 1_700_000_000_001, 1]);
  assert.deepEqual([last.parentSpanId, last.kind, last.status], ['f'.repeat(16), 2, 2]);
  assert.equal(collector.headers[0].authorization, TOKEN);
  // A full batch does not wait.
  add(limits.spansPerRequestMax);
  await settled();
  assert.equal(exporter.stats().exported, limits.spansPerRequestMax + 4);
  await exporter.stop();
});

test('a collector that is overloaded gets the same spans again, when it wants them', async () => {
  await using collector = await Collector.open(answers(503, { 'retry-after': '7' }));
  const { clock, exporter, lines, add, until, settled } = exporterTo(collector.endpoint);
  add(2);
  clock.advance(limits.spansWaitMs);
  await until(() => exporter.health().ok === false);
  assert.deepEqual(exporter.health(), { ok: false, reason: 'it answers 503' });
  clock.advance(6_999);
  assert.equal(collector.bodies.length, 1);
  collector.answering = takes;
  clock.advance(1);
  await settled();
  assert.equal(collector.bodies[1], collector.bodies[0]);
  assert.deepEqual(exporter.health(), { ok: true });
  assert.deepEqual(
    lines.map(({ level }) => level),
    ['warn', 'info'],
  );
  await exporter.stop();
});

test('one that is not there is tried a few times, told once, and its spans are dropped and counted', async () => {
  const collector = await Collector.open();
  await collector.stop();
  const { clock, exporter, lines, add, dropped, until } = exporterTo(collector.endpoint);
  add(5);
  clock.advance(limits.spansWaitMs);
  // Each wait begins when the connection has been refused; a second at a time meets them all.
  await until(() => {
    if (exporter.health().ok === false) clock.advance(limits.collectorRetryMsMin);
    return dropped('not-taken') === 5;
  });
  assert.deepEqual(exporter.health(), { ok: false, reason: 'ECONNREFUSED' });
  assert.equal(lines.length, 1);
  assert.ok(!JSON.stringify(lines).includes('not-to-be-seen'));
  await exporter.stop();
});

test('one that refuses is not asked again for the same spans', async () => {
  for (const status of [400, 401, 404, 500]) {
    await using collector = await Collector.open(answers(status, {}, 'no'));
    const { clock, exporter, add, dropped, settled } = exporterTo(collector.endpoint);
    add(4);
    clock.advance(limits.spansWaitMs);
    await settled();
    assert.deepEqual([collector.bodies.length, dropped('not-taken')], [1, 4]);
    assert.deepEqual(exporter.health(), { ok: false, reason: `it answers ${status}` });
    await exporter.stop();
  }
});

test('spans that it rejects in part are counted; an answer that makes no sense, or no end, is a taken one', async () => {
  await using collector = await Collector.open();
  const { clock, exporter, add, dropped, settled } = exporterTo(collector.endpoint);
  const exchange = async (answering: Answering): Promise<void> => {
    collector.answering = answering;
    add(10);
    clock.advance(limits.spansWaitMs);
    await settled();
  };
  await exchange(answers(200, {}, '{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}'));
  assert.deepEqual([exporter.stats().exported, dropped('rejected')], [7, 3]);
  assert.deepEqual(exporter.health(), { ok: false, reason: 'it rejects spans: too old' });
  await exchange(answers(200, {}, '{"partialSuccess":{"rejectedSpans":-5}}'));
  await exchange(answers(200, {}, '{"partialSuccess":{"rejectedSpans":999}}'));
  assert.deepEqual([exporter.stats().exported, dropped('rejected')], [17, 13]);
  await exchange(answers(200, {}, '<html>'));
  await exchange((response) => {
    const more = (): void => {
      while (!response.destroyed && response.write('x'.repeat(16_384)));
    };
    response.on('drain', more).writeHead(200);
    more();
  });
  assert.deepEqual([exporter.stats().exported, exporter.health().ok], [37, true]);
  await exporter.stop();
});

test('a redirection is not followed: the token stays with the collector that it is for', async () => {
  await using other = await Collector.open();
  await using collector = await Collector.open(answers(307, { location: `${other.endpoint}/v1/traces` }));
  const { clock, exporter, add, dropped, settled } = exporterTo(collector.endpoint);
  add(1);
  clock.advance(limits.spansWaitMs);
  await settled();
  assert.deepEqual([other.headers.length, dropped('not-taken')], [0, 1]);
  await exporter.stop();
});

test('one that says nothing: what comes meanwhile is bounded, and a stop does not wait for it', async () => {
  const silent = net.createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { clock, exporter, lines, add, dropped, until } = exporterTo(
    `http://127.0.0.1:${(silent.address() as AddressInfo).port}`,
  );
  const more = 100;
  add(limits.spansPerRequestMax + limits.spansPendingMax + more);
  assert.equal(dropped('queue-full'), more);
  clock.advance(limits.collectorAnswerMs);
  await until(() => exporter.health().ok === false);
  assert.match(JSON.stringify(exporter.health()), /has not answered within 10 s/);
  const stopped = exporter.stop();
  // It is tried once more, until the time of the stop is over.
  await new Promise((resolve) => setTimeout(resolve, 50));
  clock.advance(limits.collectorStopMs);
  await stopped;
  assert.equal(dropped('stopped'), limits.spansPerRequestMax + limits.spansPendingMax);
  assert.equal(exporter.stats().pending, 0);
  assert.equal(lines.at(-1)?.sentence, 'traces were not exported');
  silent.close();
});

test('one that speaks another protocol is like one that is not there', async () => {
  const server = net.createServer((socket) => socket.on('error', () => {}).end('220 mail ready\r\n'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { clock, exporter, add, until } = exporterTo(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  add(1);
  clock.advance(limits.spansWaitMs);
  await until(() => exporter.health().ok === false);
  await exporter.stop();
  server.close();
});
