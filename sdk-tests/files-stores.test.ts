/** Files of devices in a store elsewhere: each device SDK uploads by each storage library, the C SDK's requests too. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { after, before, describe, test } from 'node:test';
import type { TestHub } from '../test/drivers/hub.ts';
import { type LoopbackCertificate, loopbackCertificate } from '../test/drivers/object-certificate.ts';
import {
  makeBucket,
  missingAzurite,
  missingS3,
  type ObjectServer,
  startAzurite,
  startS3,
} from '../test/drivers/object-servers.ts';
import { noise, sumOf } from './support/file-content.ts';
import { sumOfFile, uploadAsC } from './support/file-requests.ts';
import { type FileSdk, FileUploader, fileSdks } from './support/file-sdks.ts';
import { type Device, openRegistry, startStockHub, whyNot } from './support/hub.ts';
import { missing } from './support/programs.ts';

const MIB = 1024 * 1024;
/** Of the file that is uploaded once to each store: the SDK sends it in some sixty blocks. */
const LARGEST = Number(process.env.MOORING_TEST_STORE_FILE_MIB ?? 250) * MIB;
const sizes = { '10-bytes': 10, '5-MB': 5 * MIB } as const;
const idOf = (sdk: FileSdk): string => `stores-${sdk.language}-${fileSdks.indexOf(sdk)}`.toLowerCase();

interface Store {
  readonly name: string;
  readonly missing: string | false;
  /** Its server, and what a hub is told of it. */
  start(tls: LoopbackCertificate): Promise<{
    readonly server: ObjectServer;
    readonly args: readonly string[];
    readonly env: Readonly<Record<string, string>>;
  }>;
}

const stores: readonly Store[] = [
  {
    name: 'azure',
    missing: missingAzurite(),
    async start(tls) {
      const server = await startAzurite({ tls });
      return { server, args: [], env: { MOORING_FILES_AZURE_CONNECTION_STRING: server.connectionString } };
    },
  },
  {
    name: 's3',
    missing: missingS3(),
    async start(tls) {
      const server = await startS3({ tls });
      await makeBucket(server, 'files', tls.authority);
      const { endpoint, accessKeyId } = server;
      const place = ['--files-s3-endpoint', endpoint, '--files-s3-bucket', 'files'];
      return {
        ...{ server, args: [...place, '--files-s3-access-key-id', accessKeyId] },
        env: { MOORING_FILES_S3_SECRET_ACCESS_KEY: server.secretAccessKey },
      };
    },
  },
];
const cannot = await whyNot();

for (const store of stores) {
  describe(`files in the store ${store.name}`, { skip: cannot ?? store.missing }, () => {
    let folder: string;
    let server: ObjectServer | undefined;
    let hub: TestHub;
    const devices = new Map<string, Device>();
    const fileOf = (name: string): string => path.join(folder, name);

    before(async () => {
      folder = mkdtempSync(path.join(tmpdir(), 'mooring-sdk-stores-'));
      // The hub and the store have one certificate: the SDKs' libraries trust one authority.
      const tls = await loopbackCertificate();
      const files = { cert: tls.certPem, key: tls.keyPem, ca: tls.authority };
      for (const [name, pem] of Object.entries(files)) writeFileSync(fileOf(name), pem);
      const started = await store.start(tls);
      server = started.server;
      const own = ['--tls-cert-file', fileOf('cert'), '--tls-key-file', fileOf('key'), '--tls-ca-file', fileOf('ca')];
      const place = ['--files-store', store.name, '--files-store-ca-file', fileOf('ca'), ...started.args];
      hub = await startStockHub([...own, ...place], started.env);
      for (const [name, bytes] of Object.entries({ ...sizes, largest: LARGEST })) {
        await pipeline(noise(bytes), createWriteStream(fileOf(name)));
      }
      const registry = await openRegistry(hub);
      const ids = [...fileSdks.map(idOf), 'stores-c'];
      for (const device of await registry.createDevices(hub, ids)) devices.set(device.deviceId, device);
      await registry.stop();
    });

    after(async () => {
      await hub?.[Symbol.asyncDispose]();
      await server?.[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    });

    const deviceOf = (id: string): Device => devices.get(id) as Device;
    async function assertStored(deviceId: string, name: string, file: string): Promise<void> {
      const sums = [await sumOfFile(hub, deviceId, name), await sumOf(createReadStream(file))];
      assert.equal(sums[0], sums[1], `${deviceId}/${name}`);
    }

    for (const sdk of fileSdks) {
      test(`${sdk.name} uploads by ${sdk.by}`, { skip: missing(sdk.language) ?? false }, async () => {
        const device = deviceOf(idOf(sdk));
        await using uploader = await FileUploader.start(sdk, hub, device);
        for (const name of Object.keys(sizes)) {
          await uploader.upload(`sizes/${name}`, fileOf(name));
          await assertStored(device.deviceId, `sizes/${name}`, fileOf(name));
        }
      });
    }

    test(`a file of ${LARGEST / MIB} MiB in blocks`, async () => {
      const [sdk] = fileSdks;
      await using uploader = await FileUploader.start(sdk, hub, deviceOf(idOf(sdk)));
      await uploader.upload('largest', fileOf('largest'));
      await assertStored(idOf(sdk), 'largest', fileOf('largest'));
    });

    test('the requests of the C SDK, byte for byte', async () => {
      const blocks = [randomBytes(300 * 1024), randomBytes(11)];
      await uploadAsC(hub, deviceOf('stores-c'), 'log.bin', blocks);
      await pipeline(blocks, createWriteStream(fileOf('c')));
      await assertStored('stores-c', 'log.bin', fileOf('c'));
    });
  });
}
