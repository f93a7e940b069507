/** A gateway beside the devices whose hub gives back, refuses, ends and delays: nothing acknowledged is lost, and the other devices go on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { RemoteHost } from '../../src/gateway/remote/remote-host.ts';
import type { DeviceSession, Handlers, Log } from '../../src/gateway/types.ts';
import { type Batch, HostileHub } from '../drivers/hostile-hub.ts';
import { folderOf } from '../drivers/remote-rig.ts';
import { until } from '../drivers/until.ts';

/** Pauses and deadlines of the gateway take this share of their time: a minute is two seconds. */
const FASTER = 30;
const fastClock: Clock = {
  now: systemClock.now,
  monotonic: () => systemClock.monotonic() * FASTER,
  after: (delayMs, callback) => systemClock.after(delayMs / FASTER, callback),
};
const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

interface Scene {
  readonly hub: HostileHub;
  readonly gateway: RemoteHost;
  connect(device: string, handlers?: Handlers): Promise<DeviceSession>;
}

async function open(
  t: { after(end: () => unknown): void },
  prepare: (hub: HostileHub) => void = () => {},
): Promise<Scene> {
  const hub = await HostileHub.open();
  prepare(hub);
  const gateway = new RemoteHost({
    hub: { host: 'localhost', address: '127.0.0.1', port: hub.port, isTls: false },
    credential: { kind: 'key', policyName: 'device', key: Buffer.alloc(32, 7).toString('base64') },
    ...{ folder: folderOf(t as never), clock: fastClock, log: silent, vouchFor: ['*'] },
  });
  gateway.start();
  t.after(async () => {
    hub.cut();
    await gateway.stop();
    hub.close();
  });
  return {
    hub,
    gateway,
    connect: (device, handlers = {}) => gateway.host.connect({ kind: 'vouched', device }, handlers),
  };
}

const reached = ({ gateway }: Scene): Promise<void> =>
  until('the hub is reached', () => gateway.host.hubReachable, { withinMs: 5000 });
const unique = (texts: readonly string[]): string[] => [...new Set(texts)];

test('batches that are given back, refused, cut or answered late are sent again: what was acknowledged arrives', async (t) => {
  const scene = await open(t);
  const { hub, gateway } = scene;
  const treatments: ((batch: Batch) => void)[] = [
    ({ delivery }) => delivery.release(),
    ({ delivery }) => delivery.modified({ delivery_failed: true, undeliverable_here: true }),
    ({ delivery }) => delivery.reject({ condition: 'amqp:internal-error', description: 'not now' }),
    ({ delivery }) =>
      delivery.reject({
        condition: 'com.microsoft:messages-refused',
        description: 'broken list',
        info: { refused: Buffer.from('ffff', 'hex') },
      } as never),
    ({ connection }) => connection.socket.destroy(),
    ({ connection }) => connection.close({ condition: 'amqp:connection:forced', description: 'going' }),
    (batch) => void setTimeout(() => hub.take(batch), 300),
  ];
  let at = 0;
  hub.onBatch = (batch) => (at < treatments.length ? treatments[at++](batch) : hub.take(batch));
  await reached(scene);
  const session = await scene.connect('d1');
  const sent: string[] = [];
  while (at < treatments.length || sent.length < 300) {
    const text = `m${sent.length}`;
    sent.push(text);
    await session.send({ body: text }, 'stored');
    await sleep(5);
    assert.ok(sent.length < 3000, `only ${at} treatments were met`);
  }
  await until('all of it is sent', () => gateway.queue.messages === 0, { withinMs: 5000 });
  // What came before the hub was reached goes beside what is live: each of both in order.
  assert.deepEqual(unique(hub.taken).sort(), sent.toSorted());
  assert.ok(hub.connections <= 8, `${hub.connections} connections`);
});

