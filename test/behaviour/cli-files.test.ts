/** Files as a person at a terminal works with them: put, fetched, granted, sent out in waves. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { signSas } from '../../src/api/sas.ts';
import { startCli } from '../drivers/cli.ts';
import { fileDevice, request } from '../drivers/file-device.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';

/** More than one piece of a stream, in a name that a URL must escape. */
const content = randomBytes(3_000_000);
const NAME = 'fw/ü 7+.bin';

function commandsOf(hub: TestHub) {
  const login = ['--data-dir', hub.dataDir];
  return {
    login,
    async json(...args: readonly string[]) {
      const run = await runMooring([...args, ...login, '--json']);
      assert.equal(run.code, 0, run.stderr);
      return run.stdout === '' ? undefined : JSON.parse(run.stdout);
    },
    async failed(...args: readonly string[]) {
      const run = await runMooring([...args, ...login, '--json']);
      assert.equal(run.code, 1, run.stdout);
      return JSON.parse(run.stderr);
    },
  };
}

/** A token of the policy `service`. */
function serviceToken(hub: TestHub): Promise<string> {
  const key = /SharedAccessKey=(.*)$/.exec(hub.endpoints.connectionStrings.service)?.[1] ?? '';
  return signSas({ resource: 'localhost', key, policyName: 'service', expiresAt: Date.now() + 3_600_000 });
}

