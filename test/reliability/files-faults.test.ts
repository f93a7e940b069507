/**
 * Files when things break: the hub is killed at any moment (in each step of an upload: `files-kills.test.ts`), the disk is
 * full in the middle, the uploader goes away, the store's folder is gone. What was answered 201 is there whole, nothing half
 * is visible, nothing is left behind.
 * MOORING_TEST_FILE_KILLS sets how often the hub is killed, MOORING_TEST_SEED the seed.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { type FileDevice, fileDevice, type Ticket } from '../drivers/file-device.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';

const KILLS = Number(process.env.MOORING_TEST_FILE_KILLS ?? 3);
const SEED = Number(process.env.MOORING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const KILL_AFTER_MS_MAX = 400;
const BLOCK = 256 * 1024;
const MIB = 1024 * 1024;
const DISK_MIB = 48;
const asBlob = { 'x-ms-blob-type': 'BlockBlob' };

const idOf = (nth: number): string => Buffer.from(String(nth).padStart(12, '0')).toString('base64');
const listOf = (count: number): string =>
  `<BlockList>${Array.from({ length: count }, (_, nth) => `<Latest>${idOf(nth)}</Latest>`).join('')}</BlockList>`;
const sumOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const filesOf = (hub: TestHub): string => path.join(hub.dataDir, 'files');

/** The files that an operator sees of a device. */
function visible(hub: TestHub, deviceId: string): readonly string[] {
  const folder = path.join(filesOf(hub), deviceId);
  try {
    return readdirSync(folder).filter((name) => !name.startsWith('.'));
  } catch {
    return [];
  }
}

/** Files below the store's folder that the hub has open. */
function openFiles(hub: TestHub): readonly string[] {
  const links = readdirSync(`/proc/${hub.pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${hub.pid}/fd/${fd}`)];
    } catch {
      return []; // closed meanwhile
    }
  });
  return links.filter((target) => target.startsWith(filesOf(hub)));
}

async function uploadBlocks(device: FileDevice, ticket: Ticket, bytes: Buffer): Promise<void> {
  const count = Math.ceil(bytes.length / BLOCK);
  for (let nth = 0; nth < count; nth++) {
    const query = `&comp=block&blockid=${encodeURIComponent(idOf(nth))}`;
    const body = bytes.subarray(nth * BLOCK, (nth + 1) * BLOCK);
    assert.equal((await device.blob('PUT', ticket, { query, body })).status, 201);
  }
  const listed = await device.blob('PUT', ticket, { query: '&comp=blocklist', body: listOf(count) });
  assert.equal(listed.status, 201, listed.body.toString());
}

