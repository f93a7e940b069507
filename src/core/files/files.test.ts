import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { seededRandom } from '../../base/random.ts';
import { createMemoryFileGrants } from '../../stores/memory/file-grants.ts';
import { createMemoryFileRecords } from '../../stores/memory/file-records.ts';
import { createMemoryRollouts } from '../../stores/memory/file-rollouts.ts';
import { createMemoryObjectStore } from '../../stores/memory/object-store.ts';
import { HubError } from '../errors.ts';
import { createGuard, silentAudit } from '../identity/guard.ts';
import type { Principal } from '../identity/types.ts';
import { silentRecorder } from '../monitoring/types.ts';
import { UploadRate } from '../throttling/upload-rate.ts';
import { BlobError } from './blob-error.ts';
import { createFiles } from './files.ts';
import { ObjectError, type ObjectStore } from './object-store.ts';
import { defaultFileLimits, type UploadTicket } from './types.ts';

const key = { deviceId: 'd1' };
const device: Principal = {
  kind: 'device',
  key,
  generationId: 'g',
  authScope: 'device',
  authType: 'sas',
  expiresAt: Number.POSITIVE_INFINITY,
};
const service: Principal = {
  kind: 'policy',
  policyName: 'service',
  permissions: new Set(['ServiceConnect']),
  scope: [],
  expiresAt: Number.POSITIVE_INFINITY,
};
const facts = { contentType: 'text/plain', condition: {} };

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

/** Files of one device, at a time that the test sets. */
function scene() {
  const clock = new VirtualClock();
  const identity = { generationId: 'g', status: 'enabled' as const };
  const identities = { get: async () => identity } as never;
  const memory = createMemoryObjectStore(clock);
  /** What happens when something has just been stored. */
  const behind = { put: async (): Promise<void> => {}, deleteAll: async (): Promise<void> => {} };
  const store: ObjectStore = {
    ...memory,
    async put(...args) {
      const stored = await memory.put(...args);
      await behind.put();
      return stored;
    },
    async deleteAll(prefix) {
      await behind.deleteAll();
      return memory.deleteAll(prefix);
    },
  };
  const room = createFiles({
    guard: createGuard(clock, silentAudit),
    store,
    records: createMemoryFileRecords(identities),
    grants: createMemoryFileGrants(identities),
    rollouts: createMemoryRollouts(),
    identities,
    limits: { ...defaultFileLimits, uploadsOpenMax: 2, deletesWithIdentity: true },
    pace: { slowed: (source) => source },
    uploadRate: new UploadRate(clock),
    secret: Buffer.alloc(32, 1),
    hostName: () => 'localhost',
    recorder: silentRecorder,
    clock,
    random: seededRandom(1),
    log: silentLog,
  });
  const begin = (name: string) => room.files.beginUpload(device, key, name);
  const open = ({ blobName, sasToken }: UploadTicket) => room.blobs.blob(blobName, new URLSearchParams(sasToken));
  return { clock, room, store, begin, open, identity, memory, behind };
}

const hubError = (code: string) => (error: unknown) => error instanceof HubError && error.code === code;
const blobError = (code: string) => (error: unknown) => error instanceof BlobError && error.code === code;

test('the time of an upload ends its URL, its word and its place', async () => {
  const { clock, room, begin, open } = scene();
  const first = await begin('a');
  clock.advance(1000);
  const second = await begin('b');
  await assert.rejects(begin('c'), hubError('DeviceMaximumActiveFileUploadLimitExceeded'));
  await (await open(first)).put({ source: once('in time') }, facts);
  clock.advance(limits.fileUploadMs - 1000);
  await assert.rejects(open(first), blobError('AuthenticationFailed'));
  await open(second);
  await assert.rejects(
    room.files.endUpload(device, key, first.correlationId, true),
    hubError('ExpiredFileUploadCorrelationId'),
  );
  assert.equal((await room.totals()).uploadsOpen, 1);
  // Its place is free, before and behind the sweep.
  const third = await begin('c');
  await room.sweep(true);
  await room.files.endUpload(device, key, third.correlationId, false);
  await begin('d');
  await assert.rejects(begin('e'), hubError('DeviceMaximumActiveFileUploadLimitExceeded'));
  await assert.rejects(
    room.files.endUpload(device, key, first.correlationId, true),
    hubError('InvalidFileUploadCorrelationId'),
  );
});

