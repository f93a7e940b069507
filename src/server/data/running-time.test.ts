/** Retention beside a clock that does what it likes: the real event log on a real folder, over restarts, by a clock that is set. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { append, readAll } from '../../stores/contract/event-log.ts';
import { openEmbeddedEventLog } from '../../stores/embedded/event-log/event-log.ts';
import { clockCheck } from '../observe/health/clock-check.ts';
import { type ClockJump, openRunningTime, RUNNING_TIME_FILE } from './running-time.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const START = Date.UTC(2026, 0, 1);
// In memory where there is such a place: months of writes that are synced are not what is tested here.
const scratch = mkdtempSync(path.join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'mooring-clock-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
let cases = 0;

/** A hub's event log and its running time; `retentionMs` is a day. */
async function scene(clock = new VirtualClock(START), folder = path.join(scratch, `${cases++}`)) {
  const events = path.join(folder, 'events');
  const jumps: ClockJump[] = [];
  const begin = async () => {
    mkdirSync(folder, { recursive: true });
    const time = openRunningTime(folder, clock, silentLog);
    time.watch((jump) => jumps.push(jump));
    const runningTime = time.of('hub');
    const log = await openEmbeddedEventLog({
      ...{ folder: events, name: 'hub', partitionCount: 1, retentionMs: DAY, segmentBytes: 4000, clock, runningTime },
    });
    await time.keep();
    return { time, log };
  };
  let { time, log } = await begin();
  return {
    clock,
    folder,
    jumps,
    log: () => log,
    time: () => time,
    /** Lets time pass in steps that let what is due be done. */
    async pass(ms: number): Promise<void> {
      for (let left = ms; left > 0; left -= HOUR) {
        clock.advance(Math.min(HOUR, left));
        await log.retain();
      }
    },
    async restart(offMs = 0): Promise<void> {
      await log.close();
      await time.close();
      clock.advance(offMs);
      ({ time, log } = await begin());
    },
    async close(): Promise<void> {
      await log.close();
      await time.close();
    },
  };
}

const texts = (from: number, count: number): string[] =>
  Array.from({ length: count }, (_, at) => `${from + at} `.padEnd(900, 'x'));

test('two days ahead for a minute and back, two years back and forth: every event is still there', async () => {
  const hub = await scene();
  await append(hub.log(), 0, texts(0, 20));
  for (const error of [2 * DAY, -2 * 365 * DAY, 50 * 365 * DAY]) {
    const was = hub.clock.now();
    hub.clock.setWall(was + error);
    await hub.pass(60_000);
    await hub.log().retain();
    const { status } = await clockCheck(hub.time(), hub.log(), hub.clock).look();
    assert.equal(status, 'warn');
    hub.clock.setWall(was + 60_000);
    await hub.pass(60_000);
    assert.equal((await readAll(hub.log(), 0)).length, 20, `after a jump by ${error}`);
  }
  assert.equal(hub.jumps.length, 6);
  await hub.pass(2 * HOUR);
  assert.deepEqual(await clockCheck(hub.time(), hub.log(), hub.clock).look(), { status: 'ok' });
  await hub.pass(DAY + 2 * HOUR);
  assert.equal((await readAll(hub.log(), 0)).length, 0, 'they go when a day has passed');
  await hub.close();
});

test('enqueued times after a forward jump stay, and never go back when it is taken back', async () => {
  const hub = await scene();
  hub.clock.setWall(START + 2 * DAY);
  await append(hub.log(), 0, ['ahead']);
  hub.clock.setWall(START + 1000);
  await append(hub.log(), 0, ['back']);
  const times = (await hub.log().read(0, 0, 10_000)).map(({ time }) => time);
  assert.ok(
    times.every((time) => time === START + 2 * DAY),
    `${times}`,
  );
  const { reason } = await clockCheck(hub.time(), hub.log(), hub.clock).look();
  assert.match(
    reason ?? '',
    /^the clock is 47 hours behind the newest event: until then every event gets its time, 2026-01-03T/,
  );
  await hub.close();
});

test('a hub that is restarted every day deletes after its retention, also when nothing more comes', async () => {
  const hub = await scene();
  await append(hub.log(), 0, texts(0, 20));
  await hub.pass(23 * HOUR);
  await hub.restart(60_000);
  assert.equal((await readAll(hub.log(), 0)).length, 20, 'not before');
  await hub.pass(23 * HOUR);
  await hub.restart(60_000);
  await hub.pass(6 * HOUR);
  assert.equal((await readAll(hub.log(), 0)).length, 0);
  await hub.close();
});

test('a board without a clock: 1970 at every start, then NTP; days count, the jumps do not', async () => {
  const clock = new VirtualClock(0);
  const hub = await scene(clock);
  clock.advance(30_000);
  clock.setWall(START);
  await append(hub.log(), 0, texts(0, 20));
  await hub.pass(20 * HOUR);
  clock.setWall(0);
  await hub.restart();
  await hub.pass(60_000);
  clock.setWall(START + DAY);
  await hub.pass(HOUR);
  assert.equal((await readAll(hub.log(), 0)).length, 20);
  await hub.pass(6 * HOUR);
  assert.equal((await readAll(hub.log(), 0)).length, 0);
  await hub.close();
});

test('weeks of running: what is kept is always the last day, and the file stays small', async () => {
  const hub = await scene();
  for (let day = 0; day < 14; day++) {
    await append(hub.log(), 0, texts(day * 10, 10));
    await hub.pass(DAY / 2);
    if (day % 3 === 0) await hub.restart(60_000);
    const first = Number((await readAll(hub.log(), 0))[0]?.split(' ')[0]);
    assert.ok(first >= day * 10 - 60 && first <= day * 10, `${first} is the first on day ${day}`);
  }
  await hub.time().keep();
  const { length } = readFileSync(path.join(hub.folder, RUNNING_TIME_FILE), 'utf8');
  assert.ok(length < 40 * limits.ageMarksMax, `${length}`);
  await hub.close();
});

test('without its file, or with a damaged one, events count as written at the start: longer, never shorter', async () => {
  for (const damage of [undefined, '{"passedMs":-5,"wall":0,"marks":{}}']) {
    const hub = await scene();
    await append(hub.log(), 0, texts(0, 10));
    await hub.pass(20 * HOUR);
    await hub.log().close();
    await hub.time().close();
    const file = path.join(hub.folder, RUNNING_TIME_FILE);
    if (damage === undefined) rmSync(file);
    else writeFileSync(file, damage);
    const again = await scene(hub.clock, hub.folder);
    await again.pass(20 * HOUR);
    assert.equal((await readAll(again.log(), 0)).length, 10);
    await again.pass(6 * HOUR);
    assert.equal((await readAll(again.log(), 0)).length, 0);
    await again.close();
  }
});
