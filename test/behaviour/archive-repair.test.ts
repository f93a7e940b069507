/** `mooring archive verify --repair` where a file is written again with another length: enrichments add what the twin says now. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { createDevices } from '../../bench/servers/hub.ts';
import { apiOf } from '../drivers/api.ts';
import { runMooring, startHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import { until } from '../drivers/until.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'archive-repair-'));
after(() => rmSync(folder, { recursive: true }));

test('a file whose enrichments have changed is written again, verified as it is now, and listed so', async () => {
  await using hub = await startHub({ args: ['--archive-folder', folder] });
  const api = apiOf(hub);
  const mooring = (...args: readonly string[]) => runMooring(['archive', ...args, '--data-dir', hub.dataDir]);
  const listed = async (): Promise<{ path: string; bytes?: number }> =>
    JSON.parse((await mooring('list', 'cold', '--json')).stdout)[0];
  try {
    const [login] = await createDevices(hub.endpoints, hub.ca, 1, '');
    const site = (text: string) => api.twins.update({ deviceId: login.clientId }, { tags: { site: text } });
    await site('north');
    await api.routes.replace({
      endpoints: [{ name: 'cold', kind: 'archive', fileSeconds: 1 }],
      routes: [{ name: 'all', endpoint: 'cold' }],
      enrichments: [{ key: 'site', value: '$twin.tags.site', endpoints: ['cold'] }],
    });
    const { client } = await MqttDriver.connect(
      { port: hub.endpoints.ports.mqtt ?? 0 },
      { clientId: login.clientId, username: login.username, password: Buffer.from(login.password) },
    );
    client.publish({ topic: login.topic, payload: '{"t":1}', qos: 1, messageId: 1 });
    await client.next('puback');
    await client.disconnect();
    await until('it is archived', async () => (await listed())?.bytes !== undefined, { everyMs: 200 });
    const before = await listed();
    const file = path.join(folder, before.path);
    await site('behind the lighthouse, where nobody looks');
    rmSync(file);
    // The hub knows a twin for some seconds: it is repaired until the new value is in it.
    await until(
      'it is written again with what the twin says now',
      async () => {
        if (existsSync(file) && readFileSync(file).length !== before.bytes) return true;
        rmSync(file, { force: true });
        assert.match((await mooring('verify', 'cold', '--repair')).stdout, /: missing\. .* It is written again\.$/m);
        await until('it is there', () => existsSync(file));
        return readFileSync(file).length !== before.bytes;
      },
      { everyMs: 500, withinMs: 30_000 },
    );
    await until('it is listed so', async () => (await listed()).bytes === readFileSync(file).length, { everyMs: 200 });
    const verified = await mooring('verify', 'cold', '--content');
    assert.match(verified.stdout, /^1 files?, 1 events?, \d+ bytes: all there$/m);
  } finally {
    api.close();
  }
});