test('a device begins so many uploads at once, then so many a second', async () => {
  const { clock, room, begin } = scene();
  const beginAndEnd = async (): Promise<void> => {
    const { correlationId } = await begin('a');
    await room.files.endUpload(device, key, correlationId, false);
  };
  for (let nth = 0; nth < limits.fileUploadsAtOnceMax; nth++) await beginAndEnd();
  await assert.rejects(begin('a'), hubError('ThrottlingException'));
  clock.advance(1000);
  for (let nth = 0; nth < limits.fileUploadsPerSecond; nth++) await beginAndEnd();
  await assert.rejects(begin('a'), hubError('ThrottlingException'));
});

test('what has begun in time is taken to its end', async () => {
  const { clock, begin, open } = scene();
  const blob = await open(await begin('a'));
  async function* late(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('first, ');
    clock.advance(limits.fileUploadMs + 1);
    yield Buffer.from('second');
  }
  assert.equal((await blob.put({ source: late() }, facts)).bytes, 13);
});

test('but not for ever', async () => {
  const { clock, store, begin, open } = scene();
  const ticket = await begin('a');
  const blob = await open(ticket);
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (;;) {
      clock.advance(60_000);
      yield Buffer.from('x');
    }
  }
  await assert.rejects(blob.put({ source: endless() }, facts), blobError('AuthenticationFailed'));
  assert.equal(await store.head(ticket.blobName), undefined);
});

test('blocks that nobody commits stay for an hour behind their time, and no longer', async () => {
  const { clock, room, store, begin, open } = scene();
  const ticket = await begin('a');
  const blob = await open(ticket);
  await blob.stage('QUFB', { source: once('block'), bytes: 5 });
  clock.advance(limits.fileUploadMs + limits.stagedBlocksKeptMs - 1000);
  await room.sweep(true);
  assert.equal(await store.stagedBytes(ticket.blobName), 5);
  clock.advance(1001);
  await room.sweep(true);
  assert.equal(await store.stagedBytes(ticket.blobName), 0);
  assert.equal((await store.usage(''))?.bytes, 0);
});

test('a notification that nobody takes ends in time', async () => {
  const { clock, room, begin, open } = scene();
  const ticket = await begin('a');
  await (await open(ticket)).put({ source: once('x') }, facts);
  await room.files.endUpload(device, key, ticket.correlationId, true);
  assert.equal((await room.totals()).notifications, 1);
  clock.advance(limits.fileNotificationTtlMs);
  assert.equal(await room.files.takeNotification(service), undefined);
  assert.equal((await room.totals()).notifications, 0);
});

test('what is stored while its identity goes is removed again, and nothing that another has stored there since', async () => {
  const { room, store, memory, begin, open, identity, behind } = scene();
  const blob = await open(await begin('a'));
  const bySignedUrl = () => blob.put({ source: once('own') }, facts);
  const byBackEnd = () => room.downloads.put(service, key, 'a', { source: once('own') }, facts);
  const all = [
    [bySignedUrl, blobError('AuthenticationFailed')],
    [byBackEnd, hubError('DeviceNotFound')],
  ] as const;
  for (const [put, refused] of all) {
    for (const isReplaced of [false, true]) {
      behind.put = async () => {
        identity.generationId = 'another';
        if (isReplaced) await memory.put(blob.path, once('of another'), { ...facts, bytesMax: 100 });
      };
      identity.generationId = 'g';
      await assert.rejects(put(), refused);
      assert.equal((await memory.head(blob.path))?.bytes, isReplaced ? 10 : undefined);
      await memory.delete(blob.path);
    }
  }
  // The store that fails then is told as one that fails.
  behind.put = async () => {
    identity.generationId = 'another';
  };
  identity.generationId = 'g';
  const failing = async (): Promise<never> => {
    throw new ObjectError('unavailable');
  };
  store.delete = failing;
  await assert.rejects(bySignedUrl(), blobError('ServerBusy'));
});

test('a device that is made anew waits until the files of the former one are gone: its own stay', async () => {
  const { room, begin, open, behind, store, identity } = scene();
  await (await open(await begin('old'))).put({ source: once('of the former') }, facts);
  const { promise: removed, resolve: remove } = Promise.withResolvers<void>();
  behind.deleteAll = () => removed;
  const order: string[] = [];
  const forgotten = room.forget(key).then(() => order.push('forgotten'));
  identity.generationId = 'h';
  const begun = begin('new').then((ticket) => {
    order.push('begun');
    return ticket;
  });
  const listed = room.downloads.list(service, key, { limit: 10 }).then((files) => {
    order.push('listed');
    return files;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(order, []);
  remove();
  await (await open(await begun)).put({ source: once('of the new one') }, facts);
  await forgotten;
  assert.deepEqual(await listed, []);
  const files = await store.list('d1/', { limit: 10 });
  assert.deepEqual(
    files.map(({ path }) => path),
    ['d1/new'],
  );
});
