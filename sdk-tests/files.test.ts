/** Files of devices: each device SDK uploads by each storage library of its language, and back ends hear of it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { after, before, describe, test } from 'node:test';
import type { TestHub } from '../test/drivers/hub.ts';
import { BackEnd, backEndSdks } from './support/back-ends.ts';
import { noise, sumOf } from './support/file-content.ts';
import { uploadAsC } from './support/file-requests.ts';
import { BLOCK_BYTES, BLOCKS_AT_ONCE, type FileSdk, FileUploader, fileSdks } from './support/file-sdks.ts';
import { type Device, openRegistry, startStockHub, whyNot } from './support/hub.ts';
import { missing } from './support/programs.ts';
import { shows } from './support/shows.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** Of the largest file; the SDKs change their ways at 4, 32 and 256 MiB. */
const LARGEST = Number(process.env.MOORING_TEST_FILE_MIB ?? 50) * MIB;
const sizes = { '10 bytes': 10, '11 bytes': 11, '10 KB': 10 * KIB, '5 MB': 5 * MIB, largest: LARGEST } as const;
const AT_ONCE = 5;

const idOf = (sdk: FileSdk): string => `files-${sdk.language}-${fileSdks.indexOf(sdk)}`.toLowerCase();

describe('files', { skip: await whyNot() }, () => {
  let hub: TestHub;
  let folder: string;
  const devices = new Map<string, Device>();
  const backEnds = new Map<string, BackEnd>();

  before(async () => {
    hub = await startStockHub();
    folder = mkdtempSync(path.join(tmpdir(), 'mooring-sdk-files-'));
    const all = { ...sizes, '20 blocks': BLOCKS_AT_ONCE * BLOCK_BYTES };
    for (const [name, bytes] of Object.entries(all)) await pipeline(noise(bytes), createWriteStream(fileOf(name)));
    const registry = await openRegistry(hub);
    const ids = [...fileSdks.map(idOf), 'files-c', ...backEndSdks.map(({ language }) => `told-${language}`)];
    for (const device of await registry.createDevices(hub, ids)) devices.set(device.deviceId, device);
    await registry.stop();
  });

  after(async () => {
    for (const backEnd of backEnds.values()) await backEnd[Symbol.asyncDispose]();
    await hub?.[Symbol.asyncDispose]();
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });

  const fileOf = (name: string): string => path.join(folder, name.replace(' ', '-'));
  const deviceOf = (id: string): Device => devices.get(id) as Device;

  /** What the operator finds is what the application sent. */
  async function assertStored(deviceId: string, name: string, file: string): Promise<void> {
    const stored = path.join(hub.dataDir, 'files', deviceId, encodeURIComponent(name));
    assert.equal(await sumOf(createReadStream(stored)), await sumOf(createReadStream(file)), `${deviceId}/${name}`);
  }

  for (const sdk of fileSdks) {
    const cell = { sdk: sdk.name, transport: sdk.transport };
    shows(
      { ...cell, operation: `uploads files of 10 bytes to 50 MB by ${sdk.by}` },
      missing(sdk.language),
      async () => {
        const device = deviceOf(idOf(sdk));
        await using uploader = await FileUploader.start(sdk, hub, device);
        for (const name of Object.keys(sizes)) {
          await uploader.upload(`sizes/${name}`, fileOf(name));
          await assertStored(device.deviceId, `sizes/${name}`, fileOf(name));
        }
        // Each of its own: Java writes a blank as a plus, and a plus as %2B, which one of its storage libraries decodes.
        for (const [nth, name] of ['a b.txt', 'a+b.txt', 'a b+c.txt', 'a+b c.txt'].entries()) {
          const file = fileOf(nth % 2 === 0 ? '10 bytes' : '11 bytes');
          await uploader.upload(`names/${name}`, file);
          await assertStored(device.deviceId, `names/${name}`, file);
        }
      },
    );
    if (sdk.inBlocks !== undefined) {
      const operation = `uploads a file in ${BLOCKS_AT_ONCE} blocks at once by ${sdk.by.replace(/ in .*/, '')}`;
      shows({ ...cell, operation }, missing(sdk.language), async () => {
        const device = deviceOf(idOf(sdk));
        await using uploader = await FileUploader.start(sdk, hub, device);
        await uploader.upload('in-blocks', fileOf('20 blocks'), sdk.inBlocks);
        await assertStored(device.deviceId, 'in-blocks', fileOf('20 blocks'));
      });
    }
    shows({ ...cell, operation: `uploads several files at once by ${sdk.by}` }, missing(sdk.language), async () => {
      const device = deviceOf(idOf(sdk));
      await using uploader = await FileUploader.start(sdk, hub, device);
      const names = Array.from({ length: AT_ONCE }, (_, nth) => `at-once-${nth}`);
      await Promise.all(names.map((name) => uploader.upload(name, fileOf('5 MB'))));
      for (const name of names) await assertStored(device.deviceId, name, fileOf('5 MB'));
    });
  }

  // One after the other: a notification goes to whichever back end asks first.
  for (const sdk of backEndSdks) {
    for (const transport of sdk.transports) {
      shows(
        { sdk: sdk.name, transport, operation: 'hears of files that a device has uploaded' },
        missing(sdk.language),
        async () => {
          const device = deviceOf(`told-${sdk.language}`);
          // What earlier tests have uploaded comes first, and is completed, too.
          await using backEnd = await BackEnd.start(hub, sdk, transport);
          await backEnd.receiveFileNotifications();
          await using uploader = await FileUploader.start(fileSdks[0], hub, device);
          await uploader.upload(`${transport}/a b.txt`, fileOf('11 bytes'));
          const blobName = `${device.deviceId}/${transport}/a b.txt`;
          const told = await backEnd.fileNotification(device.deviceId, blobName);
          assert.equal(told.blobSizeInBytes, 11);
          assert.equal(told.blobUri, `https://localhost/hub-files/${device.deviceId}/${transport}/a%20b.txt`);
        },
      );
    }
  }

  test('the requests of the C SDK, byte for byte: no headers, the slash of the name encoded', async () => {
    const blocks = [randomBytes(300 * KIB), randomBytes(11)];
    await uploadAsC(hub, deviceOf('files-c'), 'log.bin', blocks);
    const wanted = fileOf('c');
    await pipeline(blocks, createWriteStream(wanted));
    await assertStored('files-c', 'log.bin', wanted);
  });
});
