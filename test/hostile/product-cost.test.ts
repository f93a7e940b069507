/** What a peer can multiply does not multiply the hub's work: many of one thing cost no more for each of another. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import { ReceiptTurns } from '../../src/core/commands/receipt-turns.ts';
import type { ReceiptBatch } from '../../src/core/commands/types.ts';
import { HubError } from '../../src/core/errors.ts';
import { createGuard, silentAudit } from '../../src/core/identity/guard.ts';
import type { Permission, Principal } from '../../src/core/identity/types.ts';
import { parseQuery } from '../../src/core/query/statement.ts';
import { Channels } from '../../src/protocols/amqp/engine/channels.ts';
import { Intake } from '../../src/protocols/amqp/engine/intake.ts';
import { KeptBytes, UnprovedBytes } from '../../src/protocols/amqp/engine/kept-bytes.ts';
import type { OutgoingDelivery } from '../../src/protocols/amqp/engine/link-session.ts';
import type { OutgoingLink } from '../../src/protocols/amqp/engine/outgoing-link.ts';
import { Unsettled } from '../../src/protocols/amqp/engine/unsettled.ts';
import { Wakes } from '../../src/protocols/amqp/engine/wakes.ts';
import { Grants } from '../../src/protocols/amqp/grants.ts';
import { FrameSplitter, PROTOCOL_AMQP, protocolHeader } from '../../src/wire/amqp/frames.ts';
import { emptyFrame } from '../../src/wire/amqp/performatives.ts';
import { Described } from '../../src/wire/amqp/values.ts';
import { decodePacket } from '../../src/wire/mqtt/decode.ts';
import { MalformedPacket } from '../../src/wire/mqtt/packets.ts';
import { attach, begin } from '../drivers/amqp-bytes.ts';
import { cpuMsOf, without } from './cost.ts';

test('links that wait are woken once for all flows of a turn, a share of them in each turn', async () => {
  const turns: (() => void)[] = [];
  const wakes = new Wakes((callback) => turns.push(callback));
  let woken = 0;
  const session = {};
  const links = Array.from({ length: 1000 }, () => {
    const link = { session, isOpen: true, onSendable: () => {} } as unknown as OutgoingLink;
    link.onSendable = () => {
      woken++;
      wakes.wait(link);
    };
    return link;
  });
  for (const link of links) wakes.wait(link);
  for (let flow = 0; flow < 100; flow++) wakes.widened(session);
  assert.equal(woken, limits.amqpWakesPerTurn);
  for (let turn = 0; turn < 10; turn++) turns.shift()?.();
  assert.equal(woken, 11 * limits.amqpWakesPerTurn);
  while (turns.length > 0) turns.shift()?.();
  // A hundred flows of one turn woke nobody twice but those whom the first of them had woken before the others came.
  assert.equal(woken, links.length + limits.amqpWakesPerTurn);
  wakes.widened({});
  assert.equal(turns.length, 0);
  await without(['amqpWakesPerTurn'], async () => {
    const unbounded = new Wakes((callback) => turns.push(callback));
    for (const link of links) unbounded.wait(link);
    woken = 0;
    unbounded.widened(session);
    assert.equal(woken, links.length, 'without the bound');
  });
});

test('a disposition looks at no more deliveries than it names or there are, and says how many', () => {
  let worked = 0;
  let places = 0;
  const unsettled = new Unsettled(0, () => {}, {
    take: () => true,
    leave: (count) => {
      places += count;
    },
    worked: (deliveries) => {
      worked += deliveries;
    },
  });
  const settled: number[] = [];
  const link = { isOpen: true } as unknown as OutgoingLink;
  for (let id = 0; id < limits.amqpUnsettledMax; id++) {
    const delivery: OutgoingDelivery = {
      link,
      settle: async () => {
        settled.push(id);
        return { kind: 'accepted' };
      },
    };
    unsettled.add(id, delivery);
  }
  const all = { first: 0, last: 0xffffffff };
  const accepted = new Described(0x24, []);
  unsettled.disposition(all, false, null);
  assert.equal(worked, 0, 'nothing is decided, nothing is looked at');
  unsettled.disposition({ first: 10, last: 12 }, true, accepted);
  assert.ok(worked <= 3);
  unsettled.disposition({ first: 1_000_000, last: 0xffffffff }, true, accepted);
  assert.ok(worked <= limits.amqpUnsettledMax + 3);
  unsettled.disposition(all, true, accepted);
  assert.equal(settled.length, limits.amqpUnsettledMax);
  assert.equal(places, limits.amqpUnsettledMax);
  worked = 0;
  unsettled.disposition(all, true, accepted);
  assert.equal(worked, 0, 'there is nothing left to look at');
});

test('the share of a connection in a turn counts work, not frames', async () => {
  let taken: string[] = [];
  const intakeOf = (name: string, units: number): Intake => {
    const intake = new Intake(limits.amqpFrameBytesMaxUnauthenticated, {
      take: () => {
        taken.push(name);
        intake.worked(units);
      },
      failed: (error: unknown) => assert.fail(String(error)),
      pause: () => {},
      resume: () => {},
      cork: () => {},
      uncork: () => {},
    });
    intake.push(protocolHeader(PROTOCOL_AMQP));
    return intake;
  };
  const frames = Buffer.concat(Array.from({ length: 1000 }, () => emptyFrame));
  const heavy = intakeOf('heavy', limits.amqpWorkPerTurn / 4);
  const light = intakeOf('light', 0);
  heavy.push(frames);
  light.push(frames);
  const count = (name: string): number => taken.filter((each) => each === name).length;
  assert.equal(count('heavy'), 4);
  assert.equal(count('light'), limits.amqpWorkPerTurn);
  heavy.clear();
  light.clear();
  taken = [];
  await without(['amqpWorkPerTurn'], async () => intakeOf('unbounded', 0).push(frames));
  assert.equal(taken.length, 1001, 'without the bound');
});

test('an attach counts as what it costs, not as one frame', async () => {
  let worked = 0;
  let attached = 0;
  const kept = new KeptBytes(new UnprovedBytes(), () => {});
  const host = {
    write: () => {},
    peerFrameBytesMax: () => limits.amqpFrameBytesMax,
    linkAttached: () => void attached++,
    worked: (units: number) => {
      worked += units;
    },
  };
  const channels = new Channels(host, kept);
  const splitter = new FrameSplitter(limits.amqpFrameBytesMax);
  const count = 20;
  const wire = [begin(0), ...Array.from({ length: count }, (_, handle) => attach(0, 'l', handle, true, 'nothing'))];
  for (const input of splitter.push(Buffer.concat([protocolHeader(PROTOCOL_AMQP), ...wire]))) {
    if (input.kind === 'frame' && input.code !== undefined) channels.frame(input, input.code);
  }
  assert.equal(attached, count);
  assert.ok(worked >= 10 * count, `${worked} units`);
  kept.leave();
});

test('thousands who ask for receipts are one question where there are none', async () => {
  const turns = new ReceiptTurns();
  const batches: ReceiptBatch[] = [];
  let asked = 0;
  const ask = async (): Promise<ReceiptBatch | undefined> => {
    asked++;
    await new Promise((resolve) => setImmediate(resolve));
    return batches.shift();
  };
  const none = await Promise.all(Array.from({ length: 8000 }, () => turns.take(ask)));
  assert.deepEqual(new Set(none), new Set([undefined]));
  assert.equal(asked, 1);
  // What there is is handed out, each to one; a store that fails tells the one who has asked.
  const [one, two] = ['1', '2'].map((lockToken) => ({ lockToken }) as ReceiptBatch);
  batches.push(one, two);
  const failing = turns.take(() => Promise.reject(new HubError('ServiceUnavailable')));
  const rest = Promise.all([turns.take(ask), turns.take(ask), turns.take(ask), turns.take(ask)]);
  await assert.rejects(failing, { code: 'ServiceUnavailable' });
  assert.deepEqual(await rest, [one, two, undefined, undefined]);
  assert.equal(asked, 4);
});

function policy(permissions: readonly Permission[], at: number): Principal {
  return {
    kind: 'policy',
    policyName: `p${at}`,
    permissions: new Set(permissions),
    scope: [],
    expiresAt: Number.MAX_SAFE_INTEGER,
  } as unknown as Principal;
}

test('a link asks its tokens without an error for each that does not allow it', async () => {
  const guard = createGuard({ now: () => 0 }, silentAudit);
  const grants = new Grants();
  for (let at = 0; at < limits.amqpPolicyTokensMax; at++) grants.add(`n${at}`, policy(['RegistryRead'], at), 't');
  assert.throws(() => grants.add('more', policy(['RegistryRead'], 0), 't'), { code: 'IotHubQuotaExceeded' });
  const refused = await cpuMsOf(() => {
    for (let time = 0; time < 200; time++) assert.throws(() => grants.demand(guard, 'events.read'));
  });
  const errors = await cpuMsOf(() => {
    for (let count = 0; count < 200 * limits.amqpPolicyTokensMax; count++) new HubError('IotHubUnauthorized');
  });
  assert.ok(refused < errors / 2, `${refused.toFixed(1)} ms; an error for each takes ${errors.toFixed(1)} ms`);
});

test('a device has one proof, whatever names its tokens were put for', () => {
  const grants = new Grants();
  const device = (expiresAt: number): Principal =>
    ({ kind: 'device', key: { deviceId: 'd1' }, generationId: '1', expiresAt }) as unknown as Principal;
  for (let at = 1; at <= 2 * limits.amqpTokensMax; at++) grants.add(`localhost/devices/d1/${at}`, device(at), 't');
  assert.equal(grants.device({ deviceId: 'd1' })?.expiresAt, 2 * limits.amqpTokensMax);
  assert.equal(grants.nextExpiry, 2 * limits.amqpTokensMax);
  grants.expire(2 * limits.amqpTokensMax);
  assert.equal(grants.isEmpty, true);
});

test('filters of one MQTT packet are counted before they are kept', async () => {
  const count = 80_000;
  const filters = Buffer.concat(Array.from({ length: count }, () => Buffer.from([0, 1, 0x61, 0])));
  const packet = Buffer.concat([Buffer.from([0x82, 0, 0, 1]), filters]);
  const read = (): unknown => decodePacket(packet, 0, 2, packet.length);
  const refused = await cpuMsOf(() => assert.throws(read, MalformedPacket), 5);
  const all = await without(['mqttFiltersPerPacketMax'], () => cpuMsOf(read, 5));
  assert.ok(all > 10 * refused, `${refused} ms; all of them ${all} ms`);
});

test('names to group by and aggregates are parts of a query: neither can be many of each other', async () => {
  const many = (part: string, count: number): string => Array(count).fill(part).join();
  const queries = [
    `SELECT ${many('z', 250)} FROM devices GROUP BY ${many('a', 3700)},z`,
    `SELECT ${many('COUNT()', 900)} FROM devices GROUP BY deviceId`,
  ];
  for (const text of queries) {
    assert.throws(() => parseQuery(text), /more than 256 parts/);
    await without(['queryTermsMax'], async () => assert.ok(parseQuery(text), 'without the bound'));
  }
});
