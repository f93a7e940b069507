/** Health names what is wrong, and what to do: each test breaks the real thing and looks at the admin port. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, cpSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import type { HealthCheckJson, HealthReport } from '../../src/api/health.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { compose } from '../../src/server/compose.ts';
import { loadSettings } from '../../src/server/config/config-sources.ts';
import { Shutdown } from '../../src/server/lifecycle.ts';
import { apiOf } from '../drivers/api.ts';
import { makeCertificate } from '../drivers/certificates.ts';
import { Collector } from '../drivers/collector.ts';
import { type LogLine, recordingLog } from '../drivers/http.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';

const DAY_MS = 86_400_000;
const WAIT_MS_MAX = 30_000;
/** Of tests that break files of the data folder, which a hub on Kafka and PostgreSQL does not have. */
const ON_ITS_DISK = ['--storage', 'embedded'];
const folder = mkdtempSync(path.join(tmpdir(), 'mooring-health-'));
after(() => rmSync(folder, { recursive: true, force: true }));

interface Seen extends HealthReport {
  readonly http: number;
}

async function healthAt(port: number | null): Promise<Seen> {
  const answer = await fetch(`http://127.0.0.1:${port}/readyz`, { headers: { accept: 'application/json' } });
  return { ...((await answer.json()) as HealthReport), http: answer.status };
}
const healthOf = (hub: TestHub): Promise<Seen> => healthAt(hub.endpoints.ports.admin);
const checkOf = ({ checks }: HealthReport, name: string): HealthCheckJson => {
  const found = checks.find((check) => check.name === name);
  assert.ok(found !== undefined, `${name} among ${checks.map((check) => check.name)}`);
  return found;
};

/** Resolves when the check has that status, with the whole. */
async function until(port: number | null, name: string, status: string): Promise<Seen> {
  for (const end = Date.now() + WAIT_MS_MAX; ; await sleep(100)) {
    const seen = await healthAt(port);
    if (checkOf(seen, name).status === status) return seen;
    assert.ok(Date.now() < end, `${name} is not ${status}: ${JSON.stringify(seen)}`);
  }
}

async function metric(port: number | null, name: string): Promise<number> {
  const page = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const line = page.split('\n').find((each) => each.startsWith(`${name} `));
  assert.ok(line !== undefined, name);
  return Number(line.slice(name.length + 1));
}

test('a hub that is well says so of each check, in JSON, as metrics, and at the command line', async () => {
  await using hub = await startHub({ args: ['--threads', '2', '--segment-bytes', '64KiB'] });
  const seen = await healthOf(hub);
  assert.deepEqual(
    seen.checks.map(({ name }) => name),
    [
      'tables',
      'events',
      'monitoring',
      'threads',
      'certificate',
      'clock',
      'disk',
      'loop',
      'files',
      'archive',
      'endpoints',
      'doors',
    ],
  );
  // How much room there is on this machine is not the hub's doing.
  const others = seen.checks.filter(({ name }) => name !== 'disk' && name !== 'files');
  for (const check of others) assert.deepEqual(check, { name: check.name, status: 'ok' });
  // A test hub has no port 443, which one storage library asks for.
  const files = seen.checks.find(({ name }) => name === 'files');
  assert.equal(files?.status, 'ok');
  assert.match(files?.reason ?? '', /Java/);
  assert.deepEqual([seen.http, seen.ready], [200, true]);
  const { admin } = hub.endpoints.ports;
  assert.equal(await metric(admin, 'mooring_health_status{check="tables"}'), 0);
  assert.ok((await metric(admin, 'mooring_certificate_expiry_seconds')) > Date.now() / 1000 + 300 * 86_400);
  const [free, total] = [
    await metric(admin, 'mooring_disk_bytes{kind="free"}'),
    await metric(admin, 'mooring_disk_bytes{kind="total"}'),
  ];
  assert.ok(free > 0 && free <= total);
  assert.equal(await metric(admin, 'mooring_files'), 0);
  assert.equal(await metric(admin, 'mooring_file_uploads_open'), 0);
  const shown = await runMooring(['health', '--data-dir', hub.dataDir]);
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /^tables +ok$/m);
  const json = await runMooring(['health', '--json', '--data-dir', hub.dataDir]);
  assert.equal(JSON.parse(json.stdout).ready, true);
});

