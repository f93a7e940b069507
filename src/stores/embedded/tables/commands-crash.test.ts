/**
 * `kill -9` of a process that sends, takes and settles commands: what it was told is so, and no receipt says otherwise.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../../base/clock.ts';
import { silentLog } from '../../../base/log.ts';
import { defaultCommandLimits } from '../../../core/commands/rules.ts';
import type { Command } from '../../../core/commands/types.ts';
import { admitIdentities, newCommand } from '../../contract/fresh-queue.ts';
import { type EmbeddedTables, openEmbeddedTables } from './tables.ts';

const writer = fileURLToPath(new URL('../../contract/commands-writer.ts', import.meta.url));
const SEED = Number(process.env.MOORING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const ROUNDS = 4;
const NOW = Date.UTC(2026, 0, 1);
const cipher = { keys: [Buffer.alloc(32, 1)], source: 'test' };

/** What the killed process was told of one command, the last word counting. */
interface Told {
  readonly deviceId: string;
  readonly sequence: number;
  messageId?: string;
  outcome?: string;
}

test('after kill -9 each command is where its sender and its device were told, and every receipt is true', async (t) => {
  t.diagnostic(`MOORING_TEST_SEED=${SEED}`);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-commands-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'hub.db');
  const told = new Map<string, Told>();
  /** `device message-id` -> outcomes of all receipts ever read. */
  const receipts = new Map<string, string[]>();
  for (let round = 0; round < ROUNDS; round++) {
    await writeUntilKilled(file, round, told);
    const tables = await openEmbeddedTables({ file, cipher, log: silentLog, clock: systemClock });
    await readReceipts(tables, receipts);
    await check(tables, told, receipts);
    await tables.close();
  }
  const outcomes = [...told.values()].filter((command) => command.outcome !== undefined).length;
  t.diagnostic(`${told.size} commands acknowledged, ${outcomes} ended, ${receipts.size} receipts`);
  assert.ok(told.size > ROUNDS * 100 && outcomes > 100, 'the load was a load');
});

async function writeUntilKilled(file: string, round: number, told: Map<string, Told>): Promise<void> {
  const child = spawn(process.execPath, [writer, file, `r${round}`, String(SEED + round)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let lines = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const [what, deviceId, sequence, detail] = line.split(' ');
    const command = told.get(`${deviceId} ${sequence}`) ?? { deviceId, sequence: Number(sequence) };
    told.set(`${deviceId} ${sequence}`, command);
    if (what === 'enqueued') {
      assert.equal(command.messageId, undefined, `number ${sequence} of ${deviceId} is given once`);
      command.messageId = detail;
    }
    if (what === 'ended') command.outcome = detail;
    if (++lines === 500 + round * 333) child.kill('SIGKILL');
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  assert.equal(child.signalCode, 'SIGKILL');
}

async function readReceipts({ commandQueue: queue }: EmbeddedTables, receipts: Map<string, string[]>): Promise<void> {
  for (;;) {
    const request = { lockToken: 'r', count: 500, lockMs: 1000, notAfter: NOW, reader: '', endedBefore: 0 };
    const batch = await queue.lockReceipts(request, NOW);
    if (batch === undefined) return;
    for (const { deviceId, originalMessageId, outcome } of batch.receipts) {
      const name = `${deviceId} ${originalMessageId}`;
      receipts.set(name, [...(receipts.get(name) ?? []), outcome]);
    }
    assert.equal(await queue.settleReceipts('r', 'complete', NOW), true);
  }
}

async function check(
  { commandQueue: queue }: EmbeddedTables,
  told: ReadonlyMap<string, Told>,
  receipts: ReadonlyMap<string, readonly string[]>,
): Promise<void> {
  const devices = [...new Set([...told.values()].map((command) => command.deviceId))];
  const open = new Map(devices.map((deviceId) => [deviceId, 0]));
  const accounted = new Set<string>();
  let [waiting, locked] = [0, 0];
  for (const deviceId of devices) {
    const most = Math.max(...[...told.values()].map((entry) => (entry.deviceId === deviceId ? entry.sequence : 0)));
    // One more may have been stored than was told of.
    for (let sequence = 1; sequence <= most + 1; sequence++) {
      const [command] = await queue.find({ deviceId }, { sequence });
      const said = told.get(`${deviceId} ${sequence}`);
      if (command === undefined) {
        assert.equal(said, undefined, `${deviceId} ${sequence} was accepted and is gone`);
        continue;
      }
      checkCommand(command, said, receipts);
      accounted.add(`${deviceId} ${command.message.messageId}`);
      if (command.state.kind !== 'ended') open.set(deviceId, open.get(deviceId)! + 1);
      if (command.state.kind === 'enqueued') waiting++;
      if (command.state.kind === 'locked') locked++;
    }
    assert.equal(await queue.depth({ deviceId }, NOW), open.get(deviceId));
  }
  assert.deepEqual(
    [...receipts.keys()].filter((name) => !accounted.has(name)),
    [],
    'no receipt without its command',
  );
  const totals = await queue.totals(NOW);
  assert.deepEqual([totals.waiting, totals.locked], [waiting, locked]);
}

function checkCommand(
  command: Command,
  said: Told | undefined,
  receipts: ReadonlyMap<string, readonly string[]>,
): void {
  const { state, message, target } = command;
  const name = `${target.deviceId} ${message.messageId}`;
  if (said?.messageId !== undefined) assert.equal(message.messageId, said.messageId);
  assert.equal(Buffer.from(message.body).toString(), `body of ${message.messageId}`);
  const outcome = state.kind === 'ended' ? state.outcome : undefined;
  if (said?.outcome !== undefined) assert.equal(outcome, said.outcome, name);
  assert.deepEqual(receipts.get(name) ?? [], outcome === undefined ? [] : [outcome], `receipts of ${name}`);
}

test('numbers are not given again after a crash, a deletion and a new creation', async (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-commands-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'hub.db');
  const told = new Map<string, Told>();
  await writeUntilKilled(file, 0, told);
  const tables = await openEmbeddedTables({ file, cipher, log: silentLog, clock: systemClock });
  const target = { deviceId: 'd0' };
  const most = Math.max(...[...told.values()].map((entry) => (entry.deviceId === 'd0' ? entry.sequence : 0)));
  await tables.identities.write([{ kind: 'delete', key: target, ifMatch: '*' }]);
  await admitIdentities(tables.identities, [target], 'g2');
  const command = newCommand('new', { target, generationId: 'g2' });
  const next = await tables.commandQueue.enqueue(command, defaultCommandLimits, NOW);
  assert.ok(next.kind === 'enqueued' && next.sequence > most);
  await tables.close();
});
