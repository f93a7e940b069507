/** Files in blocks, from clients that do not keep to the order, or to their file. */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { systemClock, VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { FakeHub } from '../../gateway/testing/fake-hub.ts';
import type { DeviceSession, Host } from '../../gateway/types.ts';
import { encodeBlock } from '../../wire/coap/blocks.ts';
import { codes, codeText, empty, optionOf, options } from '../../wire/coap/messages.ts';
import type { Answer } from './exchange.ts';
import { FileTransfers } from './files.ts';
import { type Request, readRequest } from './request.ts';

const log = { debug() {}, info() {}, warn() {}, error() {} };
let hub: FakeHub;
let clock: VirtualClock;
let transfers: FileTransfers;
let session: DeviceSession;

beforeEach(() => {
  hub = new FakeHub();
  clock = new VirtualClock();
  transfers = new FileTransfers({ clock, limits: { filePartBytesMax: 4096 } } as unknown as Host);
  session = hub.connect({ kind: 'key', device: 'd', key: hub.addDevice('d') }, {}, {}, { clock: systemClock, log });
});

function block(number: number, more: boolean, exponent = 2): Buffer {
  return encodeBlock({ number, more, exponent });
}
async function ask(code: number, name: string, of: number | undefined, value?: Buffer, payload = empty) {
  const list = [
    ...['files', ...name.split('/')].map((text) => ({ number: options.uriPath, value: Buffer.from(text) })),
    ...(of === undefined || value === undefined ? [] : [{ number: of, value }]),
  ];
  const request = readRequest({ code, token: empty, options: list, payload }) as Request;
  return transfers.serve(request, 'd', 'caller', session);
}
const put = (name: string, number: number, more: boolean, text: string): Promise<Answer> =>
  ask(codes.put, name, options.block1, block(number, more), Buffer.from(text.padEnd(more ? 64 : 0)));
const get = (name: string, number?: number): Promise<Answer> =>
  ask(codes.get, name, options.block2, number === undefined ? undefined : block(number, false));
const code = ({ code: of }: Answer): string => codeText(of);
const tagOf = (answer: Answer): string => optionOf({ options: answer.options ?? [] }, options.etag)!.toString('hex');

test('a block that is missing, repeated or without a beginning', async () => {
  assert.equal(code(await put('a', 1, true, 'middle')), '4.08');
  assert.equal(code(await put('a', 0, true, 'one')), '2.31');
  assert.equal(code(await put('a', 2, true, 'three')), '4.08');
  assert.equal(code(await put('a', 0, true, 'one')), '2.31');
  assert.equal(code(await put('a', 1, true, 'two')), '2.31');
  assert.equal(code(await put('a', 1, true, 'two')), '2.31');
  assert.equal(code(await put('a', 2, false, 'end')), '2.04');
  assert.equal(hub.fileOf('d', 'a')?.toString(), ['one'.padEnd(64), 'two'.padEnd(64), 'end'].join(''));
  assert.equal(code(await put('a', 3, false, 'more')), '4.08');
});

test('blocks that come at once are taken one behind the other', async () => {
  await put('a', 0, true, '0');
  const answers = await Promise.all([1, 2, 3].map((number) => put('a', number, number < 3, String(number))));
  assert.deepEqual(answers.map(code), ['2.31', '2.31', '2.04']);
  assert.equal(hub.fileOf('d', 'a')?.length, 3 * 64 + 1);
});

test('an upload that nobody goes on with is given up; of one device some are kept', async () => {
  await put('a', 0, true, 'one');
  clock.advance(limits.coapUploadMs + 1);
  transfers.sweep();
  assert.equal(code(await put('a', 1, false, 'two')), '4.08');
  for (let at = 0; at <= limits.coapUploadsPerDeviceMax; at++) await put(`f${at}`, 0, true, 'x');
  assert.equal(code(await put('f0', 1, false, 'y')), '4.08');
  assert.equal(code(await put('f1', 1, false, 'y')), '2.04');
});

test('uploads of one device that begin at the same time are counted before the hub has opened them', async () => {
  const { files } = session;
  assert.ok(files !== undefined);
  let open = 0;
  let openMax = 0;
  const counting = {
    ...session,
    files: {
      read: files.read,
      upload: async (name: string) => {
        openMax = Math.max(openMax, ++open);
        const upload = await files.upload(name);
        return {
          ...upload,
          abandon: async () => {
            open--;
            await upload.abandon();
          },
        };
      },
    },
  } as unknown as DeviceSession;
  session = counting;
  const names = Array.from({ length: 4 * limits.coapUploadsPerDeviceMax }, (_, at) => `g${at}`);
  const said = await Promise.allSettled([...names, 'same', 'same'].map((name) => put(name, 0, true, 'x')));
  assert.equal(openMax, limits.coapUploadsPerDeviceMax);
  assert.equal(said.filter(({ status }) => status === 'fulfilled').length, limits.coapUploadsPerDeviceMax);
  for (const name of ['h', 'h']) assert.equal(code(await put(name, 0, true, 'x')), '2.31');
  assert.equal(open, limits.coapUploadsPerDeviceMax, 'each makes room for the next');
});

test('parts of many files that one device reads push out its own, and nobody else’s', async () => {
  let asked = 0;
  const files = session.files;
  assert.ok(files !== undefined);
  const counting = {
    files: {
      ...files,
      read: (...of: Parameters<typeof files.read>) => {
        asked++;
        return files.read(...of);
      },
    },
  };
  session = counting as unknown as DeviceSession;
  for (let at = 0; at < limits.coapFilesMax; at++) hub.putFile('d', `f${at}`, Buffer.alloc(200, 'a'));
  const of = (number: number): Request =>
    readRequest({
      code: codes.get,
      token: empty,
      options: [
        ...['files', 'f0'].map((text) => ({ number: options.uriPath, value: Buffer.from(text) })),
        { number: options.block2, value: block(number, false) },
      ],
      payload: empty,
    }) as Request;
  await transfers.serve(of(0), 'e', 'another', session);
  for (let at = 0; at < limits.coapFilesMax; at++) await get(`f${at}`, 0);
  const before = asked;
  await transfers.serve(of(1), 'e', 'another', session);
  assert.equal(asked, before);
});

test('a file that is another one meanwhile has another ETag; there is no block behind its end', async () => {
  hub.putFile('d', 'fw', Buffer.alloc(10_000, 'a'));
  const first = await get('fw');
  assert.deepEqual([code(first), first.payload?.length], ['2.05', 1024]);
  const second = await get('fw', 1);
  assert.deepEqual([second.payload?.length, tagOf(second)], [64, tagOf(first)]);
  hub.putFile('d', 'fw', Buffer.alloc(10_000, 'b'));
  // Of the part that was fetched before still the one, of the next the other.
  assert.equal(tagOf(await get('fw', 2)), tagOf(first));
  assert.notEqual(tagOf(await get('fw', 100)), tagOf(first));
  const last = await get('fw', 156);
  assert.equal(last.payload?.toString(), 'b'.repeat(10_000 - 156 * 64));
  assert.equal(code(await get('fw', 157)), '4.02');
  await assert.rejects(get('none'), { code: 'notFound' });
  hub.putFile('d', 'empty', empty);
  assert.equal((await get('empty')).payload?.length, 0);
  assert.equal(code(await ask(codes.delete, 'fw', undefined)), '4.05');
});
