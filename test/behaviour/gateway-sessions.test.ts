/** What a session beside the devices keeps over the loss of the link: commands settled meanwhile, changes of desired properties, reports, proofs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '../../src/api/client.ts';
import { HubFailure } from '../../src/gateway/remote/amqp/failure.ts';
import type { Command, DeviceSession, Handlers, JsonObject, Settlement } from '../../src/gateway/types.ts';
import { FaultyLink } from '../drivers/faulty-link.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { MonitoringReader } from '../drivers/monitoring.ts';
import { apiOf, EventFollower, folderOf, type GatewayRun, hubOptions, runGateway } from '../drivers/remote-rig.ts';
import { until } from '../drivers/until.ts';

interface Scene extends AsyncDisposable {
  readonly hub: TestHub;
  readonly api: ApiClient;
  readonly gateway: GatewayRun;
  /** Cuts the link and keeps it away until the returned function is called. */
  cut(): Promise<() => Promise<void>>;
  /** Nothing of the hub comes through any more. Resolves when something was kept back. */
  mute(): Promise<void>;
  heal(): void;
  connect(device: string, handlers?: Handlers): Promise<DeviceSession>;
}

async function open(t: { after(end: () => unknown): void }, options: object = {}): Promise<Scene> {
  const hub = await startHub({ args: ['--trace-devices', 'traced'] });
  const link = await FaultyLink.to(hub.endpoints.ports.amqps as number);
  const api = apiOf(hub);
  const folder = folderOf(t as Parameters<typeof folderOf>[0]);
  const to = hubOptions(hub, link.port);
  const gateway = await runGateway({ ...to, folder, vouchFor: ['*'], sharedKeysOf: ['*'], ...options });
  const { remote } = gateway;
  const isReached = (): Promise<void> => until('the hub is reached', () => remote.host.hubReachable);
  await isReached();
  return {
    hub,
    api,
    gateway,
    async cut() {
      void link.fail(() => 'cut');
      remote.link.connection?.abandon(new HubFailure('unreachable', 'cut by the test'));
      await until('the link is lost', () => !remote.host.hubReachable);
      return async () => {
        link.heal();
        await isReached();
      };
    },
    mute: () => link.fail(() => 'mute'),
    heal: () => link.heal(),
    connect: (device, handlers = {}) => remote.host.connect({ kind: 'vouched', device }, handlers),
    async [Symbol.asyncDispose]() {
      await gateway.stop();
      api.close();
      await link[Symbol.asyncDispose]();
      await hub[Symbol.asyncDispose]();
    },
  };
}

test('a command that a device settles while the link is away is told later, and not given to it twice', async (t) => {
  await using scene = await open(t);
  const { api } = scene;
  await api.devices.create('d1', {});
  const commands: Command[] = [];
  let settle: (how: Settlement) => void = () => {};
  await scene.connect('d1', {
    command(command) {
      commands.push(command);
      return new Promise((resolve) => {
        settle = resolve;
      });
    },
  });
  const { sequence } = await api.commands.send({ deviceId: 'd1' }, { bodyText: 'open the valve' });
  await until('the device has it', () => commands.length === 1);
  const outcome = async (): Promise<unknown> =>
    (await api.commands.find({ deviceId: 'd1' }, { sequence })).commands[0]?.outcome;
  const back = await scene.cut();
  settle('complete');
  await sleep(50);
  assert.equal(await outcome(), undefined);
  await back();
  await until('the hub hears of it', async () => (await outcome()) === 'completed');
  assert.equal(commands.length, 1);
  assert.equal(Buffer.from(commands[0].body).toString(), 'open the valve');

  // The device is still at it when the link is back: its word counts for the delivery that the hub has made meanwhile.
  const second = await api.commands.send({ deviceId: 'd1' }, { bodyText: 'and close it' });
  await until('the device has the second', () => commands.length === 2);
  await (await scene.cut())();
  const steps = async () => (await api.commands.find({ deviceId: 'd1' }, { sequence: second.sequence })).commands[0];
  await until('it is delivered again', async () => {
    const { trail } = (await steps()) as unknown as { trail: { step: string }[] };
    return trail.filter(({ step }) => step === 'handed-over').length === 2;
  });
  settle('reject');
  await until('it is rejected', async () => (await steps())?.outcome === 'rejected');
  assert.equal(commands.length, 2);
});

