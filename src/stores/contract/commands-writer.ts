/**
 * A program for tests that kill it: sends, takes and settles commands of some devices as fast as they are acknowledged,
 * and prints what was acknowledged. Arguments: database file, prefix of the message ids, seed.
 *
 *     enqueued <device> <sequence> <message id>
 *     locked <device> <sequence> <token>
 *     ended <device> <sequence> <outcome>      again <device> <sequence>
 */
import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { seededRandom } from '../../base/random.ts';
import type { Settlement } from '../../core/commands/lifecycle.ts';
import { defaultCommandLimits } from '../../core/commands/rules.ts';
import { openEmbeddedTables } from '../embedded/tables/tables.ts';
import { admitIdentities, newCommand } from './fresh-queue.ts';

const DEVICES = 12;
/** The time that all of it happens at: nothing runs out meanwhile. */
const NOW = Date.UTC(2026, 0, 1);
const settlements: readonly Settlement[] = ['complete', 'reject', 'abandon', 'complete'];
const limits = { ...defaultCommandLimits, deliveryCountMax: 2 };

const [file, prefix, seed] = process.argv.slice(2);
const cipher = { keys: [Buffer.alloc(32, 1)], source: 'test' };
const tables = await openEmbeddedTables({ file, cipher, log: silentLog, clock: systemClock });
const queue = tables.commandQueue;
await admitIdentities(
  tables.identities,
  Array.from({ length: DEVICES }, (_, nth) => ({ deviceId: `d${nth}` })),
);
const say = (...words: readonly unknown[]): boolean => process.stdout.write(`${words.join(' ')}\n`);

async function useDevice(deviceId: string, random: ReturnType<typeof seededRandom>): Promise<void> {
  const target = { deviceId };
  for (let nth = 0; ; nth++) {
    const messageId = `${prefix}-${deviceId}-${nth}`;
    const sent = await queue.enqueue(newCommand(messageId, { target, expiresAt: NOW + 3_600_000 }), limits, NOW);
    if (sent.kind === 'enqueued') say('enqueued', deviceId, sent.sequence, messageId);
    const tokens = [`${messageId}-a`, `${messageId}-b`].slice(0, Math.floor(random.next() * 3));
    const lock = { tokens, holder: 'c', lockMs: limits.lockMs };
    for (const command of await queue.lockNext(target, 'g1', lock, NOW)) {
      if (command.state.kind !== 'locked') throw new Error('a command was handed over without a lock');
      const { lockToken } = command.state;
      say('locked', deviceId, command.sequence, lockToken);
      if (random.next() < 0.1) continue;
      const settlement = settlements[Math.floor(random.next() * settlements.length)];
      const settled = await queue.settle(target, lockToken, settlement, limits, NOW);
      if (settled.kind === 'ended') say('ended', deviceId, command.sequence, settled.outcome);
      else say(settled.kind, deviceId, command.sequence);
    }
    if (random.next() < 0.02) await queue.releaseHolder(target, 'c', NOW);
  }
}

await Promise.all(
  Array.from({ length: DEVICES }, (_, nth) => useDevice(`d${nth}`, seededRandom(Number(seed) * DEVICES + nth))),
);
