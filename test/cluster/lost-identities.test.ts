/** A device that is shut out by a change whose answer got lost between the database and its node: no node lets it in. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiOf } from '../drivers/api.ts';
import { clusterMissing, connectDevice, makeDevice, startCluster } from '../drivers/cluster.ts';
import { FaultyLink } from '../drivers/faulty-link.ts';
import { until } from '../drivers/until.ts';

const missing = clusterMissing();
if (missing !== undefined) process.stderr.write(`NOT TESTED: lost answers of a database and identities (${missing})\n`);

test('a device whose disabling was carried out without an answer is refused at every node', {
  skip: missing ?? false,
}, async () => {
  const database = new URL(String(process.env.MOORING_TEST_POSTGRES));
  await using line = await FaultyLink.to(Number(database.port));
  await using cluster = await startCluster({ nodes: 1 });
  const [a] = cluster.nodes;
  database.port = String(line.port);
  const b = await cluster.start({ env: { MOORING_POSTGRES_URL: database.href } });
  const api = apiOf(b);
  await makeDevice(a, 'd1');
  const tried = async (): Promise<number | undefined> => {
    const { client, returnCode } = await connectDevice(a, 'd1');
    client.destroy();
    return returnCode;
  };
  // From here on the first node knows it by heart.
  assert.equal(await tried(), 0);

  let isLost = false;
  const lost = line.fail((piece) => {
    if (isLost || !piece.includes('commit')) return 'pass';
    isLost = true;
    return 'deaf';
  });
  await assert.rejects(api.devices.update('d1', { status: 'disabled' }), { status: 503 });
  await lost;
  await until('it is refused', async () => (await tried()) !== 0, { withinMs: 10_000, everyMs: 200 });
  api.close();
});
