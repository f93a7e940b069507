/**
 * Refused logins leave nothing behind: when they are answered, neither a text nor a buffer that is alive in any thread of the
 * hub holds a token, a key or a password that was shown to it. (Its own keys are in memory: `SECURITY.md`.) `heap-probe.ts` is
 * loaded into the hub and writes down what is alive after a collection.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { parseConnectionString } from '../../src/api/connection-string.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { FOREIGN_DEVICE, OWN_DEVICE, refusedLogins, type ShownSecret } from './refused-logins.ts';

const PROBE_MS_MAX = 60_000;

for (const threads of [1, 2]) {
  test(`refused secrets are not in the heap of a hub with ${threads} listener threads`, {
    timeout: 240_000,
  }, async (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'mooring-heap-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const probe = pathToFileURL(path.join(import.meta.dirname, 'heap-probe.ts')).href;
    const args = ['--log-level', 'debug', '--refusal-delay-seconds', '1', '--threads', String(threads)];
    await using hub = await startHub({
      args,
      // Without the second option a buffer that is alive may have bytes of memory that the TLS library has freed, in places
      // that nobody has written yet: seen in two of three runs of a program of 60 requests and 8,800 new buffers.
      env: { NODE_OPTIONS: `--import ${probe} --zero-fill-buffers`, HEAP_PROBE_FOLDER: folder },
    });
    const api = apiOf(hub);
    const foreignKey = randomBytes(32);
    const symmetricKey = {
      primaryKey: foreignKey.toString('base64'),
      secondaryKey: randomBytes(32).toString('base64'),
    };
    await api.devices.create(OWN_DEVICE);
    await api.devices.create(FOREIGN_DEVICE, { authentication: { symmetricKey } });
    const shown = await refusedLogins(hub, foreignKey);
    api.close();

    t.diagnostic(`${shown.length} secrets shown`);
    const alive = await whatIsAlive(hub, folder, threads === 1 ? 2 : 2 + threads);
    const owner = parseConnectionString(hub.endpoints.connectionStrings.iothubowner).get('sharedaccesskey') ?? '';
    assert.ok(
      alive.some(({ bytes }) => bytes.includes(owner)),
      'what is in memory, as the hub’s own keys are, can be found',
    );
    assert.deepEqual(
      alive.flatMap(({ name, bytes }) => findings(bytes, shown).map((way) => `${name} holds: ${way}`)),
      [],
    );
  });
}

/** In one pass: there are hundreds of secrets, and a hundred megabytes. */
function findings(bytes: Buffer, shown: readonly ShownSecret[]): readonly string[] {
  const byFirstTwo = new Map<number, { readonly way: string; readonly form: Buffer }[]>();
  const begins = new Uint8Array(0x10000);
  for (const { way, forms } of shown) {
    for (const form of forms) {
      const first = form.readUInt16BE(0);
      begins[first] = 1;
      byFirstTwo.set(first, [...(byFirstTwo.get(first) ?? []), { way, form }]);
    }
  }
  const found = new Map<string, string>();
  for (let at = 1, two = bytes[0]; at < bytes.length; at++) {
    two = ((two << 8) | bytes[at]) & 0xffff;
    if (begins[two] === 0) continue;
    for (const { way, form } of byFirstTwo.get(two) ?? []) {
      const start = at - 1;
      if (found.has(way) || form.compare(bytes, start, Math.min(bytes.length, start + form.length)) !== 0) continue;
      const before = bytes.toString('latin1', Math.max(0, start - 40), start).replace(/[^ -~]/g, '.');
      found.set(way, `${way} (behind ${before})`);
    }
  }
  return [...found.values()];
}

/** Snapshots and buffers of every thread. */
async function whatIsAlive(
  hub: TestHub,
  folder: string,
  threads: number,
): Promise<readonly { readonly name: string; readonly bytes: Buffer }[]> {
  hub.signal('SIGUSR2');
  const snapshots = (): number => readdirSync(folder).filter((name) => name.endsWith('.heapsnapshot')).length;
  const until = Date.now() + PROBE_MS_MAX;
  while (snapshots() < threads) {
    assert.ok(Date.now() < until, `${snapshots()} of ${threads} threads have answered`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return readdirSync(folder).map((name) => ({ name, bytes: readFileSync(path.join(folder, name)) }));
}
