/**
 * What a device does, over every transport of every device SDK: telemetry, commands with each outcome that the transport
 * has, refused logins, renewed tokens, a restart of the hub. The tests of one kind run side by side on one hub.
 */
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import type { TestHub } from '../test/drivers/hub.ts';
import { BackEnd } from './support/back-ends.ts';
import { DeviceProcess, type DeviceSdk, type DeviceTransport, deviceSdks } from './support/device-sdks.ts';
import { EventTail } from './support/events.ts';
import { type Device, openRegistry, startStockHub, whyNot } from './support/hub.ts';
import { missing } from './support/programs.ts';
import { shows } from './support/shows.ts';

/** Short enough to end within the test, long enough for a connection to be made. */
const TOKEN_SECONDS = 6;
/** Between two messages of a device whose token is renewed. */
const PAUSE_MS = 300;
const PROPERTIES = { room: 'kitchen 1', odd: 'a b&c=d%2F?/' };

const kinds = ['telemetry', 'wrong-key', 'complete', 'reject', 'abandon', 'token', 'restart'] as const;
type Kind = (typeof kinds)[number];
const pairs = deviceSdks.flatMap((sdk) => sdk.transports.map((transport) => [sdk, transport] as const));

const idOf = (kind: Kind, sdk: DeviceSdk, transport: DeviceTransport): string =>
  `${kind}-${sdk.language}-${transport.name}`.toLowerCase();