test('beyond loopback the command line shows its key to see the checks', async () => {
  await using hub = await startHub({ args: ['--admin-bind-address', '0.0.0.0'] });
  assert.deepEqual((await healthOf(hub)).checks, []);
  const shown = await runMooring(['health', '--data-dir', hub.dataDir]);
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /^events +ok$/m);
});

test('tables that another process holds: silent at first, then not writable, then well again by themselves', async () => {
  await using hub = await startHub({ args: ON_ITS_DISK });
  const { admin } = hub.endpoints.ports;
  const other = new DatabaseSync(path.join(hub.dataDir, 'tables', 'hub.db'), { timeout: 5000 });
  other.exec('begin immediate');
  const seen = await until(admin, 'tables', 'fail');
  assert.equal(seen.http, 503);
  assert.match(checkOf(seen, 'tables').reason ?? '', /no answer for \d s|cannot be written: .*locked/);
  assert.equal(checkOf(seen, 'events').status, 'ok');
  const shown = await runMooring(['health', '--data-dir', hub.dataDir]);
  assert.equal(shown.code, 1);
  assert.match(shown.stdout, /^tables +fail +/m);
  assert.match(shown.stderr, /The hub is not ready: tables\./);
  other.exec('rollback');
  other.close();
  assert.equal((await until(admin, 'tables', 'ok')).http, 200);
  assert.match(hub.stderr(), /a health check: fail.*|a health check is well again/);
});

test('tables alone on a full disk: the hub is not ready, events can be stored; room makes it ready', async (t) => {
  const dataDir = path.join(folder, 'full');
  const [place, kept] = [path.join(dataDir, 'tables'), path.join(folder, 'kept')];
  await (await startHub({ dataDir, args: ON_ITS_DISK })).stop();
  cpSync(place, kept, { recursive: true });
  const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=700', 'tmpfs', place]);
  if (mount.status !== 0) return t.diagnostic('no file system can be mounted here: the test above stands for it');
  cpSync(kept, place, { recursive: true });
  const ballast = path.join(place, 'ballast');
  try {
    await using hub = await startHub({ dataDir, args: ON_ITS_DISK });
    const { admin } = hub.endpoints.ports;
    const file = openSync(ballast, 'w');
    const block = Buffer.alloc(4096);
    assert.throws(() => {
      for (;;) writeSync(file, block);
    }, /ENOSPC/);
    closeSync(file);
    const api = apiOf(hub);
    await assert.rejects(async () => {
      for (let at = 0; at < 2000; at++) await api.devices.create(`d${at}`);
    });
    api.close();
    const seen = await until(admin, 'tables', 'fail');
    assert.match(checkOf(seen, 'tables').reason ?? '', /cannot be written: .*(full|I\/O)/);
    assert.deepEqual([seen.http, checkOf(seen, 'events').status], [503, 'ok']);
    rmSync(ballast);
    assert.equal((await until(admin, 'tables', 'ok')).http, 200);
  } finally {
    spawnSync('umount', ['--lazy', place]);
  }
});

test('a table that is damaged while the hub runs is named with the way to repair it', async () => {
  const first = await startHub({ args: ON_ITS_DISK });
  const api = apiOf(first);
  for (let from = 0; from < 2000; from += 100) {
    await api.devices.bulk(Array.from({ length: 100 }, (_, at) => ({ id: `d${from + at}`, importMode: 'create' })));
  }
  api.close();
  await first.stop();
  await using again = await first.restart();
  // Pages that this run has not read yet; the first ones hold the schema and what every start reads.
  const file = path.join(again.dataDir, 'tables', 'hub.db');
  const size = statSync(file).size;
  const handle = openSync(file, 'r+');
  for (let page = 20; (page + 1) * 4096 <= size; page++)
    writeSync(handle, Buffer.alloc(4096, 0xa5), 0, 4096, page * 4096);
  closeSync(handle);
  const reading = apiOf(again);
  await assert.rejects(reading.devices.list());
  reading.close();
  const seen = await until(again.endpoints.ports.admin, 'tables', 'fail');
  assert.equal(seen.http, 503);
  assert.match(checkOf(seen, 'tables').reason ?? '', /^the tables are damaged: .*malformed/);
  assert.match(checkOf(seen, 'tables').remedy ?? '', /mooring data check/);
  await first[Symbol.asyncDispose]();
});

