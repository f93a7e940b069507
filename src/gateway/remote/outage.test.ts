/**
 * A gateway on a ship: 1,000 devices with a message of 64 bytes a minute each, no link for 48 hours, then one of 64 kbit/s. Time and link
 * are simulated, queue and disk are real. MOORING_TEST_GATEWAY_HOURS=48 is the whole of it; a twentieth is in every run of the tests.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { readBatch } from '../../wire/gateway/batch.ts';
import { type BatchLink, Forwarder } from './forwarder.ts';
import { Queue } from './queue.ts';
import { GatewayStore } from './store.ts';

const HOURS = Number(process.env.MOORING_TEST_GATEWAY_HOURS ?? 2.4);
const DEVICES = 1000;
const MINUTE = 60_000;
const BYTES_PER_SECOND = 64_000 / 8;
/** Of a batch beside its own bytes: transfer, disposition, TLS records, IP and TCP of both directions. */
const ENVELOPE_BYTES = 400;
/** Of each packet of 1,448 bytes: Ethernet apart, headers of IP and TCP. */
const packets = (bytes: number): number => Math.ceil(bytes / 1448) * 52;
const ROUND_TRIP_MS = 700;
const STEP_MS = 1000;

/** Twelve bytes that say something look as random as the others, so that nothing of a body can be compressed; twice is undone. */
function masked(body: Buffer): Buffer {
  for (let at = 0; at < 12; at++) body[at] ^= body[63 - at];
  return body;
}

/** Carries batches one after the other, as fast as it is; the hub notes what came. */
class SlowLink implements BatchLink {
  readonly #clock: VirtualClock;
  #busyUntil = 0;
  bytes = 0;
  messages = 0;
  /** Longest time from creation to arrival of messages that were made since the link is there. */
  oldestLiveMs = 0;
  readonly #last: { readonly live: Int32Array; readonly backlog: Int32Array };
  readonly #seen: Uint8Array[];
  #linkedAt = 0;

  constructor(clock: VirtualClock, perDevice: number) {
    this.#clock = clock;
    this.#last = { live: new Int32Array(DEVICES).fill(-1), backlog: new Int32Array(DEVICES).fill(-1) };
    this.#seen = Array.from({ length: DEVICES }, () => new Uint8Array(perDevice));
  }

  begin(): void {
    this.#linkedAt = this.#clock.monotonic();
  }

  send(batch: Buffer): Promise<readonly never[]> {
    const bytes = batch.length + ENVELOPE_BYTES + packets(batch.length);
    this.bytes += bytes;
    const start = Math.max(this.#clock.monotonic(), this.#busyUntil);
    this.#busyUntil = start + (bytes / BYTES_PER_SECOND) * 1000;
    return new Promise((resolve) => {
      this.#clock.after(this.#busyUntil + ROUND_TRIP_MS - this.#clock.monotonic(), () => {
        this.#take(batch);
        resolve([]);
      });
    });
  }

  #take(batch: Buffer): void {
    for (const { device: of, body } of readBatch(batch)) {
      const { deviceId } = of;
      const device = Number(deviceId.slice(-4));
      const bytes = masked(Buffer.from(body));
      const n = bytes.readInt32LE(0);
      const madeAt = bytes.readDoubleLE(4);
      const isLive = madeAt >= this.#linkedAt;
      const last = this.#last[isLive ? 'live' : 'backlog'];
      assert.ok(n > last[device], `${deviceId}: ${n} behind ${last[device]}`);
      last[device] = n;
      assert.equal(this.#seen[device][n], 0, `${deviceId}: ${n} came twice`);
      this.#seen[device][n] = 1;
      this.messages++;
      if (isLive) this.oldestLiveMs = Math.max(this.oldestLiveMs, this.#clock.monotonic() - madeAt);
    }
  }
}

test(`an outage of ${HOURS} h of 1,000 devices is made good within half of its time, beside what is live`, {
  timeout: 60_000 + HOURS * 20_000,
}, async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-outage-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const clock = new VirtualClock();
  let store = new GatewayStore({ folder, clock });
  t.after(() => store.close());
  const open = (): Queue => new Queue({ store, bytesMax: 2e9, whenFull: 'refuse' });
  let queue = open();
  const outageMinutes = HOURS * 60;
  const link = new SlowLink(clock, Math.ceil(outageMinutes * 1.6) + 10);
  let sent = 0;
  let refused = 0;
  const noise = randomBytes(1 << 20);
  /** What falls due in one step: devices are spread over the minute. */
  const report = (minute: number, from: number, to: number): void => {
    for (let device = from; device < to; device++) {
      const body = Buffer.allocUnsafe(64);
      body.writeInt32LE(minute, 0);
      body.writeDoubleLE(clock.monotonic(), 4);
      noise.copy(body, 12, (sent * 53) % (noise.length - 64), ((sent * 53) % (noise.length - 64)) + 52);
      masked(body);
      const deviceId = `ship-sensor-${String(device).padStart(4, '0')}`;
      sent++;
      queue.put({ deviceId, created: clock.now(), properties: [], body }).catch(() => refused++);
    }
  };
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  for (let minute = 0; minute < outageMinutes; minute++) {
    report(minute, 0, DEVICES);
    clock.advance(MINUTE);
    await turn();
    // The clock of the gateway is set, back and forth: what is stored does not care.
    if (minute % 97 === 50) clock.setWall(clock.now() + (minute % 2 === 0 ? -1 : 1) * 86_400_000 * 300);
    if (minute !== Math.floor(outageMinutes / 2)) continue;
    store.close();
    store = new GatewayStore({ folder, clock });
    queue = open();
  }
  assert.equal(queue.messages, sent);
  const forwarder = new Forwarder({ queue, clock });
  link.begin();
  forwarder.linked(link);
  const begin = clock.monotonic();
  let minute = outageMinutes;
  while (queue.hasBacklog || forwarder.totals.messages < outageMinutes * DEVICES) {
    for (let step = 0; step < MINUTE / STEP_MS; step++) {
      report(minute, Math.floor((step * DEVICES) / 60), Math.floor(((step + 1) * DEVICES) / 60));
      clock.advance(STEP_MS);
      await turn();
      await turn();
    }
    minute++;
    assert.ok(clock.monotonic() - begin < (HOURS / 2) * 3_600_000, `not drained: ${queue.messages} wait`);
  }
  const hours = (clock.monotonic() - begin) / 3_600_000;
  for (let step = 0; queue.messages > 0 && step < 60; step++) {
    clock.advance(STEP_MS);
    await turn();
    await turn();
  }
  assert.deepEqual([refused, link.messages, queue.messages], [0, sent, 0]);
  const perMessage = link.bytes / link.messages;
  const overBody = forwarder.totals.bytes / forwarder.totals.messages - 64;
  t.diagnostic(
    `${sent} messages; drained in ${hours.toFixed(2)} h (${((100 * hours) / HOURS).toFixed(0)} % of the outage); ${perMessage.toFixed(1)} bytes on the wire a message, ${overBody.toFixed(1)} of a batch over the body; live messages waited ${(link.oldestLiveMs / 1000).toFixed(1)} s at most`,
  );
  assert.ok(
    overBody <= 40 && perMessage - 64 <= 40,
    `${overBody} bytes of a batch over the body, ${perMessage} on the wire`,
  );
  assert.ok(link.oldestLiveMs < 15_000, `a live message waited ${link.oldestLiveMs} ms`);
});
