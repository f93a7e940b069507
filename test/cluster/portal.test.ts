/**
 * The portal of a hub of two nodes over Kafka and PostgreSQL, in a real browser: the main path of each screen, what happens at the other
 * node, and a session that the other node does not know.
 */
import { after, before, test } from 'node:test';
import type { ApiClient } from '../../src/api/client.ts';
import { apiOf } from '../drivers/api.ts';
import { noBrowser, type PortalBrowser, startBrowser } from '../drivers/browser.ts';
import { clusterMissing, startCluster, type TestCluster } from '../drivers/cluster.ts';
import { connectDevice } from '../drivers/portal-device.ts';
import { until } from '../drivers/until.ts';

const skip = clusterMissing() ?? noBrowser();
let [cluster, api, browser]: [TestCluster, ApiClient, PortalBrowser] = [] as never;

before(async () => {
  if (skip) return;
  cluster = await startCluster({ nodes: 2 });
  api = apiOf(cluster.nodes[0]);
  browser = await startBrowser();
});

after(async () => {
  await browser?.[Symbol.asyncDispose]();
  api?.close();
  await cluster?.[Symbol.asyncDispose]();
});

test('each screen shows what it shows over the data folder, also of a device at the other node', { skip }, async () => {
  const [here, there] = cluster.nodes;
  await using portal = await browser.open(here);
  const { page } = portal;
  await page.getByText('What happens now').waitFor();
  // It connects to the other node.
  const device = await connectDevice(there, api, 'far');
  await page.locator('.timeline li', { hasText: 'far' }).getByText('Connected by MQTT').first().waitFor();
  await portal.goto('/device?id=far&tab=telemetry');
  await device.send('{"temperature":20}');
  await page.getByText('"temperature":20').first().waitFor();
  await device.send('{"temperature":21}');
  await page.getByText('"temperature":21').first().waitFor();
  await portal.goto('/device?id=far&tab=twin');
  await page.locator('.cm-content').waitFor();
  await portal.goto('/device?id=far&tab=history');
  await page.getByText('Connected').first().waitFor();
  await portal.goto('/device?id=far&tab=identity');
  await page.getByRole('heading', { level: 1, name: 'far' }).waitFor();
  await portal.goto('/devices');
  await page.getByRole('button', { name: 'Create devices' }).click();
  await page.getByLabel('Ids begin with').fill('made-');
  await page.getByLabel('How many').fill('120');
  await page.getByRole('button', { name: 'Create 120 devices' }).click();
  await page.getByRole('dialog').getByText('120 of 120 done').waitFor();
  await page.getByRole('button', { name: 'Close' }).click();
  await page.getByLabel('Id contains').fill('made-');
  await page.getByText('120 match').waitFor();
  await portal.goto('/first-run');
  await page.getByRole('heading', { level: 1 }).waitFor();
  device.close();
  portal.assertClean();
});

test('a node that does not know the session says which node does, and where to log in', { skip }, async () => {
  const [here, there] = cluster.nodes;
  await using portal = await browser.open(here, { at: '/devices' });
  const { page } = portal;
  // As a balancer does that sends each request anywhere.
  await page.route('**/portal/**', async (route) => {
    const to = route.request().url().replace(`:${here.endpoints.ports.admin}`, `:${there.endpoints.ports.admin}`);
    const origin = new URL(to).origin;
    const answer = await fetch(to, {
      method: route.request().method(),
      headers: {
        origin,
        'sec-fetch-site': 'same-origin',
        'x-mooring-csrf': route.request().headers()['x-mooring-csrf'] ?? '',
      },
    });
    const node = answer.headers.get('x-mooring-node');
    await route.fulfill({
      status: answer.status,
      body: await answer.text(),
      contentType: 'application/json',
      headers: node === null ? {} : { 'x-mooring-node': node },
    });
  });
  await page.reload();
  await page.getByText(/The node node-2 of the hub has answered, and you have logged in at the node node-1/).waitFor();
  await until('there is a way in', async () => (await page.getByRole('button', { name: 'Log in' }).count()) === 1);
  portal.assertClean(/status of 401/);
});
