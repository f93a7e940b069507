/** The store `azure` against Azurite: the contract of all stores, and what only an account can do. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { ObjectError } from '../../src/core/files/object-store.ts';
import { objectStoreContract } from '../../src/stores/contract/object-store.ts';
import { readConnectionString } from '../../src/stores/objects/azure/account.ts';
import { type AzureStore, openAzureStore } from '../../src/stores/objects/azure/azure-store.ts';
import { type Azurite, missingAzurite, startAzurite } from '../drivers/object-servers.ts';

const skip = missingAzurite();
let azurite: Azurite;

before(async () => {
  if (skip === false) azurite = await startAzurite();
});
after(() => azurite?.[Symbol.asyncDispose]());

async function openStore(container: string, connectionString = azurite.connectionString) {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-azure-'));
  const outcomes: string[] = [];
  const open = async (): Promise<AzureStore> => {
    const store = await openAzureStore({
      ...{ account: readConnectionString(connectionString), container, ca: undefined, folder, clock: systemClock },
      observe: (outcome) => outcomes.push(outcome),
    });
    return store;
  };
  let store = await open();
  return {
    ...{ folder, outcomes },
    store,
    async reopen() {
      await store.close();
      store = await open();
      return store;
    },
    async close() {
      await store.close();
      rmSync(folder, { recursive: true });
    },
  };
}

const newContainer = (): string => `c${randomBytes(8).toString('hex')}`;

objectStoreContract(
  'azure',
  async () => {
    const opened = await openStore(newContainer());
    await opened.store.prepare();
    return opened;
  },
  // The account takes names of 1,024 characters, the device's id included.
  { skip, nameCharsMax: 1000, expiresItself: true },
);

async function* inPieces(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}
const plain = { bytesMax: 1e9, contentType: 'text/plain', condition: {} };
async function bytesOf(store: AzureStore, name: string): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of (await store.read(name))?.body ?? []) pieces.push(piece);
  return Buffer.concat(pieces);
}

test('azure: a file that needs several blocks, beside blocks that a device has left there', { skip }, async () => {
  const { store, folder, close } = await openStore(newContainer());
  await store.prepare();
  // As the C SDK numbers them: ids of another length than the hub's own.
  const id = Buffer.from('     0').toString('base64');
  await store.stage('d1/x', id, inPieces(randomBytes(100)), { bytesMax: 1e9, bytes: 100 });
  const bytes = randomBytes(limits.fileStoreWholeBytesMax + 12_345);
  const facts = await store.put('d1/x', inPieces(bytes), plain);
  assert.equal(facts.bytes, bytes.length);
  assert.ok(bytes.equals(await bytesOf(store, 'd1/x')));
  assert.deepEqual(await store.head('d1/x'), facts);
  assert.deepEqual(readdirSync(path.join(folder, '.staging')), [], 'nothing is left on the disk');
  await close();
});

test('azure: a signed URL of the account writes and reads one blob, and no other', { skip }, async () => {
  const { store, close } = await openStore(newContainer());
  await store.prepare();
  const { direct } = store;
  assert.ok(direct !== undefined);
  const expiresAt = Math.floor(Date.now() / 1000) * 1000 + 3_600_000;
  const query = direct.sign('d1/logs/a b.txt', new Set(['read', 'write']), expiresAt).replace('&spr=https', '');
  // Azurite stands on plain HTTP here, which the hub's own URLs do not allow.
  const url = (name: string) => `http://${direct.hostName}/${direct.containerName}/d1/logs/${name}${query}`;
  const headers = { 'x-ms-blob-type': 'BlockBlob', 'x-ms-version': '2020-10-02' };
  const put = (name: string) => fetch(url(name), { method: 'PUT', headers, body: 'warm' });
  assert.equal((await put('a%20b.txt')).status, 403, 'the protocol is part of what is signed');
  assert.match(query, /^\?sv=2020-12-06&sr=b&se=[^&]+&sp=rw&sig=/);
  await close();
});

test('azure: an account that is away is said to be; what it had is there again', { skip }, async () => {
  await using own = await startAzurite();
  const { store, outcomes, close } = await openStore('files', own.connectionString);
  await store.prepare();
  await store.put('d1/x', inPieces(Buffer.from('warm')), plain);
  await store.check();
  await own.stop();
  const isAway = (error: unknown): boolean =>
    error instanceof ObjectError && error.kind === 'unavailable' && /ECONNREFUSED|ECONNRESET/.test(error.message);
  await assert.rejects(store.check(), isAway);
  await assert.rejects(store.put('d1/y', inPieces(Buffer.from('cold')), plain), isAway);
  assert.ok(outcomes.includes('failed'));
  await own.restart();
  assert.equal((await bytesOf(store, 'd1/x')).toString(), 'warm');
  assert.equal(await store.head('d1/y'), undefined);
  await close();
});

test('azure: a key that the account does not know, and a container that is not there, are refused', {
  skip,
}, async () => {
  const other = azurite.connectionString.replace(
    /AccountKey=[^;]+/,
    `AccountKey=${randomBytes(64).toString('base64')}`,
  );
  const stranger = await openStore('files', other);
  await assert.rejects(stranger.store.prepare(), { kind: 'denied' });
  await stranger.close();
  const { store, close } = await openStore(newContainer());
  await assert.rejects(store.check(), { kind: 'denied' });
  await close();
});