test('a hub that lives and never answers a batch is left: what waits goes on the next connection', async (t) => {
  const scene = await open(t);
  const { hub, gateway } = scene;
  await reached(scene);
  const session = await scene.connect('d1');
  let mute = true;
  hub.onBatch = (batch) => {
    if (!mute) hub.take(batch);
  };
  // 240 s of the gateway's time are 8 here.
  await session.send({ body: 'kept' }, 'stored');
  await until('a second connection', () => hub.connections === 2, { withinMs: 20_000 });
  mute = false;
  hub.cut();
  await session.send({ body: 'later' }, 'stored');
  await until('all of it is sent', () => gateway.queue.messages === 0, { withinMs: 10_000 });
  assert.deepEqual(unique(hub.taken).sort(), ['kept', 'later']);
});

test('a hub that never gives credit is asked again and again; messages wait on the disk, and what wants the hub is told', async (t) => {
  const scene = await open(t, (hub) => Object.assign(hub, { credit: { first: 0, more: 0 } }));
  const { hub, gateway } = scene;
  await until('the hub was asked twice', () => hub.connections >= 2, { withinMs: 8000 });
  assert.equal(gateway.host.hubReachable, false);
  gateway.queue.put({ deviceId: 'd1', created: Date.now(), properties: [], body: Buffer.from('early') });
  await until('it is kept', () => gateway.queue.messages === 1);
  hub.credit = { first: 1, more: 0 };
  await until('the hub is reached', () => gateway.host.hubReachable, { withinMs: 8000 });
  await until('the early one is there', () => hub.taken.length === 1);
  const session = await scene.connect('d1');
  const body = Buffer.alloc(200_000, 'x').toString();
  const ends = await Promise.all(
    Array.from({ length: 200 }, () =>
      Promise.race([
        session.send({ body }, 'hub').then(
          () => 'sent',
          (error) => error.code,
        ),
        sleep(300, 'waits'),
      ]),
    ),
  );
  assert.ok(ends.includes('throttled') && ends.includes('waits') && !ends.includes('sent'), unique(ends).join());
});

test('links to the node of questions that are ended one by one: devices that come behind that are judged', async (t) => {
  for (const which of [0, 1]) {
    const scene = await open(t);
    await reached(scene);
    await scene.connect('d1');
    scene.hub.gatewayLinks[which].close({
      condition: 'amqp:internal-error',
      description: 'The request could not be carried out.',
    });
    await sleep(100);
    await until(
      'a new device is let in',
      () =>
        scene.connect(`new-${which}`).then(
          () => true,
          () => false,
        ),
      { withinMs: 5000, everyMs: 50 },
    );
  }
});

test('one device that is refused, or about which no answer comes, holds up no other', async (t) => {
  const scene = await open(t);
  scene.hub.onQuestion = (device) =>
    device === 'wrong' ? 401 : device === 'off' ? 403 : device === 'mute' ? undefined : 200;
  await reached(scene);
  await assert.rejects(scene.connect('wrong'), { code: 'unauthorized' });
  await assert.rejects(scene.connect('off'), { code: 'disabled' });
  const mute = scene.connect('mute').catch((error) => error.code);
  const good = await scene.connect('good');
  await good.send({ body: 'still here' }, 'hub');
  assert.deepEqual(scene.hub.taken, ['still here']);
  assert.equal(await mute, 'unreachable');
  assert.equal(scene.hub.connections, 1);
});

test('links that the hub ends without a word of attaching, or at once: other devices have theirs soon, and each is tried after growing pauses', async (t) => {
  const scene = await open(t);
  const { hub } = scene;
  const handlers = { command: async () => 'complete' as const, method: async () => ({ status: 200 }) };
  hub.onDeviceLink = (device, link) => {
    if (device.startsWith('bad')) link.close({ condition: 'amqp:internal-error', description: 'not this one' });
  };
  await reached(scene);
  const begin = performance.now();
  await Promise.all(Array.from({ length: 40 }, (_, at) => scene.connect(`bad-${at}`, handlers)));
  await scene.connect('good', handlers);
  assert.ok(performance.now() - begin < 1500, `it took ${performance.now() - begin} ms`);
  await sleep(3000);
  // 90 seconds of the gateway's time.
  const tries = (hub.attaches.get('bad-0') ?? 0) / (hub.attaches.get('good') ?? 1);
  t.diagnostic(`${tries} times tried`);
  assert.ok(tries >= 3 && tries <= 15, `${tries} times`);
  hub.onDeviceLink = () => {};
  assert.equal(hub.connections, 1);
});
