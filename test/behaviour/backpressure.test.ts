/** A disk slower than what comes in, under the real journal and behind real sockets. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { silentLog } from '../../src/base/log.ts';
import { seededRandom } from '../../src/base/random.ts';
import { createEvents } from '../../src/core/events/events.ts';
import type { EventLog } from '../../src/core/events/ports.ts';
import type { MonitoringReport } from '../../src/core/monitoring/types.ts';
import { openAmqpDoor } from '../../src/protocols/amqp/server.ts';
import { openMqttDoor } from '../../src/protocols/mqtt/server.ts';
import { recordCodec } from '../../src/records/record-codec.ts';
import { openEmbeddedEventLog } from '../../src/stores/embedded/event-log/event-log.ts';
import { type JournalFile, type JournalFiles, systemFiles } from '../../src/stores/embedded/event-log/files.ts';
import { createMemoryConsumerGroupStore } from '../../src/stores/memory/consumer-groups.ts';
import { AmqpDriver } from '../drivers/amqp.ts';
import { MqttDriver, publishPacket } from '../drivers/mqtt.ts';
import { signed } from '../drivers/mqtt-door.ts';
import { owner } from '../drivers/owner.ts';
import { openPlainHub } from '../drivers/plain-hub.ts';
import { until } from '../drivers/until.ts';

const DEVICES = 4;
/** Of each device: together far more than the hub may hold and the system's socket buffers do. */
const MESSAGES = 120;
const BODY_BYTES = 200_000;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The machine's files, whose syncs wait until they are let go, one by one. */
function haltingFiles() {
  const waiting: (() => void)[] = [];
  let halts = false;
  const halting = (file: JournalFile): JournalFile => ({
    ...file,
    sync: async () => {
      if (halts) await new Promise<void>((resolve) => waiting.push(resolve));
      await file.sync();
    },
  });
  const files: JournalFiles = {
    ...systemFiles,
    create: async (name) => halting(await systemFiles.create(name)),
    open: async (name) => halting(await systemFiles.open(name)),
  };
  return {
    files,
    halt: () => {
      halts = true;
    },
    release: () => waiting.shift()?.(),
    end: () => {
      halts = false;
      for (const resolve of waiting.splice(0)) resolve();
    },
  };
}

async function openHub(folder: string, files: JournalFiles) {
  const clock = new VirtualClock();
  const random = seededRandom(1);
  const name = 'mooring';
  const log = await openEmbeddedEventLog({
    ...{ folder, name, partitionCount: 4, retentionMs: 3_600_000, clock, random, files },
  });
  const consumerGroups = createMemoryConsumerGroupStore();
  const told: MonitoringReport[] = [];
  const { hub } = await openPlainHub({
    ...{ name, hosts: ['localhost'], clock, random, log: silentLog },
    events: (guard) => createEvents({ guard, telemetry: log, consumerGroups, codec: recordCodec, clock }),
    recorder: { record: (report) => void told.push(report) },
  });
  const door = await openMqttDoor(hub, { name: 'mqttPort', port: 0, addresses: ['127.0.0.1'] });
  /** Of a new device. */
  const token = async (deviceId: string): Promise<string> => {
    const { authentication } = await hub.registry.put(owner, { deviceId });
    const key = authentication.symmetricKey?.primaryKey ?? '';
    return signed(`localhost/devices/${deviceId}`, key, clock.now() + 3_600_000);
  };
  const device = async (deviceId: string): Promise<MqttDriver> => {
    const password = Buffer.from(await token(deviceId));
    const username = `localhost/${deviceId}/?api-version=2021-04-12`;
    const { client, returnCode } = await MqttDriver.connect(
      { port: door.port },
      { clientId: deviceId, username, password },
    );
    assert.equal(returnCode, 0);
    return client;
  };
  const close = async (): Promise<void> => {
    await door.stopAccepting();
    const drained = door.drain();
    clock.advance(60_000);
    await drained;
    await log.close();
  };
  return { hub, log, clock, token, device, told, close };
}

/** What was told of slowing since the last time. */
function slowed(told: MonitoringReport[]): readonly unknown[] {
  return told.splice(0).filter((report) => report.type === 'throttled');
}

const storedCount = (log: EventLog): number =>
  Array.from({ length: log.partitionCount }, (_, partition) => log.lastKnown(partition).lastSequence + 1).reduce(
    (sum, count) => sum + count,
    0,
  );

