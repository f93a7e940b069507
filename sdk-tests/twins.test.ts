/** Twins and methods: devices and modules over every transport of every device SDK, back ends over every service SDK. */
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import type { TestHub } from '../test/drivers/hub.ts';
import { until } from '../test/drivers/until.ts';
import type { ClientEvent } from './support/client.ts';
import { DeviceProcess, type DeviceSdk, type DeviceTransport, deviceSdks } from './support/device-sdks.ts';
import { type Device, openRegistry, type Registry, startStockHub, whyNot } from './support/hub.ts';
import { missing } from './support/programs.ts';
import { shows } from './support/shows.ts';
import { TwinBackEnd, type TwinSdk, twinSdks } from './support/twins.ts';

/** Those that every SDK's own tests try (twins reference 9). */
const PAYLOADS = [null, '', 'foo', {}, { k: 'v' }, { deep: [1, 'two', { three: 3 }] }];
/** As the answers of the hub name them; the SDKs hand those over as text. */
const codes = {
  offline: /ErrorCode:DeviceNotOnline;/,
  closed: /ErrorCode:DeviceConnectionClosedRemotely;|ErrorCode:DeviceUnavailable;/,
  late: /ErrorCode:GatewayTimeout;/,
  noDevice: /ErrorCode:DeviceNotFound;/,
  noModule: /ErrorCode:ModuleNotFound;/,
  changed: /ErrorCode:PreconditionFailed;/,
};
const kinds = ['twin', 'away', 'refused', 'method', 'module', 'gone', 'takeover'] as const;
type Kind = (typeof kinds)[number];

const pairs = deviceSdks.flatMap((sdk) =>
  sdk.transports.filter(({ requests }) => requests !== true).map((transport) => [sdk, transport] as const),
);
const idOf = (kind: Kind, sdk: DeviceSdk, transport: DeviceTransport): string =>
  `${kind}-${sdk.language}-${transport.name}`.toLowerCase();

