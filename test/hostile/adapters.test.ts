/** Adapters that throw, hang, leak, flood, or speak junk to the hub, beside devices that must not notice. Real processes. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import { type AdapterHub, startAdapterHub } from '../drivers/adapter-hub.ts';
import { type LineDevice, openLine } from '../drivers/line-device.ts';
import { until } from '../drivers/until.ts';

const bad = path.join(import.meta.dirname, '..', 'drivers', 'bad-adapter.ts');
const badOne = (how: string, more: object = {}): object => ({
  adapter: bad,
  name: `bad-${how}`,
  settings: { how },
  ...more,
});

/** How long an answer of the hub may take on a machine that tests share: a hub that is held up by an adapter takes far longer. */
const ANSWER_MS_MAX = 2000;

async function healthOf({ hub }: AdapterHub): Promise<{ status: string; text: string }> {
  const answer = await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/readyz`);
  return { status: String(answer.status), text: await answer.text() };
}

async function metric({ hub }: AdapterHub, line: RegExp): Promise<number> {
  const page = await (await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/metrics`)).text();
  return Number(line.exec(page)?.[1] ?? Number.NaN);
}

describe('adapters that do what none should, beside a device of another adapter', { timeout: 120_000 }, () => {
  let open: AdapterHub;
  let witness: LineDevice;
  let slowest = 0;
  let sent = 0;
  let isOver = false;
  let watching: Promise<void>;
  before(async () => {
    const flood = { vouchFor: ['flood-*'], create: { max: 20 }, messagesPerSecond: 2000 };
    open = await startAdapterHub([
      { adapter: 'line', settings: { port: 0 } },
      ...[badOne('throw'), badOne('hang'), badOne('leak', { memoryMiB: 96 }), badOne('junk'), badOne('never-starts')],
      badOne('babble'),
      badOne('flood', flood),
    ]);
    witness = await openLine(await open.port());
    assert.equal(await witness.ask(`login witness ${await open.addDevice('witness')}`), 'ok');
    watching = (async () => {
      while (!isOver) {
        const begin = performance.now();
        assert.equal(await witness.ask(`{"n":${sent++}}`), 'ok');
        slowest = Math.max(slowest, performance.now() - begin);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    watching.catch(() => {});
  });
  after(() => open[Symbol.asyncDispose]());

  const ended = (name: string, reason: RegExp): Promise<void> =>
    open.hub.logged(new RegExp(`"adapter":"bad-${name}","reason":"[^"]*${reason.source}[^"]*"`));

  test('one that throws ends, is told with its words, and is started again', async () => {
    await ended('throw', /it has exited with code 1/);
    await open.hub.logged(/it meets something that it does not know/);
    await until(
      'it was started again',
      async () => (await metric(open, /restarts_total\{adapter="bad-throw"\} (\d+)/)) > 0,
    );
  });
  test('one that cannot start says why', () => ended('never-starts', /it cannot start: no such port/));
  test('one that leaks ends by itself', () => ended('leak', /(exited|ended by|more memory)/));
  test('one that speaks junk to the hub is ended', () => ended('junk', /a frame of \d+ bytes/));
  test('one that hangs is ended', () => ended('hang', /it hangs/));
  test('one that writes lines of the log without its host is bounded in them', async () => {
    await open.hub.logged(/it babbles/);
    // All of them come in one piece: at most the bounds of two seconds, whenever these begin.
    const lines = open.hub.stderr().split('it babbles').length - 1;
    assert.ok(lines <= 2 * limits.adapterLogLinesPerSecond, `${lines} lines`);
  });
  test('one that floods makes as many devices as it may, and is read at its rate', async () => {
    await until(
      'its devices are let in',
      async () =>
        (await metric(open, /name="let_in"\} (\d+)/)) > 0 ||
        (await metric(open, /sessions\{adapter="bad-flood"\} (\d+)/)) >= 20,
    );
    const before = await metric(open, /messages_total\{adapter="bad-flood"\} (\d+)/);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const more = (await metric(open, /messages_total\{adapter="bad-flood"\} (\d+)/)) - before;
    assert.ok(more < 3 * 3 * 2000, `${more} messages in about 3 s`);
    const devices = (await open.api.devices.list()).filter(({ deviceId }) => deviceId.startsWith('flood-'));
    assert.equal(devices.length, 20);
  });
  test('the hub stays ready, its health names them, and the device has noticed nothing', async () => {
    const { status, text } = await healthOf(open);
    assert.equal(status, '200');
    assert.match(text, /adapter bad-never-starts/);
    isOver = true;
    await watching;
    assert.ok(slowest < ANSWER_MS_MAX, `an answer took ${slowest} ms`);
    assert.equal((await open.texts('witness')).length, sent);
  });
});

test('kill -9 of an adapter: what its devices were told is stored, is stored, and they come back', {
  timeout: 60_000,
}, async () => {
  await using open = await startAdapterHub([{ adapter: 'line', settings: { port: 0 } }]);
  const key = await open.addDevice('meter-1');
  const told = new Set<string>();
  let at = 0;
  for (let round = 0; round < 3; round++) {
    const port = await open.port();
    const device = await openLine(port);
    assert.equal(await device.ask(`login meter-1 ${key}`), 'ok');
    const send = async (): Promise<void> => {
      for (;;) {
        const text = `{"n":${at++}}`;
        const answer = await device.ask(text);
        if (answer === 'ok') told.add(text);
        else return;
      }
    };
    const sending = Promise.all(Array.from({ length: 20 }, send));
    await new Promise((resolve) => setTimeout(resolve, 150));
    process.kill(childOf(open.hub.pid), 'SIGKILL');
    await sending;
    const starts = () => open.hub.stderr().split('the adapter serves devices').length - 1;
    await until('it is started again', () => starts() === round + 2);
  }
  const stored = new Set(await open.texts('meter-1'));
  assert.ok(told.size > 100, `${told.size} messages were told stored`);
  assert.deepEqual(
    [...told].filter((text) => !stored.has(text)),
    [],
  );
});

test('kill -9 of the hub: an adapter that hangs does not stay behind', { timeout: 60_000 }, async () => {
  await using open = await startAdapterHub([badOne('hang')]);
  await open.hub.logged(/the adapter serves devices/);
  const child = childOf(open.hub.pid);
  // It hangs a moment later.
  await new Promise((resolve) => setTimeout(resolve, 500));
  await open.hub.kill();
  const isThere = (): boolean => {
    try {
      return !/^State:\s*Z/m.test(readFileSync(`/proc/${child}/status`, 'utf8'));
    } catch {
      return false;
    }
  };
  await until('the process of the adapter has ended', () => !isThere());
});

/** The one process that a hub has started. */
function childOf(pid: number): number {
  const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  return Number(child);
}