test('desired properties that changed while the link was away come as one change, with what was deleted', async (t) => {
  await using scene = await open(t);
  const { api } = scene;
  await api.devices.create('d1', {});
  const desire = (desired: JsonObject) => api.twins.update({ deviceId: 'd1' }, { properties: { desired } });
  await desire({ interval: 10, mode: { night: true, day: false } });
  const changes: JsonObject[] = [];
  const session = await scene.connect('d1', { desired: (patch) => void changes.push(patch) });
  assert.deepEqual((await session.twin()).desired, { interval: 10, mode: { night: true, day: false } });
  await desire({ interval: 20 });
  await until('the device hears of a change', () => changes.length === 1);
  const back = await scene.cut();
  await desire({ interval: null, mode: { night: null } });
  await desire({ fan: 3 });
  assert.equal(await session.report({ firmware: '1', old: 'x' }), undefined);
  assert.equal(await session.report({ firmware: '2', old: null }), undefined);
  await assert.rejects(session.twin(), { code: 'unreachable' });
  await assert.rejects(session.send({ body: 'now' }, 'hub'), { code: 'unreachable' });
  await session.send({ body: 'later' });
  await back();
  await until('the device hears of the rest', () => changes.length === 2);
  assert.deepEqual(changes, [{ interval: 20 }, { interval: null, mode: { night: null }, fan: 3 }]);
  const reported = async (): Promise<unknown> =>
    (await api.twins.get({ deviceId: 'd1' })).properties?.reported?.firmware;
  await until('the hub hears of the report', async () => (await reported()) === '2');
  assert.ok(!('old' in ((await api.twins.get({ deviceId: 'd1' })).properties?.reported ?? {})));
  const follower = new EventFollower(scene.hub);
  await until('the message is there', async () =>
    (await follower.read()).some(({ body }) => body.toString() === 'later'),
  );
});

test('reports of a device that has left reach the hub too; devices are made on sight up to a bound; others are refused', async (t) => {
  await using scene = await open(t, { create: { max: 1 }, vouchFor: ['seen-*', 'd1'] });
  const { api, gateway } = scene;
  await api.devices.create('d1', {});
  const session = await scene.connect('d1');
  const back = await scene.cut();
  await session.report({ last: 'words' });
  await session.close();
  await back();
  await until(
    'the hub has it',
    async () => (await api.twins.get({ deviceId: 'd1' })).properties?.reported?.last === 'words',
  );
  const made = await scene.connect('seen-1');
  await made.send({ body: 'first' });
  assert.equal((await api.devices.get('seen-1')).authentication.type, 'none');
  await assert.rejects(scene.connect('seen-2'), { code: 'throttled' });
  await assert.rejects(scene.connect('other'), { code: 'unauthorized' });
  assert.equal(gateway.remote.counts.refused, 2);
});

test('a shared key is asked of the hub, and known for the time that it is away', async (t) => {
  await using scene = await open(t, { sharedKeysOf: ['d1'] });
  const { api, gateway } = scene;
  const { authentication } = await api.devices.create('d1', {});
  await api.devices.create('d2', {});
  const { createHmac } = await import('node:crypto');
  const primary = Buffer.from(authentication?.symmetricKey?.primaryKey ?? '', 'base64');
  const wanted = createHmac('sha256', primary).update('mooring psk').digest('hex');
  const ask = async (device: string): Promise<string | undefined> => {
    const key = await gateway.remote.host.sharedKey(device);
    return key && Buffer.from(key).toString('hex');
  };
  assert.equal(await ask('d1'), wanted);
  assert.equal(await ask('d2'), undefined);
  await scene.cut();
  assert.equal(await ask('d1'), wanted);
  const session = await gateway.remote.host.connect({ kind: 'psk', device: 'd1' }, {}).catch(({ code }) => code);
  // Never proved by it before.
  assert.equal(session, 'unreachable');
});

test('the passport of a message says where exactly it came from', async (t) => {
  await using scene = await open(t);
  await scene.api.devices.create('traced', {});
  await using reader = await MonitoringReader.open(scene.hub);
  const { host } = scene.gateway.remote;
  const proof = { kind: 'vouched', device: 'traced' } as const;
  const session = await host.connect(proof, {}, { address: 'bus 7' });
  await session.send({ body: 'x', messageId: 'm-1', address: 'bus 7/meter 3' });
  await session.send({ body: 'y', messageId: 'm-2' });
  const isReceived = ({ type, step }: Record<string, unknown>): boolean => type === 'traceStep' && step === 'received';
  await reader.until((all) => all.filter(isReceived).length === 2);
  assert.deepEqual(
    reader
      .all()
      .filter(isReceived)
      .map(({ messageId, protocol, address }) => [messageId, protocol, address]),
    [
      ['m-1', 'amqp', 'bus 7/meter 3'],
      ['m-2', 'amqp', 'bus 7'],
    ],
  );
});

test('a line on which nothing comes any more is given up after its time of silence, and made again', async (t) => {
  await using scene = await open(t, { idleMs: 2000 });
  const { remote } = scene.gateway;
  await scene.api.devices.create('d1', {});
  const session = await scene.connect('d1');
  await session.send({ body: 'before' }, 'hub');
  // Idle for longer than that: empty frames keep the line.
  await sleep(3000);
  assert.equal(remote.link.connects, 1);
  const silence = scene.mute();
  const sent = session.send({ body: 'into the dark' });
  await silence;
  await until('the line is given up', () => !remote.host.hubReachable);
  scene.heal();
  await sent;
  await until('the hub is reached again', () => remote.link.connects === 2 && remote.queue.messages === 0);
  const follower = new EventFollower(scene.hub);
  const bodies = async () => (await follower.read()).map(({ body }) => body.toString());
  await until('the message is there', async () => (await bodies()).includes('into the dark'));
});