describe('twins and methods', { skip: await whyNot() }, () => {
  let hub: TestHub;
  let registry: Registry;
  const processes = new Map<DeviceSdk, DeviceProcess>();
  const backEnds = new Map<TwinSdk, TwinBackEnd>();
  const devices = new Map<string, Device>();

  before(async () => {
    hub = await startStockHub();
    registry = await openRegistry(hub);
    const ids = kinds.flatMap((kind) => pairs.map(([sdk, transport]) => idOf(kind, sdk, transport)));
    const own = twinSdks.flatMap(({ language }) => [`twins-${language}`, `methods-${language}`]);
    for (const device of await registry.createDevices(hub, [...ids, ...own])) devices.set(device.deviceId, device);
    for (const sdk of deviceSdks) {
      if (missing(sdk.language) === undefined) processes.set(sdk, await DeviceProcess.start(sdk, hub));
    }
    for (const sdk of twinSdks) {
      if (missing(sdk.language) === undefined) backEnds.set(sdk, await TwinBackEnd.start(hub, sdk));
    }
  });

  after(async () => {
    for (const one of [...processes.values(), ...backEnds.values()]) await one[Symbol.asyncDispose]();
    await registry?.stop();
    await hub?.[Symbol.asyncDispose]();
  });

  interface Scene {
    readonly process: DeviceProcess;
    readonly device: Device;
    readonly transport: DeviceTransport;
    /** azure-iothub. */
    readonly backEnd: TwinBackEnd;
  }

  function each(kind: Kind, operation: string, work: (scene: Scene) => Promise<void>): void {
    describe(operation, { concurrency: pairs.length }, () => {
      for (const [sdk, transport] of pairs) {
        shows({ sdk: sdk.name, transport: transport.name, operation }, missing(sdk.language), () => {
          const device = devices.get(idOf(kind, sdk, transport)) as Device;
          const backEnd = backEnds.get(twinSdks[0]) as TwinBackEnd;
          return work({ process: processes.get(sdk) as DeviceProcess, device, transport, backEnd });
        });
      }
    });
  }

  const ask = ({ process, device }: Scene, op: string, ...args: readonly unknown[]) =>
    process.client.must(op, device.deviceId, ...args);

  /** The next change of desired properties that the device is told of, without what the SDK says first of what was there. */
  async function told({ process, device }: Scene, version: number): Promise<object> {
    const { patch } = await process.client.next(
      'desired',
      20_000,
      (event) => event.device === device.deviceId && event.patch.$version === version,
    );
    return patch;
  }

  /**
   * What the device reads of its reported properties. Java's sends a report again whose answer it has lost, so that its version may be
   * higher.
   */
  async function assertReported(scene: Scene, values: object, version: number): Promise<void> {
    const { $version, ...reported } = (await ask(scene, 'getTwin')).reported;
    assert.deepEqual(reported, values);
    if (scene.process.sdk.language === 'Java') assert.ok($version >= version);
    else assert.equal($version, version);
  }

  /** Versions of which the device has been told and nobody has asked. */
  const untold = ({ process, device }: Scene): readonly number[] =>
    process.client
      .seen('desired')
      .filter((event) => event.device === device.deviceId)
      .map(({ patch }) => patch.$version as number);

  each('twin', 'reads its twin, reports, is told of desired properties', async (scene) => {
    const { process, device, transport, backEnd } = scene;
    const { deviceId } = device;
    await process.open(device, transport);
    await ask(scene, 'watchTwin');
    await ask(scene, 'report', {
      temperature: 20.5,
      network: { name: 'a', up: true },
      list: [1, 'b', null].slice(0, 2),
    });
    await ask(scene, 'report', { network: { name: null }, temperature: 21 });
    await backEnd.patch(deviceId, { properties: { desired: { interval: 10, mode: { eco: true, limit: 5 } } } });
    assert.deepEqual(await told(scene, 2), { interval: 10, mode: { eco: true, limit: 5 }, $version: 2 });
    await backEnd.patch(deviceId, { tags: { floor: 1 } });
    await backEnd.patch(deviceId, { properties: { desired: { mode: { limit: null }, interval: 20 } } });
    const second = { ...(await told(scene, 3)) } as Record<string, unknown>;
    assert.equal(second.interval, 20);
    assert.deepEqual(
      untold(scene).filter((version) => version > 1),
      [],
      'nothing twice, and nothing of tags',
    );
    const { desired } = await ask(scene, 'getTwin');
    assert.deepEqual(desired, { interval: 20, mode: { eco: true }, $version: 3 });
    const values = { temperature: 21, network: { up: true }, list: [1, 'b'] };
    await assertReported(scene, values, 3);
    assert.partialDeepStrictEqual((await backEnd.get(deviceId)).properties.reported, values);
    await process.close(deviceId);
  });

  each('away', 'reads what was desired while it was away, and is told of nothing old', async (scene) => {
    const { process, device, transport, backEnd } = scene;
    const { deviceId } = device;
    await process.open(device, transport);
    await ask(scene, 'watchTwin');
    await backEnd.patch(deviceId, { properties: { desired: { n: 1 } } });
    await told(scene, 2);
    await process.close(deviceId);
    await backEnd.patch(deviceId, { properties: { desired: { n: 2 } } });
    await backEnd.patch(deviceId, { properties: { desired: { n: 3 } } });
    const fresh = { ...scene, process: await DeviceProcess.start(process.sdk, hub) };
    try {
      await fresh.process.open(device, transport);
      await ask(fresh, 'watchTwin');
      assert.deepEqual((await ask(fresh, 'getTwin')).desired, { n: 3, $version: 4 });
      await backEnd.patch(deviceId, { properties: { desired: { n: 4 } } });
      assert.deepEqual(await told(fresh, 5), { n: 4, $version: 5 });
      assert.ok(!untold(fresh).some((version) => version === 3), 'a change of before is not pushed');
    } finally {
      await fresh.process[Symbol.asyncDispose]();
    }
  });

  each(
    'refused',
    'a patch that the hub refuses shows as an error, stores nothing, and the device goes on',
    async (scene) => {
      const { process, device, transport } = scene;
      await process.open(device, transport);
      if (process.sdk.language === 'Java') await ask(scene, 'watchTwin');
      const { error } = await process.client.call('report', device.deviceId, { good: 1, 'bad key': 2 });
      assert.ok(error !== undefined, 'the application is told');
      await ask(scene, 'report', { after: 1 });
      await assertReported(scene, { after: 1 }, 2);
      assert.deepEqual(
        process.client.seen('disconnected').filter((event) => event.device === device.deviceId),
        [],
      );
      await process.close(device.deviceId);
    },
  );

  each('method', 'answers methods with every kind of payload', async (scene) => {
    const { process, device, transport, backEnd } = scene;
    await process.open(device, transport);
    await ask(scene, 'answerMethods', { echo: 'echo', refuse: 451, silent: 'silent' });
    for (const payload of PAYLOADS) {
      const answer = await backEnd.invoke(device.deviceId, {
        methodName: 'echo',
        payload,
        responseTimeoutInSeconds: 20,
        connectTimeoutInSeconds: 10,
      });
      assert.deepEqual(answer, { status: 200, payload });
    }
    const wish = { methodName: 'refuse', payload: 1, responseTimeoutInSeconds: 20, connectTimeoutInSeconds: 10 };
    assert.deepEqual(await backEnd.invoke(device.deviceId, wish), { status: 451, payload: 1 });
    // The device's process and the back end's tell of it in any order.
    const own = (event: ClientEvent): boolean => event.device === device.deviceId;
    for (let n = 0; n <= PAYLOADS.length; n++) await process.client.next('method', 10_000, own);
    assert.deepEqual(process.client.seen('method').filter(own), [], 'each method came once');
  });

  each('gone', 'a method that its device does not answer, or leaves open, is told as such', async (scene) => {
    const { process, device, transport, backEnd } = scene;
    const own = await DeviceProcess.start(process.sdk, hub);
    try {
      await own.open(device, transport);
      await own.client.must('answerMethods', device.deviceId, { silent: 'silent' });
      const wish = { methodName: 'silent', payload: null, responseTimeoutInSeconds: 5, connectTimeoutInSeconds: 10 };
      const late = await backEnd.refusal('invoke', device.deviceId, null, wish);
      assert.match(String(late), codes.late);
      await own.client.next('method', 10_000);
      const open = backEnd.refusal('invoke', device.deviceId, null, { ...wish, responseTimeoutInSeconds: 30 });
      // Java's hands over one method at a time: its second waits in the SDK.
      if (process.sdk.language === 'JavaScript') await own.client.next('method', 10_000);
      else await own.client.quiet('method', 1000);
      await own.client.kill();
      assert.match(String(await open), codes.closed);
    } finally {
      await own[Symbol.asyncDispose]();
    }
  });

  each(
    'module',
    'a module reads its twin, reports, is told of desired properties and answers methods',
    async (scene) => {
      const { process, device, transport, backEnd } = scene;
      const { deviceId } = device;
      const moduleId = 'm1';
      const made = await registry.call('addModule', { deviceId, moduleId });
      const key = made.authentication.symmetricKey.primaryKey;
      const connectionString = `HostName=${hub.endpoints.hostName};DeviceId=${deviceId};ModuleId=${moduleId};SharedAccessKey=${key}`;
      await process.open({ ...device, connectionString }, transport, { isModule: true });
      await ask(scene, 'watchTwin');
      await ask(scene, 'answerMethods', { echo: 'echo' });
      await ask(scene, 'report', { a: { b: 1 } });
      await backEnd.patch(deviceId, { properties: { desired: { x: 1 } } }, '*', moduleId);
      assert.deepEqual(await told(scene, 2), { x: 1, $version: 2 });
      await assertReported(scene, { a: { b: 1 } }, 2);
      const wish = {
        methodName: 'echo',
        payload: { k: 'v' },
        responseTimeoutInSeconds: 20,
        connectTimeoutInSeconds: 10,
      };
      assert.deepEqual(await backEnd.invoke(deviceId, wish, moduleId), { status: 200, payload: { k: 'v' } });
      assert.match(
        String(await backEnd.refusal('invoke', deviceId, null, wish)),
        codes.offline,
        'the device is not the module',
      );
      assert.equal((await backEnd.get(deviceId)).properties.reported.$version, 1);
      await process.close(deviceId);
    },
  );

  each('takeover', 'a method finds the newest connection of its device', async (scene) => {
    const { process, device, transport, backEnd } = scene;
    const older = await DeviceProcess.start(process.sdk, hub);
    try {
      await older.open(device, transport, { noRetry: true });
      await older.client.must('answerMethods', device.deviceId, { who: 410 });
      await process.open(device, transport);
      await ask(scene, 'answerMethods', { who: 200 });
      const wish = { methodName: 'who', payload: null, responseTimeoutInSeconds: 20, connectTimeoutInSeconds: 5 };
      // Over AMQP a connection is a device's from its first link on, which SDKs attach when they please: until then the older one answers.
      await until('the newer connection answers', () =>
        backEnd.invoke(device.deviceId, wish).then(
          ({ status }) => status === 200,
          () => false,
        ),
      );
      for (let again = 0; again < 3; again++) {
        assert.equal((await backEnd.invoke(device.deviceId, wish)).status, 200);
      }
      await process.close(device.deviceId);
    } finally {
      await older.client.kill();
    }
  });

  function eachBackEnd(operation: string, work: (backEnd: TwinBackEnd, sdk: TwinSdk) => Promise<void>): void {
    describe(operation, { concurrency: true }, () => {
      for (const sdk of twinSdks) {
        shows({ sdk: sdk.name, transport: sdk.transport, operation }, missing(sdk.language), () =>
          work(backEnds.get(sdk) as TwinBackEnd, sdk),
        );
      }
    });
  }

  eachBackEnd('reads and patches twins: merge, null, ETags, versions', async (backEnd, sdk) => {
    const deviceId = `twins-${sdk.language}`;
    const fresh = await backEnd.get(deviceId);
    assert.equal(fresh.version, 2);
    assert.equal(fresh.properties.desired.$version, 1);
    const first = await backEnd.patch(deviceId, {
      tags: { site: { city: 'Köln', floor: 3 } },
      properties: { desired: { a: { b: 1, c: 'x' }, list: [1, 2] } },
    });
    assert.notEqual(first.etag, fresh.etag);
    assert.equal(first.properties.desired.$version, 2);
    const second = await backEnd.patch(
      deviceId,
      { tags: { site: { floor: null } }, properties: { desired: { a: { c: null }, list: ['z'] } } },
      first.etag,
    );
    assert.deepEqual(second.tags, { site: { city: 'Köln' } });
    assert.partialDeepStrictEqual(second.properties.desired, { a: { b: 1 }, list: ['z'], $version: 3 });
    assert.equal(Object.hasOwn(second.properties.desired.a as object, 'c'), false);
    const stale = await backEnd.refusal('patch', deviceId, null, { tags: { lost: 1 } }, first.etag);
    assert.match(String(stale), codes.changed, stale);
    assert.deepEqual((await backEnd.get(deviceId)).tags, { site: { city: 'Köln' } }, 'nothing of a refused change');
    assert.match(String(await backEnd.refusal('get', 'nobody', null)), codes.noDevice);
    assert.match(String(await backEnd.refusal('get', deviceId, 'nobody')), codes.noModule);
    if (sdk.sendsNullSections) {
      const cleared = await backEnd.patch(deviceId, { tags: null, properties: { desired: null } });
      assert.deepEqual(cleared.tags ?? {}, {});
      const names = Object.keys(cleared.properties.desired).filter((name) => !name.startsWith('$'));
      assert.deepEqual([names, cleared.properties.desired.$version], [[], 4]);
      const twice = await backEnd.client.must('updateTwice', deviceId, { tags: { n: 1 } }, { tags: { n: 2 } });
      assert.deepEqual(twice.tags, { n: 2 }, 'the second update goes by the ETag of the first');
    } else {
      const replaced = await backEnd.client.must(
        'replace',
        deviceId,
        null,
        { tags: { only: true }, properties: { desired: { whole: 1 } } },
        second.etag,
      );
      assert.deepEqual(replaced.tags, { only: true });
      const names = Object.keys(replaced.properties.desired).filter((name) => !name.startsWith('$'));
      assert.deepEqual([names, replaced.properties.desired.$version], [['whole'], 4]);
      const old = await backEnd.refusal('replace', deviceId, null, { tags: { lost: 1 } }, second.etag);
      assert.match(String(old), codes.changed, old);
    }
  });

  eachBackEnd('invokes methods: answers, and every way without one', async (backEnd, sdk) => {
    const deviceId = `methods-${sdk.language}`;
    const device = devices.get(deviceId) as Device;
    const own = await DeviceProcess.start(deviceSdks[0], hub);
    try {
      const wish = { methodName: 'echo', payload: { n: 1 }, responseTimeoutInSeconds: 5 };
      const offline = await backEnd.refusal('invoke', deviceId, null, wish);
      assert.match(String(offline), codes.offline, offline);
      assert.match(String(await backEnd.refusal('invoke', 'nobody', null, wish)), codes.noDevice);
      assert.match(String(await backEnd.refusal('invoke', deviceId, 'nobody', wish)), codes.noModule);
      const waited = await backEnd.refusal('invoke', deviceId, null, { ...wish, connectTimeoutInSeconds: 1 });
      assert.match(String(waited), codes.offline, waited);
      const waits = backEnd.invoke(deviceId, {
        ...wish,
        connectTimeoutInSeconds: 12,
        responseTimeoutInSeconds: 10,
      });
      await own.open(device, deviceSdks[0].transports[0]);
      await own.client.must('answerMethods', deviceId, { echo: 'echo', silent: 'silent' });
      assert.deepEqual(await waits, { status: 200, payload: { n: 1 } }, 'it waited for its device to listen');
      for (const payload of PAYLOADS) {
        // Python's leaves null out.
        if (payload === null && sdk.language === 'Python') continue;
        assert.deepEqual((await backEnd.invoke(deviceId, { ...wish, payload })).payload, payload);
      }
      const late = await backEnd.refusal('invoke', deviceId, null, { ...wish, methodName: 'silent' });
      assert.match(String(late), codes.late, late);
      const bounds = await backEnd.refusal('invoke', deviceId, null, { ...wish, responseTimeoutInSeconds: 400 });
      assert.ok(bounds !== undefined, 'more than 300 seconds are refused');
      own.client.takeAll('method');
      const open = backEnd.refusal('invoke', deviceId, null, { ...wish, methodName: 'silent' });
      await own.client.next('method', 10_000);
      await registry.call('delete', deviceId);
      assert.match(String(await open), codes.closed, 'its device is deleted meanwhile');
    } finally {
      await own[Symbol.asyncDispose]();
    }
  });
});
