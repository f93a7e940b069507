/**
 * Devices of the vendor's SDKs that log in by certificates: one whose thumbprint the hub knows, and one of a registered
 * authority, with an intermediate between them. Each sends telemetry, completes a command and, where it can, uses its twin.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe } from 'node:test';
import type { ApiClient } from '../src/api/client.ts';
import { apiOf } from '../test/drivers/api.ts';
import { makeAuthorityCertificate, makeCertificate, type TestCertificate } from '../test/drivers/certificates.ts';
import type { TestHub } from '../test/drivers/hub.ts';
import {
  DeviceProcess,
  type DeviceSdk,
  type DeviceTransport,
  deviceSdks,
  type OpenOptions,
} from './support/device-sdks.ts';
import { EventTail } from './support/events.ts';
import { type Device, startStockHub, whyNot } from './support/hub.ts';
import { missing } from './support/programs.ts';
import { shows } from './support/shows.ts';

const SETTLE_MS_MAX = 10_000;
const kinds = ['selfSigned', 'certificateAuthority'] as const;
type Kind = (typeof kinds)[number];
const operations: Readonly<Record<Kind, string>> = {
  selfSigned:
    'by a self-signed certificate: telemetry, a command, its twin; the certificate of another device is refused',
  certificateAuthority:
    'by a certificate of an authority: telemetry, a command, its twin; one of another authority is refused',
};

const pairs = deviceSdks.flatMap((sdk) =>
  sdk.transports.filter(({ certificates }) => certificates).map((transport) => [sdk, transport] as const),
);
const idOf = (kind: Kind, sdk: DeviceSdk, transport: DeviceTransport): string =>
  `${kind}-${sdk.language}-${transport.name}`.toLowerCase();

describe('devices with certificates', { skip: await whyNot() }, () => {
  let hub: TestHub;
  let api: ApiClient;
  let tail: EventTail;
  const processes = new Map<DeviceSdk, DeviceProcess>();
  const own = new Map<string, OpenOptions['certificate']>();
  const foreign = new Map<string, OpenOptions['certificate']>();
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-sdk-x509-'));

  before(async () => {
    hub = await startStockHub();
    api = apiOf(hub);
    const root = await makeAuthorityCertificate('Root');
    const lower = await makeAuthorityCertificate('Lower', { issuer: root });
    const { verificationCode } = await api.certificateAuthorities.add('root', root.pem);
    const proof = await makeCertificate(verificationCode ?? '', { issuer: root });
    await api.certificateAuthorities.prove('root', proof.pem);
    const stranger = await makeAuthorityCertificate('Lower');
    for (const [sdk, transport] of pairs) {
      const signed = idOf('certificateAuthority', sdk, transport);
      await api.devices.create(signed, { authentication: { type: 'certificateAuthority' } });
      own.set(signed, save(`${signed}-own`, await makeCertificate(signed, { issuer: lower }), lower));
      foreign.set(signed, save(`${signed}-other`, await makeCertificate(signed, { issuer: stranger }), stranger));
      const self = idOf('selfSigned', sdk, transport);
      const certificate = await makeCertificate(self);
      const x509Thumbprint = { primaryThumbprint: certificate.sha256, secondaryThumbprint: null };
      await api.devices.create(self, { authentication: { type: 'selfSigned', x509Thumbprint } });
      own.set(self, save(`${self}-own`, certificate));
      foreign.set(self, save(`${self}-other`, await makeCertificate(self)));
    }
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

  function save(name: string, ...chain: readonly TestCertificate[]): OpenOptions['certificate'] {
    const files = { certFile: path.join(folder, `${name}.crt`), keyFile: path.join(folder, `${name}.key`) };
    writeFileSync(files.certFile, chain.map(({ pem }) => pem).join(''));
    writeFileSync(files.keyFile, chain[0].keyPem, { mode: 0o600 });
    return files;
  }

  async function works(process: DeviceProcess, device: Device, transport: DeviceTransport): Promise<void> {
    const { deviceId } = device;
    await process.open(device, transport, { certificate: own.get(deviceId) });
    await process.send(deviceId, { text: `from ${deviceId}`, messageId: `m-${deviceId}` });
    const { body, system } = await tail.find(({ messageId }) => messageId === `m-${deviceId}`);
    assert.equal(Buffer.from(body, 'base64').toString(), `from ${deviceId}`);
    assert.equal(system['iothub-connection-device-id'], deviceId);
    const { scope, type } = JSON.parse(String(system['iothub-connection-auth-method']));
    assert.deepEqual({ scope, type }, { scope: 'device', type: 'x509' });
    await process.receive(deviceId, 'complete');
    await api.commands.send({ deviceId }, { bodyText: 'öffne', messageId: `c-${deviceId}` });
    const command = await process.command(deviceId, `c-${deviceId}`);
    assert.equal(Buffer.from(command.body, 'base64').toString(), 'öffne');
    if (transport.requests !== true) {
      await process.client.must('watchTwin', deviceId);
      await process.client.must('report', deviceId, { temperature: 20.5 });
      const { desired, reported } = await process.client.must('getTwin', deviceId);
      assert.equal(desired.$version, 1);
      assert.equal(reported.temperature, 20.5);
    }
    await assertCompleted(deviceId, `c-${deviceId}`);
    await process.close(deviceId);
  }

  /** The SDK tells the application before it tells the hub. */
  async function assertCompleted(deviceId: string, messageId: string): Promise<void> {
    const deadline = Date.now() + SETTLE_MS_MAX;
    for (;;) {
      const { commands } = await api.commands.find({ deviceId }, { messageId });
      if (commands[0].outcome === 'completed') return;
      assert.ok(commands[0].outcome === undefined && Date.now() < deadline, JSON.stringify(commands));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  for (const kind of kinds) {
    describe(operations[kind], { concurrency: pairs.length }, () => {
      for (const [sdk, transport] of pairs) {
        // HTTP has no twins.
        const operation = transport.requests ? operations[kind].replace(', its twin', '') : operations[kind];
        const cell = { sdk: sdk.name, transport: transport.name, operation };
        shows(cell, missing(sdk.language), async () => {
          const process = processes.get(sdk) as DeviceProcess;
          const deviceId = idOf(kind, sdk, transport);
          const connectionString = `HostName=${hub.endpoints.hostName};DeviceId=${deviceId};x509=true`;
          const device = { deviceId, connectionString, key: '', generationId: '' };
          const refused = await process.refusal(device, transport, { certificate: foreign.get(deviceId) });
          const { error } = refused
            ? { error: refused }
            : await process.client.call('send', deviceId, { text: 'by a certificate of another' });
          assert.match(`${error?.name} ${error?.message}`, /unauthorized|credential|authentication/i);
          await works(process, device, transport);
        });
      }
    });
  }
});