test(`kill -9 at any moment of three uploads, ${KILLS} times: what was 201 is whole, nothing half is visible`, async (t) => {
  t.diagnostic(`MOORING_TEST_SEED=${SEED} MOORING_TEST_FILE_KILLS=${KILLS}`);
  let random = SEED;
  const next = (): number => {
    random = (Math.imul(random, 1103515245) + 12345) & 0x7fffffff;
    return random / 0x7fffffff;
  };
  // A killed upload keeps its place among the device's open ones until its time is over.
  let hub = await startHub({ args: ['--file-uploads-open-max', '1000'] });
  const kept = new Map<string, string>();
  const sums = new Map<string, string>();
  let unknown = 0;
  try {
    const device = await fileDevice(hub, 'd1');
    // The driver's device keeps its hub's ports, which a restart keeps, too.
    for (let round = 0; round < KILLS; round++) {
      let isOver = false;
      const upload = async (lane: number): Promise<void> => {
        for (let nth = 0; !isOver; nth++) {
          const name = `r${round}-${lane}-${nth}`;
          const bytes = randomBytes(1 + Math.floor(next() * 4 * BLOCK));
          sums.set(name, sumOf(bytes));
          const ticket = await device.begin(name);
          if (nth % 2 === 0) await uploadBlocks(device, ticket, bytes);
          else assert.equal((await device.blob('PUT', ticket, { headers: asBlob, body: bytes })).status, 201);
          kept.set(name, sumOf(bytes));
          const { correlationId } = ticket;
          const told = { correlationId, isSuccess: true, statusCode: 200, statusDescription: '' };
          await device.ask('POST', '/files/notifications?api-version=2020-09-30', told);
        }
      };
      const before = kept.size;
      const lanes = [0, 1, 2].map((lane) => upload(lane).catch(() => {}));
      await until('one more is acknowledged', () => kept.size > before);
      await sleep(next() * KILL_AFTER_MS_MAX);
      await hub.kill();
      isOver = true;
      await Promise.all(lanes);
      hub = await hub.restart();
      const seen = visible(hub, 'd1');
      for (const name of kept.keys()) assert.ok(seen.includes(name), `${name} was 201 and is not there`);
      for (const name of seen) {
        const sum = sumOf(readFileSync(path.join(filesOf(hub), 'd1', name)));
        assert.equal(sum, sums.get(name), `${name} is not what was sent`);
        if (!kept.has(name)) unknown += 1;
      }
      // A killed hub leaves at most what three uploads had staged; what no block refers to is gone.
      const staged = readdirSync(path.join(filesOf(hub), '.staging'));
      assert.ok(staged.length <= 3 * (round + 1), `${staged.length} left in .staging`);
    }
    assert.ok(kept.size > 0, 'some were acknowledged');
    t.diagnostic(`${kept.size} files acknowledged and whole, ${unknown} times one whole whose answer was lost`);
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});

test('uploaders that vanish or stay silent leave no file open, nothing visible, and no space taken', async () => {
  await using hub = await startHub();
  const device = await fileDevice(hub, 'd1');
  const before = openFiles(hub).length;
  const tickets = await Promise.all(Array.from({ length: 5 }, (_, nth) => device.begin(`gone-${nth}`)));
  const sockets = tickets.map(({ containerName, blobName, sasToken }, nth) => {
    const socket = tls.connect({ host: 'localhost', port: hub.endpoints.ports.https ?? 0, ca: hub.ca });
    socket.on('error', () => {});
    const query = nth % 2 === 0 ? '' : `&comp=block&blockid=${encodeURIComponent(idOf(0))}`;
    socket.write(
      `PUT /${containerName}/${blobName}${sasToken}${query} HTTP/1.1\r\nHost: localhost\r\n` +
        `x-ms-blob-type: BlockBlob\r\nContent-Length: ${8 * MIB}\r\n\r\n`,
    );
    socket.write(randomBytes(MIB));
    return socket;
  });
  await until('files are open for them', () => openFiles(hub).length > before);
  for (const socket of sockets) socket.destroy();
  await until('their files are closed', () => openFiles(hub).length === before);
  assert.deepEqual(visible(hub, 'd1'), []);
  // Each can begin again under the same URL.
  for (const ticket of tickets) {
    assert.equal((await device.blob('PUT', ticket, { headers: asBlob, body: 'again' })).status, 201);
  }
  assert.equal(visible(hub, 'd1').length, 5);
  assert.deepEqual(readdirSync(path.join(filesOf(hub), '.staging')), [], 'nothing is staged any more');
});

test('a file of which nothing is wanted is not left open', async () => {
  await using hub = await startHub();
  const device = await fileDevice(hub, 'd1');
  const ticket = await device.begin('x');
  const put = await device.blob('PUT', ticket, { headers: asBlob, body: randomBytes(MIB) });
  const before = openFiles(hub).length;
  const unchanged = { 'if-none-match': String(put.headers.etag) };
  for (let nth = 0; nth < 3; nth++) {
    assert.equal((await device.blob('GET', ticket, { headers: unchanged })).status, 304);
    assert.equal((await device.blob('GET', ticket, { headers: { 'if-match': '"0x8D1"' } })).status, 412);
    assert.equal((await device.ask('GET', '/files/x', undefined)).status, 200);
    assert.equal((await device.ask('HEAD', '/files/x', undefined)).status, 200);
  }
  await until('all are closed', () => openFiles(hub).length === before);
});

test('a store whose folder is gone says to come again, and goes on when it is back', async () => {
  await using hub = await startHub();
  const device = await fileDevice(hub, 'd1');
  const ticket = await device.begin('x');
  const put = () => device.blob('PUT', ticket, { headers: asBlob, body: 'content' });
  assert.equal((await put()).status, 201);
  renameSync(filesOf(hub), `${filesOf(hub)}-away`);
  const refused = await put();
  assert.deepEqual([refused.status, refused.headers['x-ms-error-code']], [503, 'ServerBusy'], refused.body.toString());
  rmSync(filesOf(hub), { recursive: true, force: true });
  renameSync(`${filesOf(hub)}-away`, filesOf(hub));
  assert.equal((await put()).status, 201);
});

const place = mkdtempSync(path.join(tmpdir(), 'mooring-file-disk-'));
const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m,mode=700`, 'tmpfs', place]);
const isMounted = mount.status === 0;
after(() => {
  if (isMounted) spawnSync('umount', ['--lazy', place]);
  rmSync(place, { recursive: true, force: true });
});

test('a disk that fills up in the middle of a file: the file is refused, telemetry goes on', {
  skip: isMounted ? false : 'no file system can be mounted here',
}, async () => {
  await using hub = await startHub({ dataDir: path.join(place, 'data'), args: ['--segment-bytes', '1MiB'] });
  const device = await fileDevice(hub, 'd1');
  const ticket = await device.begin('large');
  const telemetry = () => device.ask('POST', '/messages/events?api-version=2020-03-13', { t: 1 });
  let refusal = '';
  for (let nth = 0; nth < DISK_MIB && refusal === ''; nth++) {
    const query = `&comp=block&blockid=${encodeURIComponent(idOf(nth))}`;
    const answer = await device.blob('PUT', ticket, { query, body: randomBytes(MIB) });
    if (answer.status !== 201) refusal = `${answer.status} ${answer.headers['x-ms-error-code']}`;
    assert.equal((await telemetry()).status, 204, `telemetry beside block ${nth}`);
  }
  assert.match(refusal, /QuotaExceeded$/);
  assert.equal((await telemetry()).status, 204, 'telemetry behind the refusal');
  assert.deepEqual(visible(hub, 'd1'), []);
  assert.equal((await device.blob('DELETE', ticket)).status, 404);
});

test('many uploads at once leave the event log its room on the disk', {
  skip: isMounted ? false : 'no file system can be mounted here',
}, async () => {
  // What the full disk of the test before holds is in the way.
  rmSync(path.join(place, 'data'), { recursive: true, force: true });
  await using hub = await startHub({ dataDir: path.join(place, 'many'), args: ['--segment-bytes', '1MiB'] });
  const device = await fileDevice(hub, 'd1');
  const free = (): number => {
    const { bavail, blocks } = statfsSync(place);
    return bavail / blocks;
  };
  const body = randomBytes(16 * MIB);
  const uploads = await Promise.all(
    Array.from({ length: 8 }, async (_, nth) => {
      const ticket = await device.begin(`f${nth}`);
      // Half of them do not say how much there is.
      const length: Record<string, string> = nth % 2 === 0 ? {} : { 'transfer-encoding': 'chunked' };
      return () => device.blob('PUT', ticket, { headers: { ...asBlob, ...length }, body });
    }),
  );
  let least = free();
  const timer = setInterval(() => {
    least = Math.min(least, free());
  }, 5);
  const answers = await Promise.all(
    uploads.map(async (upload) => {
      const { status, headers } = await upload();
      return status === 201 ? '201' : `${status} ${headers['x-ms-error-code']}`;
    }),
  ).finally(() => clearInterval(timer));
  assert.deepEqual(
    [...new Set(answers)].filter((answer) => answer !== '201'),
    ['403 QuotaExceeded'],
  );
  const stored = answers.filter((answer) => answer === '201').length;
  assert.ok(stored >= 1 && stored <= 2, answers.join());
  assert.ok(least > 0.02, `${(100 * least).toFixed(1)} % were free`);
  assert.equal((await device.ask('POST', '/messages/events?api-version=2020-03-13', { t: 1 })).status, 204);
  assert.equal(visible(hub, 'd1').length, stored);
  assert.deepEqual(readdirSync(path.join(filesOf(hub), '.staging')), [], 'what was refused has left nothing');
});

test('fifty uploads of 20 MiB at once take no memory by their size', async (t) => {
  await using hub = await startHub();
  const devices = await Promise.all(Array.from({ length: 5 }, (_, nth) => fileDevice(hub, `d${nth}`)));
  const rss = (): number =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${hub.pid}/status`, 'utf8'))?.[1] ?? Number.NaN) / 1024;
  const idle = rss();
  let most = idle;
  const timer = setInterval(() => {
    most = Math.max(most, rss());
  }, 50);
  const body = randomBytes(20 * MIB);
  try {
    const uploads = devices.flatMap((device) =>
      Array.from({ length: 10 }, async (_, nth) => {
        const ticket = await device.begin(`f${nth}`);
        return (await device.blob('PUT', ticket, { headers: asBlob, body })).status;
      }),
    );
    assert.deepEqual([...new Set(await Promise.all(uploads))], [201]);
  } finally {
    clearInterval(timer);
  }
  t.diagnostic(`${idle.toFixed(0)} MiB idle, ${most.toFixed(0)} MiB at most during 1,000 MiB`);
  assert.ok(most - idle <= 200, `${most - idle} MiB more`);
});
