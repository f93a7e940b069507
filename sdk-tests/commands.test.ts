/** Service SDKs send commands, read receipts and manage identities; what the hub refuses, as the SDKs report it. */
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import type { TestHub } from '../test/drivers/hub.ts';
import { BackEnd, type BackEndSdk, backEndSdks, type CommandWish } from './support/back-ends.ts';
import { DeviceProcess, deviceSdks } from './support/device-sdks.ts';
import { type Device, openRegistry, type Registry, startStockHub, whyNot } from './support/hub.ts';
import { missing } from './support/programs.ts';
import { shows } from './support/shows.ts';

/** The service's limits, which are the hub's defaults (service reference 4.2). */
const QUEUE_DEPTH_MAX = 50;
const BODY_BYTES_MAX = 64 * 1024;
const TIME_TO_LIVE_MS_MAX = 48 * 3600_000;

interface Refusal {
  readonly what: string;
  readonly device: string;
  readonly wish: CommandWish;
  /** The class of the SDK's error. */
  readonly shown: { readonly JavaScript: string; readonly Java: string; readonly Python: string };
}

const refusals: readonly Refusal[] = [
  refused('a time-to-live in the past', 'plain', { expiresInMs: -1000 }, 'ArgumentError', 'IotHubException'),
  refused(
    'a time-to-live over the maximum',
    'plain',
    { expiresInMs: TIME_TO_LIVE_MS_MAX + 60_000 },
    'ArgumentError',
    'IotHubException',
  ),
  refused('an unknown device', 'nobody', {}, 'DeviceNotFoundError', 'IotHubNotFoundException'),
  refused('a disabled device', 'disabled', {}, 'UnauthorizedError', 'IotHubUnauthorizedException'),
  refused(
    'a body over 64 KB',
    'plain',
    { bodyBytes: BODY_BYTES_MAX + 1 },
    'MessageTooLargeError',
    'IotHubMessageTooLargeException',
  ),
  // Node escapes the id, and so names a device that cannot be; Java does not, and so names no device.
  refused('an id that makes no address', 'a/b', {}, 'DeviceNotFoundError', 'IotHubInvalidOperationException'),
];

const variants = backEndSdks.flatMap((sdk) => sdk.transports.map((transport) => [sdk, transport] as const));