describe('devices over every transport', { skip: await whyNot() }, () => {
  let hub: TestHub;
  let tail: EventTail;
  let backEnd: BackEnd;
  const processes = new Map<DeviceSdk, DeviceProcess>();
  const devices = new Map<string, Device>();
  const installed = deviceSdks.filter((sdk) => missing(sdk.language) === undefined);

  before(async () => {
    // Clocks are one clock here, so that the end of a token is seen within the test.
    hub = await startStockHub(['--clock-skew-seconds', '1']);
    const registry = await openRegistry(hub);
    const ids = kinds.flatMap((kind) => pairs.map(([sdk, transport]) => idOf(kind, sdk, transport)));
    for (const device of await registry.createDevices(hub, ids)) devices.set(device.deviceId, device);
    await registry.stop();
    tail = new EventTail(hub);
    backEnd = await BackEnd.start(hub);
    await backEnd.receiveReceipts();
    for (const sdk of installed) processes.set(sdk, await DeviceProcess.start(sdk, hub));
  });

  after(async () => {
    for (const process of processes.values()) await process[Symbol.asyncDispose]();
    await backEnd?.[Symbol.asyncDispose]();
    await tail?.[Symbol.asyncDispose]();
    await hub?.[Symbol.asyncDispose]();
  });

  interface Scene {
    readonly process: DeviceProcess;
    readonly device: Device;
    readonly transport: DeviceTransport;
  }

  /** One test for each SDK and transport for which `applies` holds, with a device of its own. */
  function each(
    kind: Kind,
    operation: string,
    work: (scene: Scene) => Promise<void>,
    applies: (transport: DeviceTransport) => boolean = () => true,
  ): void {
    describe(operation, { concurrency: pairs.length }, () => {
      for (const [sdk, transport] of pairs) {
        if (!applies(transport)) continue;
        shows({ sdk: sdk.name, transport: transport.name, operation }, missing(sdk.language), () => {
          const device = devices.get(idOf(kind, sdk, transport)) as Device;
          return work({ process: processes.get(sdk) as DeviceProcess, device, transport });
        });
      }
    });
  }

  /** An accepted message, found again on the event hub. */
  async function assertSends({ process, device }: Scene, mark: string): Promise<void> {
    await process.send(device.deviceId, { text: mark });
    const body = Buffer.from(mark).toString('base64');
    await tail.find((event) => sender(event) === device.deviceId && event.body === body);
  }

  const sender = (event: { readonly system: Readonly<Record<string, unknown>> }): unknown =>
    event.system['iothub-connection-device-id'];

  each('telemetry', 'telemetry with its properties', async ({ process, device, transport }) => {
    await process.open(device, transport);
    const system = { contentType: 'application/json', contentEncoding: 'utf-8' };
    const ids = { messageId: `m-${device.deviceId}`, correlationId: 'c:1' };
    await process.send(device.deviceId, { text: '{"grüße":"€"}', properties: PROPERTIES, ...ids, ...system });
    const event = await tail.find((one) => one.messageId === ids.messageId);
    assert.equal(Buffer.from(event.body, 'base64').toString(), '{"grüße":"€"}');
    assert.deepEqual(event.properties, PROPERTIES);
    assert.equal(event.correlationId, ids.correlationId);
    assert.equal(event.contentType, system.contentType);
    assert.equal(event.system.contentEncoding, system.contentEncoding);
    assert.equal(sender(event), device.deviceId);
    const { scope, type } = JSON.parse(String(event.system['iothub-connection-auth-method']));
    assert.deepEqual({ scope, type }, { scope: 'device', type: 'sas' });
  });

  each('wrong-key', 'a wrong key is refused', async ({ process, device, transport }) => {
    const wrong = Buffer.alloc(32, 1).toString('base64');
    const connectionString = device.connectionString.replace(device.key, wrong);
    const refused = await process.refusal({ ...device, connectionString }, transport);
    const { error } = refused ? { error: refused } : await process.client.call('send', device.deviceId, { text: 'x' });
    assert.match(`${error?.name} ${error?.message}`, /unauthorized|credential|authentication/i, JSON.stringify(error));
  });

  // Side by side: each waits for its receipt, and receipts wait for each other for a while.
  describe('commands', { concurrency: true }, () => {
    each('complete', 'a command is received and completed', async ({ process, device, transport }) => {
      await process.open(device, transport);
      await process.receive(device.deviceId, 'complete');
      const wish = { messageId: `c-${device.deviceId}`, correlationId: 'c:2', text: 'öffne', properties: PROPERTIES };
      await backEnd.send(device.deviceId, { ...wish, ack: 'full' });
      const command = await process.command(device.deviceId, wish.messageId);
      assert.equal(Buffer.from(command.body, 'base64').toString(), wish.text);
      assert.equal(command.correlationId, wish.correlationId);
      const prefix = transport.propertyPrefix ?? '';
      const properties = Object.entries(PROPERTIES).map(([name, value]) => [`${prefix}${name}`, value]);
      assert.partialDeepStrictEqual(command.properties, Object.fromEntries(properties));
      assert.equal((await backEnd.receipt(wish.messageId)).statusCode, 'Success');
    });

    each(
      'reject',
      'a command is rejected',
      async ({ process, device, transport }) => {
        await process.open(device, transport);
        await process.receive(device.deviceId, 'reject');
        const messageId = `c-${device.deviceId}`;
        await backEnd.send(device.deviceId, { messageId, ack: 'full', text: 'x' });
        await process.command(device.deviceId, messageId);
        assert.equal((await backEnd.receipt(messageId)).statusCode, 'Rejected');
      },
      ({ answers }) => answers.includes('reject'),
    );

    each(
      'abandon',
      'a command is abandoned, comes again and is completed',
      async ({ process, device, transport }) => {
        await process.open(device, transport);
        await process.receive(device.deviceId, 'abandon', 'complete');
        const messageId = `c-${device.deviceId}`;
        await backEnd.send(device.deviceId, { messageId, ack: 'full', text: 'x' });
        const outcomes = [];
        for (let n = 0; n < 2; n++) outcomes.push((await process.command(device.deviceId, messageId)).outcome);
        assert.deepEqual(outcomes, ['abandon', 'complete']);
        assert.equal((await backEnd.receipt(messageId)).statusCode, 'Success');
      },
      ({ answers }) => answers.includes('abandon'),
    );
  });

  each('token', 'its token is renewed while it sends, nothing is lost', async (scene) => {
    const { process, device, transport } = scene;
    await process.open(device, transport, { tokenSeconds: TOKEN_SECONDS });
    const end = performance.now() + 2.2 * TOKEN_SECONDS * 1000;
    for (let n = 0; performance.now() < end; n++) {
      await assertSends(scene, `${device.deviceId} ${n}`);
      await process.client.quiet('none', PAUSE_MS);
    }
    // Accepted after the end of the first token is proof enough, but Python's lives longer, and Java does not tell.
    const renewed = process.client.seen('token renewed').filter((event) => event.device === device.deviceId);
    if (process.sdk.language !== 'Java') assert.notEqual(renewed.length, 0);
  });

  describe('the hub is restarted', () => {
    const set = new Map<string, Promise<void>>();

    before(async () => {
      for (const [sdk, transport] of pairs) {
        const process = processes.get(sdk);
        const device = devices.get(idOf('restart', sdk, transport)) as Device;
        if (process === undefined) continue;
        const ready = async (): Promise<void> => {
          await process.open(device, transport);
          await process.receive(device.deviceId, 'complete');
          await assertSends({ process, device, transport }, `${device.deviceId} before`);
          await backEnd.send(device.deviceId, { messageId: 'before', text: 'x' });
          await process.command(device.deviceId, 'before');
        };
        set.set(device.deviceId, ready());
      }
      await Promise.allSettled(set.values());
      await backEnd[Symbol.asyncDispose]();
      await tail[Symbol.asyncDispose]();
      await hub.stop();
      hub = await hub.restart();
      tail = new EventTail(hub);
      backEnd = await BackEnd.start(hub);
    });

    each('restart', 'after a restart of the hub it sends and receives without being told to', async (scene) => {
      const { process, device } = scene;
      await set.get(device.deviceId);
      await assertSends(scene, `${device.deviceId} after`);
      await backEnd.send(device.deviceId, { messageId: 'after', text: 'x' });
      await process.command(device.deviceId, 'after');
    });
  });
});
