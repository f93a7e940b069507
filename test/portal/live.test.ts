/** What a page shows as it happens, in a real browser: telemetry, the overview; one stream for all tabs; a hub that goes and comes back. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import type { ApiClient } from '../../src/api/client.ts';
import { apiOf } from '../drivers/api.ts';
import { assertAccessible } from '../drivers/axe.ts';
import { noBrowser, type PortalBrowser, startBrowser, watched } from '../drivers/browser.ts';
import { FaultyLink } from '../drivers/faulty-link.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { connectDevice } from '../drivers/portal-device.ts';
import { until } from '../drivers/until.ts';

const skip = noBrowser();
let [hub, api, browser]: [TestHub, ApiClient, PortalBrowser] = [] as never;

before(async () => {
  if (skip) return;
  hub = await startHub({ args: ['--mqtt-port', '0'] });
  api = apiOf(hub);
  browser = await startBrowser();
});

after(async () => {
  await browser?.[Symbol.asyncDispose]();
  api?.close();
  await hub?.[Symbol.asyncDispose]();
});

const telemetryOf = (id: string): string => `/device?id=${encodeURIComponent(id)}&tab=telemetry`;

test('messages appear as they come: decoded, as text or bytes; charts, pause, filter and download', {
  skip,
}, async () => {
  const device = await connectDevice(hub, api, 'machine');
  await device.send('{"temperature":20,"note":"before the page was opened"}');
  await using portal = await browser.open(hub, { at: telemetryOf('machine') });
  const { page } = portal;
  await page.getByText('before the page was opened').waitFor();
  await device.send(
    '{"temperature":21.5,"engine":{"rpm":1450},"note":"first"}',
    'room=kitchen&$.ct=application%2Fjson',
  );
  await page.getByText('"note":"first"').waitFor();
  await page.getByRole('button', { name: 'engine.rpm', pressed: true }).waitFor();
  await page.getByRole('img', { name: 'Chart of temperature' }).locator('canvas').waitFor();
  await page.getByRole('button', { name: '1 min' }).click();
  await page.getByRole('button', { name: '1 min', pressed: true }).waitFor();
  await page.getByRole('img', { name: 'Chart of temperature' }).locator('canvas').waitFor();
  await assertAccessible(page);
  await page.locator('.event-head').first().click();
  await page.locator('.event-more').getByText('kitchen').waitFor();
  await page.locator('.tree').getByText('1450').waitFor();
  await page.getByRole('button', { name: 'Bytes' }).click();
  await page.getByText('0000  7b 22 74 65').waitFor();
  // The list stays with a message that is opened: it would move away. The rest of the page goes on.
  await page.getByRole('button', { name: 'Stay here', pressed: true }).waitFor();
  await device.send('{"note":"while it stayed","stayed":7}');
  await page.getByText('1 newer than those listed').waitFor();
  await page.getByRole('img', { name: 'Chart of stayed' }).locator('canvas').waitFor();
  assert.equal(await page.getByText('while it stayed').count(), 0);
  await page.getByRole('button', { name: 'Follow newest' }).click();
  await page.getByText('while it stayed').waitFor();
  await page.getByRole('button', { name: 'Pause' }).click();
  await device.send('{"note":"while it was paused"}');
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByText('while it was paused').waitFor();
  await page.getByLabel('Show messages that contain').fill('FIRST');
  await page.getByText('while it was paused').waitFor({ state: 'detached' });
  const coming = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Download' }).click();
  const lines = readFileSync(await (await coming).path(), 'utf8')
    .trim()
    .split('\n');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).body.note),
    ['first'],
  );
  device.close();
  portal.assertClean();
});

test('bodies, properties and names of strangers stay text', { skip }, async () => {
  const device = await connectDevice(hub, api, 'mean');
  await using portal = await browser.open(hub, { at: telemetryOf('mean') });
  const { page } = portal;
  const markup = '<img src=x onerror=alert(1)>';
  await device.send(
    JSON.stringify({ [markup]: 1, __proto__: 2, constructor: 3, text: `\u202E${markup}\u0000` }),
    '%3Cb%3E=%3Ci%3E',
  );
  await page.locator('.event-head').first().click();
  await page.locator('.event-more').getByText('<b>', { exact: true }).waitFor();
  await page.locator('.tree').getByText('U+202E').waitFor();
  await page.getByRole('button', { name: markup, exact: true }).waitFor();
  await page.getByRole('button', { name: 'Follow newest' }).click();
  await device.send(Buffer.from([0xff, 0xfe, 0x00]));
  await page.getByText('3 B that are no text').waitFor();
  await device.send('['.repeat(5000));
  await device.send(`${'{"a":'.repeat(500)}1${'}'.repeat(500)}`);
  await page.getByText('4 messages').waitFor();
  await page.locator('.event-head').first().click();
  assert.equal(await page.locator('img[src="x"]').count(), 0);
  device.close();
  portal.assertClean();
});

test('the overview shows what is connected and what flows, and what of the hub is not well', { skip }, async () => {
  const device = await connectDevice(hub, api, 'flows');
  for (const [id, waiting] of [
    ['full', 2],
    ['fuller', 3],
  ] as const) {
    await api.devices.create(id);
    for (let n = 0; n < waiting; n++) await api.commands.send({ deviceId: id }, { bodyText: 'wait' });
  }
  await using portal = await browser.open(hub);
  const { page } = portal;
  const timer = setInterval(() => device.sendMany(['{"n":1}', '{"n":2}', '{"n":3}']), 50);
  try {
    const tile = (name: string) => page.locator('.tile', { hasText: name }).locator('strong');
    await until('messages in', async () => Number(await tile('Messages in').textContent()) > 10);
    assert.ok(Number(await tile('Connected').textContent()) >= 1);
    assert.match((await tile('Stored within').textContent()) ?? '', /ms$/);
    for (const name of ['Messages per second', 'Connected devices']) {
      await page.getByRole('img', { name }).locator('canvas').waitFor();
    }
    const first = page.getByRole('region', { name: 'Where to look first' });
    const items = await first.getByRole('listitem').allTextContents();
    assert.deepEqual(items.slice(-2), ['fuller3', 'full2']);
    assert.ok(items.includes('machine1 ×The connection broke without a good-bye.'), items.join());
    await page.getByRole('button', { name: 'Week' }).click();
    assert.match(page.url(), /span=week/);
    const late = await connectDevice(hub, api, 'flows-late');
    await page.locator('.timeline li', { hasText: 'flows-late' }).getByText('Connected by MQTT').waitFor();
    late.close();
    await assertAccessible(page);
    await first.getByRole('link', { name: 'fuller' }).click();
    await page.getByRole('heading', { level: 1, name: 'fuller' }).waitFor();
    assert.match(page.url(), /tab=commands/);
  } finally {
    clearInterval(timer);
    device.close();
  }
  portal.assertClean();
});

test('tabs share one stream; when the tab that holds it is closed, another one goes on', { skip }, async () => {
  const device = await connectDevice(hub, api, 'shared');
  await using portal = await browser.open(hub, { at: telemetryOf('shared') });
  await device.send('{"note":"before the second tab"}');
  await portal.page.getByText('before the second tab').waitFor();
  const second = watched(portal.context, await portal.context.newPage(), portal.base);
  const streams: string[] = [];
  second.page.on('request', (request) => {
    if (request.url().includes('/portal/stream?')) streams.push(request.url());
  });
  await second.goto(telemetryOf('shared'));
  await second.page.getByText('before the second tab').waitFor();
  assert.equal(await portal.page.locator('.event-head', { hasText: 'before the second tab' }).count(), 1);
  await until('both see it', async () => {
    await device.send('{"note":"for both"}');
    const seen = await Promise.all([portal.page, second.page].map((page) => page.getByText('for both').count()));
    return seen.every((count) => count > 0);
  });
  assert.deepEqual(streams, [], 'the second tab has opened a stream of its own');
  await portal.page.close();
  await until('the second tab goes on', async () => {
    await device.send('{"note":"after the first has gone"}');
    return (await second.page.getByText('after the first has gone').count()) > 0;
  });
  assert.ok(streams.length >= 1);
  device.close();
  second.assertClean();
});

test('a lost connection is said and mended; what came meanwhile is there, and nothing twice', { skip }, async () => {
  const device = await connectDevice(hub, api, 'cut-off');
  await using link = await FaultyLink.to(hub.endpoints.ports.admin as number);
  await using portal = await browser.open(hub, { at: telemetryOf('cut-off'), port: link.port });
  const { page } = portal;
  await device.send('{"note":"one"}');
  await page.getByText('"one"').waitFor();
  link.heal();
  void link.fail(() => 'cut');
  await page.getByText('The live connection to the hub is lost').waitFor();
  await device.send('{"note":"two"}');
  link.heal();
  await page.getByText('"two"').waitFor();
  await page.getByText('The live connection to the hub is lost').waitFor({ state: 'detached' });
  await device.send('{"note":"three"}');
  await page.getByText('"three"').waitFor();
  await page.getByText('3 messages').waitFor();
  device.close();
  portal.assertClean(/ERR_(CONNECTION|EMPTY|INCOMPLETE|NETWORK)/);
});

test('after a restart of the hub the user logs in again and is where he was', { skip }, async () => {
  await using own = await startHub();
  await using portal = await browser.open(own, { at: '/devices?find=x' });
  const { page } = portal;
  await page.getByText('No device matches').waitFor();
  await own.stop();
  await using again = await own.restart();
  await page.getByLabel('Id contains').fill('xy');
  await page.getByText('Your session has ended').waitFor();
  await page.getByLabel('Or paste the connection string').fill(again.endpoints.connectionStrings.iothubowner);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByText('No device matches').waitFor();
  assert.match(page.url(), /\/devices\?find=x/);
});