describe('back ends over every transport', { skip: await whyNot() }, () => {
  let hub: TestHub;
  let registry: Registry;
  let device: DeviceProcess;
  let receiving: readonly Device[];

  before(async () => {
    hub = await startStockHub();
    registry = await openRegistry(hub);
    const full = variants.map(([sdk, transport]) => fullOf(sdk, transport));
    await registry.createDevices(hub, ['plain', 'disabled', ...full]);
    await registry.call('update', { ...(await registry.call('get', 'disabled')), status: 'disabled' });
    const ids = variants.map(([sdk, transport]) => `receives-${sdk.language}-${transport}`);
    receiving = await registry.createDevices(hub, ids);
    device = await DeviceProcess.start(deviceSdks[0], hub);
  });

  after(async () => {
    await device?.[Symbol.asyncDispose]();
    await registry?.stop();
    await hub?.[Symbol.asyncDispose]();
  });

  function each(
    operation: string,
    work: (backEnd: BackEnd, sdk: BackEndSdk, transport: string, at: number) => Promise<void>,
    concurrency = true,
  ): void {
    describe(operation, { concurrency }, () => {
      for (const [at, [sdk, transport]] of variants.entries()) {
        shows({ sdk: sdk.name, transport, operation }, missing(sdk.language), async () => {
          await using backEnd = await BackEnd.start(hub, sdk, transport);
          await work(backEnd, sdk, transport, at);
        });
      }
    });
  }

  // One after the other: a receipt goes to whichever back end asks first.
  each(
    'sends commands that a device completes or rejects; reads a receipt for each',
    async (backEnd, _sdk, _t, at) => {
      const { deviceId } = receiving[at];
      // A receipt that another back end did not settle before it ended comes again, here: each names its variant.
      const own = (name: string): string => `${name}-${deviceId}`;
      await backEnd.receiveReceipts();
      await device.open(receiving[at], deviceSdks[0].transports[2]);
      await device.receive(deviceId, 'complete', 'reject', 'complete');
      for (const [name, ack] of [
        ['taken', 'full'],
        ['refused', 'negative'],
        ['unasked', 'negative'],
      ] as const) {
        const messageId = own(name);
        await backEnd.send(deviceId, {
          messageId,
          ack,
          text: messageId,
          properties: { n: messageId },
          correlationId: 'c',
        });
        const command = await device.command(deviceId, messageId);
        assert.equal(Buffer.from(command.body, 'base64').toString(), messageId);
        assert.equal(command.properties.n, messageId);
        assert.equal(command.correlationId, 'c');
      }
      for (const [name, statusCode] of [
        ['taken', 'Success'],
        ['refused', 'Rejected'],
      ]) {
        const receipt = await backEnd.receipt(own(name));
        assert.equal(receipt.statusCode, statusCode);
        assert.equal(receipt.deviceId, deviceId);
        assert.equal(receipt.deviceGenerationId, receiving[at].generationId);
      }
      const others = backEnd.client.seen('receipt').filter((receipt) => receipt.deviceId === deviceId);
      assert.deepEqual(others, [], 'receipts that nobody asked for');
    },
    false,
  );

  for (const { what, device: target, wish, shown } of refusals) {
    each(`${what} is refused`, async (backEnd, sdk) => {
      const error = await backEnd.refusal(target, { messageId: 'm', text: 'x', ...wish });
      assert.equal(error?.name, shown[sdk.language], JSON.stringify(error));
      const { cloudToDeviceMessageCount } = await registry.call('get', 'plain');
      assert.equal(cloudToDeviceMessageCount, 0, 'nothing was kept of it');
    });
  }

  each(`the ${QUEUE_DEPTH_MAX + 1}st command that waits is refused`, async (backEnd, sdk, transport) => {
    const full = fullOf(sdk, transport);
    for (let n = 0; n < QUEUE_DEPTH_MAX; n++) await backEnd.send(full, { messageId: `m${n}`, text: 'x' });
    const error = await backEnd.refusal(full, { messageId: 'late', text: 'x' });
    const shown = {
      JavaScript: 'DeviceMaximumQueueDepthExceededError',
      Java: 'IotHubDeviceMaximumQueueDepthExceededException',
      Python: '',
    };
    assert.equal(error?.name, shown[sdk.language], JSON.stringify(error));
    assert.equal((await registry.call('get', full)).cloudToDeviceMessageCount, QUEUE_DEPTH_MAX);
  });

  const java = backEndSdks[1];
  shows(
    { sdk: java.name, transport: 'HTTPS', operation: 'creates, reads, changes, counts and deletes devices' },
    missing(java.language),
    async () => {
      await using backEnd = await BackEnd.start(hub, java);
      const { client } = backEnd;
      const before = await client.must('countDevices');
      const created = await client.must('addDevice', 'made-by-java');
      assert.equal(created.status, 'Enabled');
      assert.equal(Buffer.from(created.primaryKey, 'base64').length, 16);
      assert.deepEqual(await client.must('getDevice', 'made-by-java'), created);
      assert.equal(await client.must('countDevices'), before + 1);
      const changed = await client.must('disableDevice', 'made-by-java');
      assert.equal(changed.status, 'Disabled');
      assert.equal((await registry.call('get', 'made-by-java')).status, 'disabled');
      await client.must('removeDevice', 'made-by-java');
      assert.equal((await client.call('getDevice', 'made-by-java')).error?.name, 'IotHubNotFoundException');
    },
  );
});

function refused(what: string, device: string, wish: CommandWish, JavaScript: string, Java: string): Refusal {
  return { what, device, wish, shown: { JavaScript, Java, Python: '' } };
}

const fullOf = (sdk: BackEndSdk, transport: string): string => `full-${sdk.language}-${transport}`;