test('file put, list, get, send, grants, revoke and delete', async () => {
  await using hub = await startHub({ args: ['--file-bytes-max', '4MiB'] });
  const device = await fileDevice(hub, 'd1');
  const { json, failed } = commandsOf(hub);
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-cli-files-'));
  try {
    const local = path.join(folder, 'fw.bin');
    writeFileSync(local, content);
    assert.deepEqual(await json('file', 'put', local, '--name', NAME, '--content-type', 'text/plain', '--new'), {
      name: NAME,
    });
    assert.equal((await failed('file', 'put', local, '--name', NAME, '--new')).code, 'PreconditionFailed');
    assert.match(JSON.stringify(await failed('file', 'put', `${local}.none`)), /fw\.bin\.none cannot be used: ENOENT/);
    const [listed] = await json('file', 'list');
    assert.deepEqual([listed.name, listed.bytes, listed.contentType], [NAME, content.length, 'text/plain']);
    assert.deepEqual(await json('file', 'list', '--device', 'd1'), []);

    const out = path.join(folder, 'back.bin');
    await json('file', 'get', NAME, '--out', out);
    assert.deepEqual(readFileSync(out), content);
    assert.equal((await failed('file', 'get', 'none', '--out', path.join(folder, 'no'))).code, 'FileNotFound');
    assert.deepEqual(readdirSync(folder).sort(), ['back.bin', 'fw.bin'], 'nothing half is left');

    const large = path.join(folder, 'large.bin');
    writeFileSync(large, Buffer.alloc(40 * 2 ** 20));
    assert.equal((await failed('file', 'put', large)).code, 'MessageTooLarge');

    // A back end and a device may look at a file before they fetch it.
    const asked = await serviceToken(hub);
    const name = NAME.split('/').map(encodeURIComponent).join('/');
    const looked = await request(hub, 'HEAD', `/mooring/v1/files/${name}`, { authorization: asked });
    assert.deepEqual(
      [looked.status, looked.headers['content-length'], looked.headers['content-type'], looked.body.length],
      [200, String(content.length), 'text/plain', 0],
    );
    const unchanged = { authorization: asked, 'if-none-match': String(looked.headers.etag) };
    assert.equal((await request(hub, 'HEAD', `/mooring/v1/files/${name}`, unchanged)).status, 304);
    assert.equal((await request(hub, 'HEAD', '/mooring/v1/files/none', { authorization: asked })).status, 404);
    assert.equal((await request(hub, 'HEAD', `/mooring/v1/files/${name}`, {})).status, 401);

    // Whose length is not stated is refused as soon as too much has come, in words and not by a lost connection.
    const endless = { authorization: asked, 'transfer-encoding': 'chunked' };
    const refused = await request(hub, 'PUT', '/mooring/v1/files/endless', endless, Buffer.alloc(4 * 2 ** 20 + 1));
    assert.equal(refused.status, 413, refused.body.toString());

    const sent = await json('file', 'send', local, 'd1', '--for', '10m');
    const url = new URL(sent.grants[0].url);
    assert.deepEqual((await request(hub, 'GET', url.pathname + url.search, {})).body, content);
    const nobody = await failed('file', 'send', local, 'd1', 'none');
    assert.equal(nobody.code, 'DeviceNotFound');
    const seen = await device.ask('HEAD', '/files/fw.bin');
    assert.deepEqual([seen.status, seen.headers['content-length']], [200, String(content.length)]);
    const grants = await json('file', 'grants', '--device', 'd1');
    assert.deepEqual(
      grants.map((grant: { fetched: { sentBytes: number } | null }) => grant.fetched?.sentBytes ?? 0).sort(),
      [0, content.length],
    );
    for (const { id } of grants) await json('file', 'revoke', id);
    assert.equal((await request(hub, 'GET', url.pathname + url.search, {})).status, 403);
    assert.equal((await json('file', 'grants', 'fw.bin')).length, 0);

    const ticket = await device.begin('log.txt');
    const headers = { 'x-ms-blob-type': 'BlockBlob' };
    assert.equal((await device.blob('PUT', ticket, { headers, body: 'of the device' })).status, 201);
    const shown = await runMooring([
      'file',
      'get',
      'log.txt',
      '--device',
      'd1',
      '--out',
      '-',
      '--data-dir',
      hub.dataDir,
    ]);
    assert.equal(shown.stdout, 'of the device', shown.stderr);
    await json('file', 'delete', NAME);
    assert.equal((await failed('file', 'delete', NAME)).code, 'FileNotFound');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a rollout is started from a list of ids, watched wave by wave, and stopped', async () => {
  await using hub = await startHub();
  const devices = [await fileDevice(hub, 'd0'), await fileDevice(hub, 'd1')];
  const { json, login } = commandsOf(hub);
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-cli-files-'));
  try {
    const local = path.join(folder, 'fw.bin');
    writeFileSync(local, 'firmware');
    await json('file', 'put', local);
    const start = ['file', 'rollout', 'start', 'fw.bin', '--devices-file', '-', '--wave-size', '1', '--fetch', '10m'];
    await using watched = startCli([...start, '--watch', '--every', '50ms', ...login], 'd0\n\nd1\nd0\n');
    for (const [nth, device] of devices.entries()) {
      let command = await device.ask('GET', '/messages/devicebound?api-version=2021-04-12');
      while (command.status !== 200) command = await device.ask('GET', '/messages/devicebound?api-version=2021-04-12');
      const lock = encodeURIComponent(String(command.headers.etag).replaceAll('"', ''));
      await device.ask('DELETE', `/messages/devicebound/${lock}?api-version=2021-04-12`);
      const { pathname, search } = new URL(JSON.parse(command.body.toString()).url);
      assert.equal((await request(hub, 'GET', pathname + search, {})).body.toString(), 'firmware', `device ${nth}`);
    }
    assert.equal((await watched.end()).code, 0, watched.stderr());
    const lines = watched.lines().map((line) => line.slice(line.indexOf('wave')));
    assert.equal(lines.at(-1), 'wave 2: 2 fetched, 0 failed, 0 told, 0 waiting; finished');
    assert.deepEqual(
      lines.map((line) => line.slice(0, 6)),
      [...new Set(lines.map((line) => line.slice(0, 6)))].flatMap((wave) =>
        wave === 'wave 2' ? [wave, wave] : [wave],
      ),
      'a line a wave, and one at the end',
    );

    const second = await json('file', 'rollout', 'start', 'fw.bin', 'd0', 'none', '--wave-size', '1', '--pause', '1h');
    const stopped = await json('file', 'rollout', 'stop', second.id);
    assert.equal(stopped.state, 'stopped');
    const shown = await json('file', 'rollout', 'show', second.id);
    assert.deepEqual([shown.state, shown.failedDevices], ['stopped', []]);
    assert.deepEqual(
      (await json('file', 'rollout', 'list')).map(({ state }: { state: string }) => state),
      ['stopped', 'finished'],
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