test('a disk slower than what comes in: sockets are not read, memory is bounded, nothing is lost', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'mooring-'));
  const disk = haltingFiles();
  const { log, clock, device, told, close } = await openHub(folder, disk.files);
  try {
    const names = Array.from({ length: DEVICES }, (_, at) => `d${at}`);
    const clients = await Promise.all(names.map(device));
    disk.halt();
    const body = Buffer.alloc(BODY_BYTES, 'x');
    for (const [at, client] of clients.entries()) {
      const topic = `devices/${names[at]}/messages/events/`;
      for (let messageId = 1; messageId <= MESSAGES; messageId++) {
        client.send(publishPacket({ topic, payload: body, qos: 1, messageId }));
      }
    }
    /** One message of each device may come in the turn in which the bound is met. */
    const bytesMax = limits.writerBytesMax + DEVICES * (BODY_BYTES + 1024);
    await until('the writer is congested', () => log.writer.congested);
    // A device may still come, and by its handshake there were many turns in which too much could have been read.
    const late = await device('late');
    for (let turns = 0; turns < 200; turns++) await turn();
    assert.ok(log.stats().pendingBytes <= bytesMax, `${log.stats().pendingBytes} bytes wait`);
    // One event for all of them, as long as the clock stands still: it is the hub's limit.
    const [first, ...more] = slowed(told) as { readonly limit?: { readonly current: number } }[];
    const current = first?.limit?.current ?? 0;
    const max = limits.writerBytesMax;
    assert.deepEqual(first, {
      ...{ type: 'throttled', effect: 'slowed', operation: 'telemetry.send' },
      limit: { name: 'writerBytesMax', scope: 'hub', current, max },
    });
    assert.deepEqual(more, []);
    assert.ok(current >= max && current <= bytesMax, `${current}`);
    clock.advance(limits.monitoringSlowedMs);
    assert.equal(slowed(told).length, 1, 'and one for each further second');
    assert.ok(
      clients.every(({ socket }) => socket.writableLength > 0),
      'what is not read waits with the devices',
    );
    assert.equal(storedCount(log), 0);
    assert.ok(
      clients.every(({ unread }) => unread.length === 0),
      'nothing is acknowledged',
    );

    let most = 0;
    const answers = clients.map(async (client) => {
      for (let messageId = 1; messageId <= MESSAGES; messageId++) {
        assert.equal((await client.next('puback')).messageId, messageId);
      }
    });
    let isOver = false;
    const all = Promise.all(answers).finally(() => {
      isOver = true;
    });
    while (!isOver) {
      most = Math.max(most, log.stats().pendingBytes);
      disk.release();
      await turn();
    }
    await all;
    assert.ok(most <= bytesMax, `${most} bytes waited`);
    assert.equal(storedCount(log), DEVICES * MESSAGES);
    clock.advance(2 * limits.monitoringSlowedMs);
    slowed(told);
    clock.advance(2 * limits.monitoringSlowedMs);
    assert.deepEqual(slowed(told), [], 'and none when the disk has kept up again');
    for (const client of [...clients, late]) client.destroy();
  } finally {
    disk.end();
    await close();
    await rm(folder, { recursive: true });
  }
});

test('over AMQP the same disk is told of by the same event', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'mooring-'));
  const disk = haltingFiles();
  const { hub, log, clock, token, told, close } = await openHub(folder, disk.files);
  const door = await openAmqpDoor(hub, { name: 'amqpPort', port: 0, addresses: ['127.0.0.1'], redirectPort: 5671 });
  try {
    disk.halt();
    const client = await AmqpDriver.connect(door.port, {});
    await client.putToken(await token('d1'), 'localhost/devices/d1');
    const sender = client.send('/devices/d1/messages/events');
    await sender.opened();
    const body = Buffer.alloc(BODY_BYTES, 'x');
    const pump = (): void => {
      while (sender.link.sendable() && !log.writer.congested && sent++ < MESSAGES) sender.link.send({ body });
    };
    let sent = 0;
    sender.link.on('sendable', pump);
    pump();
    await until('the writer is congested', () => log.writer.congested);
    const [first] = slowed(told) as { readonly deviceId?: string; readonly limit?: { readonly name: string } }[];
    assert.deepEqual([first?.limit?.name, first?.deviceId], ['writerBytesMax', undefined]);
    disk.end();
    await until('the writer is relieved', () => !log.writer.congested);
    clock.advance(2 * limits.monitoringSlowedMs);
    slowed(told);
    clock.advance(2 * limits.monitoringSlowedMs);
    assert.deepEqual(slowed(told), []);
    await client.close();
  } finally {
    disk.end();
    await door.stopAccepting();
    const drained = door.drain();
    clock.advance(60_000);
    await drained;
    await close();
    await rm(folder, { recursive: true });
  }
});
