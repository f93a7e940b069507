/** The sample that polls, against devices that answer slowly, wrongly, too much, or not to the end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { FakeHub, type RunningAdapter, runAdapter } from '../../src/gateway/testing/index.ts';
import { until } from '../../test/drivers/until.ts';
import modbus from './adapter.ts';

/** What the device says to a request; the right answer is given. */
type Says = (socket: net.Socket, right: Buffer) => void;

const RETRY_SECONDS = 0.05;

interface Scene {
  readonly hub: FakeHub;
  readonly adapter: RunningAdapter;
  says: Says;
  connections: number;
  open: number;
  requests: number;
}

/** One register, which counts the requests; a write is answered by its echo. */
async function open(
  t: { after(end: () => unknown): void },
  says: Says,
  settings: object = {},
  registers = 1,
): Promise<Scene> {
  const sockets = new Set<net.Socket>();
  const scene = { says, connections: 0, open: 0, requests: 0 } as Scene & { hub: FakeHub; adapter: RunningAdapter };
  const server = net.createServer((socket) => {
    scene.connections++;
    scene.open++;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => {
      sockets.delete(socket);
      scene.open--;
    });
    socket.on('data', (request) => {
      scene.requests++;
      const isWrite = request[7] === 16;
      const right = isWrite
        ? Buffer.from(request.subarray(0, 12))
        : Buffer.concat([request.subarray(0, 8), Buffer.of(2, 0, scene.requests & 0xff)]);
      right.writeUInt16BE(right.length - 6, 4);
      scene.says(socket, right);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  Object.assign(scene, { hub: new FakeHub() });
  for (const device of ['boiler', 'other']) scene.hub.addDevice(device);
  const table = Array.from({ length: registers }, (_, at) => ({ name: `n${at}`, at, writable: true }));
  const device = { device: 'boiler', host: '127.0.0.1', port, everySeconds: 0.02, registers: table };
  const pace = { retrySeconds: RETRY_SECONDS, timeoutSeconds: 0.3, ...settings };
  Object.assign(scene, { adapter: await runAdapter(modbus, { devices: [device], ...pace }, scene.hub) });
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await scene.adapter.stop();
  });
  return scene;
}

const rightly: Says = (socket, right) => void socket.write(right);
const changed = (right: Buffer, change: (bytes: Buffer) => void): Buffer => {
  const bytes = Buffer.from(right);
  change(bytes);
  return bytes;
};

const attacks: Record<string, Says> = {
  'nothing at all': () => {},
  'a byte at a time, too slowly': (socket, right) => {
    for (const [at, byte] of right.entries()) setTimeout(() => socket.write(Buffer.of(byte)), 100 * at).unref();
  },
  'the id of another transaction': (socket, right) =>
    void socket.write(changed(right, (b) => b.writeUInt16BE(0xbeef, 0))),
  'what is of another protocol': (socket, right) => void socket.write(changed(right, (b) => b.writeUInt16BE(7, 2))),
  'a frame of 65,535 bytes': (socket, right) =>
    void socket.write(Buffer.concat([changed(right, (b) => b.writeUInt16BE(0xffff, 4)), Buffer.alloc(70_000)])),
  'a frame of no bytes': (socket, right) => void socket.write(changed(right, (b) => b.writeUInt16BE(0, 4))),
  'another number of registers': (socket, right) => void socket.write(changed(right, (b) => b.writeUInt8(250, 8))),
  'another function': (socket, right) => void socket.write(changed(right, (b) => b.writeUInt8(4, 7))),
  'half a frame, and closes': (socket, right) => void socket.end(right.subarray(0, 9)),
  'a reset': (socket) => void socket.resetAndDestroy(),
  'megabytes of noise': (socket) => void socket.write(Buffer.alloc(4 << 20, 0xff)),
};

for (const [what, says] of Object.entries(attacks))
  test(`a device that says ${what} is not believed, is asked again after a pause, and is polled when it is well`, async (t) => {
    const scene = await open(t, says);
    const begin = performance.now();
    await until('it was tried twice', () => scene.connections >= 3, { withinMs: 5000 });
    const tries = 1 + (performance.now() - begin) / (RETRY_SECONDS * 1000);
    assert.ok(scene.connections <= tries + 1, `${scene.connections} connections, though a pause is between them`);
    assert.deepEqual(scene.hub.textsOf('boiler'), []);
    assert.ok(scene.open <= 1, 'the connections before it are closed');
    scene.says = rightly;
    await until('it is polled', () => scene.hub.textsOf('boiler').length > 0, { withinMs: 5000 });
  });

test('exceptions are no end: the connection stays, and a busy device is asked again', async (t) => {
  const scene = await open(t, (socket, right) => {
    const bytes = Buffer.concat([right.subarray(0, 7), Buffer.of(right[7] | 0x80, 6)]);
    bytes.writeUInt16BE(3, 4);
    socket.write(bytes);
  });
  await until('it was asked', () => scene.requests > 5);
  assert.deepEqual([scene.connections, scene.hub.textsOf('boiler')], [1, []]);
  scene.says = rightly;
  await until('it is polled', () => scene.hub.textsOf('boiler').length > 0);
});

test('a write that the device echoes wrongly is not completed', async (t) => {
  const scene = await open(t, rightly);
  await until('it is polled', () => scene.hub.isConnected('boiler'));
  scene.says = (socket, right) =>
    void socket.write(right[7] === 16 ? changed(right, (b) => b.writeUInt16BE(9, 8)) : right);
  // It is delivered again, and given up by the hub in the end.
  assert.equal(await scene.hub.sendCommand('boiler', '{"n0":7}'), 'abandon');
});

test('a device that takes its time for each of many registers does not hold up the end of the adapter', async (t) => {
  const scene = await open(
    t,
    (socket, right) => void setTimeout(() => socket.write(right), 400).unref(),
    { timeoutSeconds: 2 },
    100,
  );
  await until('it is asked', () => scene.requests > 0);
  const begin = performance.now();
  await scene.adapter.stop();
  assert.ok(performance.now() - begin < 2000, `it took ${performance.now() - begin} ms`);
  await until('the connection is closed', () => scene.open === 0);
});