test('damage where nobody reads is found by the looks of a hub that runs', async () => {
  const first = await startHub({ args: [...ON_ITS_DISK, '--tables-check-seconds', '1'] });
  const api = apiOf(first);
  for (let from = 0; from < 2000; from += 100) {
    await api.devices.bulk(Array.from({ length: 100 }, (_, at) => ({ id: `d${from + at}`, importMode: 'create' })));
  }
  api.close();
  await first.stop();
  await using again = await first.restart();
  const { admin } = again.endpoints.ports;
  for (const end = Date.now() + WAIT_MS_MAX; ; await sleep(50)) {
    if ((await metric(admin, 'mooring_tables_looked_through_seconds')) > 0) break;
    assert.ok(Date.now() < end, 'the tables are not looked through');
  }
  assert.equal(await metric(admin, 'mooring_tables_damaged'), 0);
  assert.deepEqual(checkOf(await healthOf(again), 'tables'), { name: 'tables', status: 'ok' });
  const file = path.join(again.dataDir, 'tables', 'hub.db');
  const handle = openSync(file, 'r+');
  for (let page = 20; (page + 1) * 4096 <= statSync(file).size; page++)
    writeSync(handle, Buffer.alloc(4096, 0xa5), 0, 4096, page * 4096);
  closeSync(handle);
  const seen = await until(admin, 'tables', 'fail');
  assert.equal(seen.http, 503);
  assert.match(checkOf(seen, 'tables').reason ?? '', /^the tables are damaged: /);
  assert.match(checkOf(seen, 'tables').remedy ?? '', /mooring data check/);
  assert.equal(await metric(admin, 'mooring_tables_damaged'), 1);
  await again.logged(/the tables are damaged; stop the hub/);
  await again.kill();
  await first[Symbol.asyncDispose]();
});

test('own certificates: one that ends soon, one that cannot be used, one that has ended, a good one', async () => {
  const [certFile, keyFile] = ['cert.pem', 'key.pem'].map((name) => path.join(folder, name));
  const put = async (validMs: number): Promise<void> => {
    const made = await makeCertificate('localhost', { authority: false, validTo: Date.now() + validMs });
    writeFileSync(keyFile, made.keyPem);
    writeFileSync(certFile, made.pem);
  };
  await put(5 * DAY_MS + 3600_000);
  await using hub = await startHub({ args: ['--tls-cert-file', certFile, '--tls-key-file', keyFile] });
  const { admin } = hub.endpoints.ports;
  const soon = await healthOf(hub);
  assert.equal(soon.http, 200);
  assert.deepEqual(checkOf(soon, 'certificate'), {
    name: 'certificate',
    status: 'warn',
    reason: 'the certificate ends in 5 days',
    remedy: 'Put a new one into tlsCertFile and tlsKeyFile; it is read by itself, connections stay.',
  });
  await put(60 * DAY_MS);
  await until(admin, 'certificate', 'ok');
  writeFileSync(certFile, 'nothing');
  const unusable = await until(admin, 'certificate', 'warn');
  assert.match(checkOf(unusable, 'certificate').reason ?? '', /could not be read or renewed: .*not PEM/);
  assert.equal(await metric(admin, 'mooring_health_status{check="certificate"}'), 1);
  await put(-1000);
  const ended = await until(admin, 'certificate', 'fail');
  assert.equal(ended.http, 503);
  await put(60 * DAY_MS);
  assert.equal((await until(admin, 'certificate', 'ok')).http, 200);
});

