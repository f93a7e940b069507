/**
 * What modules do over each transport of each device SDK beside twins and methods (twins.test.ts): telemetry of their own, by
 * named outputs, too; they listen to inputs, which only an Edge hub fills; a certificate.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe } from 'node:test';
import type { ApiClient } from '../src/api/client.ts';
import { apiOf } from '../test/drivers/api.ts';
import { makeCertificate } from '../test/drivers/certificates.ts';
import type { TestHub } from '../test/drivers/hub.ts';
import {
  DeviceProcess,
  type DeviceSdk,
  type DeviceTransport,
  deviceSdks,
  type OpenOptions,
} from './support/device-sdks.ts';
import { EventTail, type SeenEvent } from './support/events.ts';
import { startStockHub, whyNot } from './support/hub.ts';
import { missing } from './support/programs.ts';
import { shows } from './support/shows.ts';

const MODULE = 'm-1';

const pairs = deviceSdks.flatMap((sdk) =>
  sdk.transports.filter(({ requests }) => requests !== true).map((transport) => [sdk, transport] as const),
);
const idOf = (kind: string, sdk: DeviceSdk, transport: DeviceTransport): string =>
  `${kind}-${sdk.language}-${transport.name}`.toLowerCase();

describe('modules', { skip: await whyNot() }, () => {
  let hub: TestHub;
  let api: ApiClient;
  let tail: EventTail;
  const processes = new Map<DeviceSdk, DeviceProcess>();
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-sdk-modules-'));

  before(async () => {
    hub = await startStockHub();
    api = apiOf(hub);
    tail = new EventTail(hub);
    for (const sdk of deviceSdks) {
      if (missing(sdk.language) === undefined) processes.set(sdk, await DeviceProcess.start(sdk, hub));
    }
  });

  after(async () => {
    for (const process of processes.values()) await process[Symbol.asyncDispose]();
    await tail?.[Symbol.asyncDispose]();
    api?.close();
    await hub?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  interface Scene {
    readonly process: DeviceProcess;
    readonly deviceId: string;
    readonly transport: DeviceTransport;
    readonly generationId: string;
    /** Logs the module in. */
    open(): Promise<void>;
  }

  function each(
    kind: 'telemetry' | 'x509',
    operation: string,
    work: (scene: Scene) => Promise<void>,
    applies: (sdk: DeviceSdk) => boolean = () => true,
  ): void {
    describe(operation, { concurrency: pairs.length }, () => {
      for (const [sdk, transport] of pairs) {
        if (!applies(sdk)) continue;
        shows({ sdk: sdk.name, transport: transport.name, operation }, missing(sdk.language), async () => {
          const process = processes.get(sdk) as DeviceProcess;
          const deviceId = idOf(kind, sdk, transport);
          await api.devices.create(deviceId);
          const { draft, options } = kind === 'x509' ? await certificateOf(deviceId) : { draft: {}, options: {} };
          const { authentication, generationId } = await api.modules.create(deviceId, MODULE, draft);
          const place = `HostName=${hub.endpoints.hostName};DeviceId=${deviceId};ModuleId=${MODULE}`;
          const key = authentication.symmetricKey.primaryKey ?? '';
          const connectionString = `${place};${kind === 'x509' ? 'x509=true' : `SharedAccessKey=${key}`}`;
          const device = { deviceId, key, generationId, connectionString };
          const open = (): Promise<void> => process.open(device, transport, { ...options, isModule: true });
          await work({ process, deviceId, transport, generationId, open });
        });
      }
    });
  }

  async function certificateOf(deviceId: string): Promise<{ readonly draft: object; readonly options: OpenOptions }> {
    const certificate = await makeCertificate(deviceId);
    const x509Thumbprint = { primaryThumbprint: certificate.sha256, secondaryThumbprint: null };
    const certFile = path.join(folder, `${deviceId}.crt`);
    const keyFile = path.join(folder, `${deviceId}.key`);
    writeFileSync(certFile, certificate.pem);
    writeFileSync(keyFile, certificate.keyPem, { mode: 0o600 });
    const draft = { authentication: { type: 'selfSigned', x509Thumbprint } };
    return { draft, options: { certificate: { certFile, keyFile } } };
  }

  /** The event of this id, which must tell of the module that sent it. */
  async function eventOf({ deviceId, generationId }: Scene, messageId: string, type: string): Promise<SeenEvent> {
    const event = await tail.find((one) => one.messageId === messageId);
    assert.equal(event.system['iothub-connection-device-id'], deviceId);
    assert.equal(event.system['iothub-connection-module-id'], MODULE);
    assert.equal(event.system['iothub-connection-auth-generation-id'], generationId);
    const method = JSON.parse(String(event.system['iothub-connection-auth-method']));
    assert.deepEqual({ scope: method.scope, type: method.type }, { scope: 'module', type });
    return event;
  }

  each(
    'telemetry',
    'a module sends telemetry, by a named output, too, and goes on while it listens to inputs',
    async (scene) => {
      const { process, deviceId } = scene;
      await scene.open();
      await process.send(deviceId, { text: 'plain', messageId: `plain-${deviceId}`, properties: { room: 'a b&c' } });
      const plain = await eventOf(scene, `plain-${deviceId}`, 'sas');
      assert.deepEqual(plain.properties, { room: 'a b&c' });
      await process.client.must('listenInputs', deviceId);
      await process.client.must('sendOutput', deviceId, 'hot', { text: 'by output', messageId: `out-${deviceId}` });
      const named = await eventOf(scene, `out-${deviceId}`, 'sas');
      assert.equal(Buffer.from(named.body, 'base64').toString(), 'by output');
      assert.deepEqual(named.properties, { 'iothub-outputname': 'hot' });
      // A command of its device is none of its own.
      await api.commands.send({ deviceId }, { bodyText: 'x', messageId: `c-${deviceId}` });
      await process.send(deviceId, { text: 'after', messageId: `after-${deviceId}` });
      await eventOf(scene, `after-${deviceId}`, 'sas');
      const own = (kind: string): readonly unknown[] =>
        process.client.seen(kind).filter(({ device }) => device === deviceId);
      assert.deepEqual([...own('input'), ...own('disconnected')], []);
      await process.close(deviceId);
    },
  );

  each(
    'x509',
    'a module with a certificate sends telemetry and reads its twin',
    async (scene) => {
      const { process, deviceId } = scene;
      await scene.open();
      await process.send(deviceId, { text: 'x', messageId: `x-${deviceId}` });
      await eventOf(scene, `x-${deviceId}`, 'x509');
      await process.client.must('watchTwin', deviceId);
      await process.client.must('report', deviceId, { a: 1 });
      assert.equal((await process.client.must('getTwin', deviceId)).reported.a, 1);
      await process.close(deviceId);
    },
    ({ language }) => language !== 'JavaScript',
  );
});
