/**
 * `kill -9` of a gateway that stores and sends, again and again on one folder: what a device was told is stored reaches the hub, in order
 * per device. MOORING_TEST_GATEWAY_KILLS sets the rounds (50 for a release), MOORING_TEST_SEED the seed.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.ts';
import { readBatch } from '../../src/wire/gateway/batch.ts';

const ROUNDS = Number(process.env.MOORING_TEST_GATEWAY_KILLS ?? 6);
const SEED = Number(process.env.MOORING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const writer = path.join(import.meta.dirname, 'gateway-queue-writer.ts');

test(`kill -9 of a gateway's queue, ${ROUNDS} times: nothing that was told as stored is lost, and all of it in order`, {
  timeout: 30_000 + ROUNDS * 5000,
}, async (t) => {
  t.diagnostic(`MOORING_TEST_SEED=${SEED} MOORING_TEST_GATEWAY_KILLS=${ROUNDS}`);
  const random = seededRandom(SEED);
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-gateway-kill-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  let stored = 0;
  /** Told as stored, and not with the hub yet. */
  const waiting = new Set<number>();
  const taken = new Set<number>();
  let next = 0;
  let repeated = 0;
  const isDrained = (before: number): boolean => {
    for (const n of waiting) if (n < before) return false;
    return true;
  };
  for (let round = 0; round < ROUNDS + 1; round++) {
    const isLast = round === ROUNDS;
    // Some rounds without a link, so that there is a backlog; the last one only drains.
    const isLinked = isLast || random.next() < 0.6;
    const child = spawn(process.execPath, [writer, folder, String(next), isLinked ? 'linked' : 'alone'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const lines = createInterface(child.stdout);
    const ofRound = new Map<string, number>();
    const limit = Math.floor(random.next() * 3000) + 50;
    const firstOfRound = next;
    let seen = 0;
    lines.on('line', (line) => {
      const [word, rest] = line.split(' ');
      if (word === 'stored') {
        stored++;
        if (!taken.has(Number(rest))) waiting.add(Number(rest));
        next = Math.max(next, Number(rest) + 1);
      } else if (word === 'batch') {
        for (const { device, body } of readBatch(Buffer.from(rest, 'base64'))) {
          const n = Number(Buffer.from(body).toString());
          if (taken.has(n)) repeated++;
          taken.add(n);
          waiting.delete(n);
          // The numbers of a lane go up; lanes are told apart by whether the message was made in this round.
          const lane = `${device.deviceId} ${n >= firstOfRound ? 'live' : 'backlog'}`;
          assert.ok(n > (ofRound.get(lane) ?? -1), `${lane}: ${n} behind ${ofRound.get(lane)}`);
          ofRound.set(lane, n);
        }
        // Now and then the hub's answer is what the kill comes before.
        if (child.stdin.writable) child.stdin.write('ok\n');
      }
      if (++seen >= limit && !isLast && child.exitCode === null) child.kill('SIGKILL');
      if (isLast && isDrained(firstOfRound)) child.kill('SIGKILL');
    });
    child.stdin.on('error', () => {});
    await Promise.all([once(child, 'exit'), once(lines, 'close')]);
    // Ends by its time, if something never arrives.
    if (isLast) assert.ok(isDrained(firstOfRound));
    // What was taken onto the disk and not told yet has numbers of its own.
    next += 1000;
  }
  t.diagnostic(`${stored} stored, ${taken.size} arrived, ${repeated} came again`);
  assert.ok(stored > ROUNDS * 50);
});