test('an own certificate without its intermediate is a warning that names what is missing, until the chain is complete', async () => {
  const root = await makeCertificate('root', { authority: {} });
  const middle = await makeCertificate('middle', { authority: {}, issuer: root });
  const leaf = await makeCertificate('localhost', { issuer: middle, validTo: Date.now() + 60 * DAY_MS });
  const [certFile, keyFile, caFile] = ['leaf.pem', 'leaf-key.pem', 'root.pem'].map((name) => path.join(folder, name));
  writeFileSync(keyFile, leaf.keyPem);
  writeFileSync(caFile, root.pem);
  writeFileSync(certFile, leaf.pem);
  const args = ['--tls-cert-file', certFile, '--tls-key-file', keyFile, '--tls-ca-file', caFile];
  await using hub = await startHub({ args });
  const { admin } = hub.endpoints.ports;
  const seen = checkOf(await until(admin, 'certificate', 'warn'), 'certificate');
  assert.match(
    seen.reason ?? '',
    /^clients may refuse the certificate: .*CN=localhost, .*CN=middle, is not in the file/,
  );
  assert.match(seen.remedy ?? '', /^Complete the chain/);
  assert.match(hub.stderr(), /CN=middle/, 'told at the start, too');
  writeFileSync(certFile, leaf.pem + middle.pem);
  await until(admin, 'certificate', 'ok');
});

test('a collector of traces that is not there is a warning', async () => {
  await using collector = await Collector.open();
  await collector.stop();
  await using hub = await startHub({ args: ['--otlp-endpoint', collector.endpoint] });
  const api = apiOf(hub);
  await assert.rejects(api.commands.send({ deviceId: 'nobody' }, { bodyText: 'x' }));
  api.close();
  const seen = await until(hub.endpoints.ports.admin, 'traces', 'warn');
  assert.deepEqual([seen.http, seen.status === 'fail'], [200, false]);
  assert.match(checkOf(seen, 'traces').reason ?? '', /ECONNREFUSED/);
  await collector.start();
  await until(hub.endpoints.ports.admin, 'traces', 'ok');
});

/** A whole hub in this process, so that its threads can be ended. */
async function composed(t: TestContext, args: readonly string[]) {
  const lines: LogLine[] = [];
  const log = { ...recordingLog(lines), flush: () => {} };
  const shutdown = new Shutdown(log);
  const workers: Worker[] = [];
  const keep = (worker: Worker): void => void workers.push(worker);
  process.on('worker', keep);
  t.after(async () => {
    await shutdown.run();
    process.off('worker', keep);
  });
  const dataDir = mkdtempSync(path.join(folder, 'composed-'));
  const ports = ['mqtts', 'amqps', 'https', 'admin', 'amqp'].flatMap((name) => [`--${name}-port`, '0']);
  const loaded = loadSettings(['--data-dir', dataDir, ...ports, ...args], {});
  const hub = await compose(loaded, { clock: systemClock, random: systemRandom, log, shutdown });
  return { admin: hub.greeting.endpoints.ports.admin, workers, lines };
}

test('the tables’ thread that has ended, and listener threads that have', async (t) => {
  const { admin, workers, lines } = await composed(t, ['--threads', '2']);
  // The tables are opened before the listeners.
  const [tables, first] = workers;
  assert.equal(workers.length, 3);
  /** A thread is replaced the later the more often it ends: ends them until health was asked in between. */
  const endedUntil = async (which: () => readonly Worker[], status: string): Promise<Seen> => {
    for (const end = Date.now() + WAIT_MS_MAX; ; ) {
      await Promise.all(which().map((worker) => worker.terminate()));
      const seen = await healthAt(admin);
      if (checkOf(seen, 'threads').status === status) return seen;
      assert.ok(Date.now() < end, JSON.stringify(seen));
    }
  };
  const one = await endedUntil(() => [first, ...workers.slice(3)], 'warn');
  assert.deepEqual([one.http, checkOf(one, 'threads').reason], [200, '1 of 2 listener threads run']);
  await until(admin, 'threads', 'ok');
  const none = await endedUntil(() => workers.slice(1), 'fail');
  assert.deepEqual([none.http, checkOf(none, 'threads').reason], [503, '0 of 2 listener threads run']);
  await until(admin, 'threads', 'ok');
  await tables.terminate();
  const gone = await until(admin, 'tables', 'fail');
  assert.deepEqual([gone.http, checkOf(gone, 'tables').remedy], [503, 'Restart the hub.']);
  assert.match(checkOf(gone, 'tables').reason ?? '', /thread has ended/);
  const told = lines.filter(({ sentence }) => sentence.startsWith('a health check')).map(({ fields }) => fields.check);
  assert.ok(told.length >= 5 && told.pop() === 'tables' && told.every((check) => check === 'threads'), String(told));
});
