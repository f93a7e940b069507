/**
 * A backlog over a slow link to a real hub that is killed in the midst of it: all of it arrives, in order in each lane, beside what is live;
 * and what a message takes of the link is counted, as the bytes of TLS and TCP that pass.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { apiOf, EventFollower, folderOf, hubOptions, runGateway } from '../drivers/remote-rig.ts';
import { until } from '../drivers/until.ts';

const DEVICES = 50;
const BACKLOG = 6000;
/** Sixteen times the link of the ship, so that the test ends. */
const BYTES_PER_SECOND = 128_000;
const TICK_MS = 20;

/** Passes so many bytes a second towards the hub, none while it is closed. */
class SlowLine implements AsyncDisposable {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  isOpen = true;
  bytes = 0;

  private constructor(port: number) {
    this.#server = net.createServer((client) => {
      if (!this.isOpen) {
        client.destroy();
        return;
      }
      const upstream = net.connect({ host: '127.0.0.1', port });
      const end = (): void => {
        client.destroy();
        upstream.destroy();
      };
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on('error', end).on('close', () => {
          this.#sockets.delete(socket);
          end();
        });
      }
      upstream.pipe(client);
      const ticker = setInterval(() => {
        const most = (BYTES_PER_SECOND * TICK_MS) / 1000;
        const piece = client.read(Math.min(most, client.readableLength)) as Buffer | null;
        if (piece === null) return;
        this.bytes += piece.length;
        upstream.write(piece);
      }, TICK_MS);
      client.once('close', () => clearInterval(ticker));
    });
  }

  static async to(port: number): Promise<SlowLine> {
    const line = new SlowLine(port);
    await new Promise<void>((resolve) => line.#server.listen(0, '127.0.0.1', resolve));
    return line;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

test('a backlog over a slow link to a hub that is killed in the midst: nothing lost, in order, few of it twice', {
  timeout: 90_000,
}, async (t) => {
  let hub: TestHub = await startHub();
  t.after(() => hub[Symbol.asyncDispose]());
  await using line = await SlowLine.to(hub.endpoints.ports.amqps as number);
  const api = apiOf(hub);
  for (let n = 0; n < DEVICES; n++) await api.devices.create(`ship-${n}`, {});
  api.close();
  line.isOpen = false;
  const gateway = await runGateway({
    ...hubOptions(hub, line.port),
    folder: folderOf(t),
    vouchFor: ['ship-*'],
  });
  t.after(() => gateway.stop());
  const { remote } = gateway;
  // Made past sessions: devices log in with the hub, which was never reached.
  let n = 0;
  const put = (): Promise<void> => {
    const body = Buffer.concat([Buffer.from(`${String(n).padStart(6, '0')} `), randomBytes(57)]);
    return remote.queue.put({ deviceId: `ship-${n++ % DEVICES}`, created: Date.now(), properties: [], body });
  };
  // As a minute of the fleet comes: not all in one commit.
  while (n < BACKLOG) await Promise.all(Array.from({ length: 40 }, put));

  line.isOpen = true;
  await until('the hub is reached', () => remote.host.hubReachable);
  const isLive = { on: true };
  const live = (async () => {
    while (isLive.on) {
      await put();
      await sleep(20);
    }
  })();
  await until('a third is sent', () => remote.forwarder.totals.messages > BACKLOG / 3);
  const before = { bytes: line.bytes, messages: remote.forwarder.totals.messages };
  await until('half is sent', () => remote.forwarder.totals.messages > BACKLOG / 2);
  const perMessage = (line.bytes - before.bytes) / (remote.forwarder.totals.messages - before.messages);
  await hub.kill();
  await until('the gateway has seen it', () => !remote.host.hubReachable);
  hub = await hub.restart();
  await until('the backlog is sent', () => remote.host.hubReachable && !remote.queue.hasBacklog, { withinMs: 60_000 });
  isLive.on = false;
  await live;
  await until('the queue is empty', () => remote.queue.messages === 0);

  const follower = new EventFollower(hub);
  const seen = new Set<number>();
  let repeated = 0;
  const last = new Map<string, number>();
  for (const { deviceId, body, properties } of await follower.read()) {
    const number = Number(body.subarray(0, 6).toString());
    assert.match(properties['iothub-creation-time-utc'], /^20\d\d-/);
    if (seen.has(number)) {
      repeated++;
      continue;
    }
    seen.add(number);
    const lane = `${deviceId} ${number < BACKLOG ? 'backlog' : 'live'}`;
    assert.ok(number > (last.get(lane) ?? -1), `${lane}: ${number} behind ${last.get(lane)}`);
    last.set(lane, number);
  }
  assert.equal(seen.size, n);
  t.diagnostic(
    `${n} messages, ${repeated} twice; ${perMessage.toFixed(1)} bytes of TLS a message of 64 while draining`,
  );
  // What was under way: two seconds of the link.
  assert.ok(repeated * 64 <= 4 * BYTES_PER_SECOND, `${repeated} twice`);
  // 48 hours of 1,000 devices, and what comes meanwhile, in 24 hours of 64 kbit/s, with 5 % for IP and TCP.
  assert.ok(perMessage * 1.05 * 1000 * 60 * (48 + 24) < 8000 * 3600 * 24, `${perMessage} bytes a message`);
});
