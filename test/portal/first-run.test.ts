/** A newcomer in a real browser: from the link that the start prints to the first message, by clicks alone. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import type { ApiClient } from '../../src/api/client.ts';
import { apiOf } from '../drivers/api.ts';
import { assertAccessible } from '../drivers/axe.ts';
import { baseOf, noBrowser, type PortalBrowser, startBrowser, watched } from '../drivers/browser.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { startLink } from '../drivers/portal.ts';
import { until } from '../drivers/until.ts';

const skip = noBrowser();
let [hub, api, browser]: [TestHub, ApiClient, PortalBrowser] = [] as never;

before(async () => {
  if (skip) return;
  browser = await startBrowser();
  hub = await startHub();
  api = apiOf(hub);
});

after(async () => {
  await browser?.[Symbol.asyncDispose]();
  api?.close();
  await hub?.[Symbol.asyncDispose]();
});

test('from the printed link to the first message by clicks alone, within a minute of the start of the hub', {
  skip,
}, async () => {
  const context = await browser.newUser();
  await using portal = watched(context, await context.newPage(), baseOf(hub));
  const { page } = portal;
  const begun = performance.now();
  await page.goto(startLink(hub).href);
  await page.getByText('This hub has no device yet').waitFor();
  assert.doesNotMatch(page.url(), /code/, 'the code stays in the address');
  await assertAccessible(page);
  await page.getByRole('link', { name: 'Connect a device' }).last().click();
  await page.getByRole('button', { name: 'Create device' }).click();
  await page.getByRole('button', { name: 'Start a simulated device' }).click();
  await page
    .getByText('the first message is here')
    .or(page.getByText(/\d+ messages are here/))
    .waitFor();
  const took = performance.now() - begun + hub.readyMs;
  assert.ok(took < 60_000, `${Math.round(took)} ms`);
  await page.locator('.tree').getByText('temperature').waitFor();
  await assertAccessible(page);
  const link = startLink(hub).href;
  // The device is one like any other: it is connected, takes commands and methods, and has a twin.
  assert.equal((await api.devices.get('my-first-device')).connectionState, 'Connected');
  await api.commands.send({ deviceId: 'my-first-device' }, { bodyText: 'hello <b>device</b>' });
  await page.getByText('command: hello <b>device</b>').waitFor();
  const answer = await api.twins.invoke(
    { deviceId: 'my-first-device' },
    { methodName: 'blink', payload: { times: 3 } },
  );
  assert.deepEqual(answer, { status: 200, payload: { done: 'blink' } });
  await api.twins.update({ deviceId: 'my-first-device' }, { properties: { desired: { every: 5 } } });
  await until('what is desired is reported', async () => {
    const { properties } = await api.twins.get({ deviceId: 'my-first-device' });
    return properties.reported.every === 5;
  });
  // What came is there at once, and it goes on while another screen shows it.
  await page.getByRole('link', { name: 'Watch it live' }).click();
  await page.getByRole('button', { name: 'motor.rpm' }).waitFor();
  const shown = page.locator('.event-head');
  const before = await shown.count();
  await until('it goes on', async () => (await shown.count()) > before + 1);
  assert.equal((await api.devices.get('my-first-device')).connectionState, 'Connected');
  await page.goBack();
  await page.getByRole('button', { name: 'Stop the simulated device' }).click();
  await until('it has gone', async () => (await api.devices.get('my-first-device')).connectionState === 'Disconnected');
  portal.assertClean();

  const other = await browser.newUser();
  await using second = watched(other, await other.newPage(), baseOf(hub));
  await second.page.goto(link);
  await second.page.getByText('This link has been used or is too old.').waitFor();
});

test('each program is shown as the files are, with the CA to download', { skip }, async () => {
  await api.devices.create('programs');
  await using portal = await browser.open(hub, { at: '/first-run?id=programs' });
  const { page } = portal;
  for (const [name, file] of [
    ['Node.js', 'device.mjs'],
    ['Python', 'device.py'],
    ['Java', 'Device.java'],
    ['C', 'device.c'],
  ] as const) {
    await page.getByRole('navigation', { name: 'Languages' }).getByRole('link', { name, exact: true }).click();
    const shown = page.getByRole('region', { name: file, exact: true });
    await shown.waitFor();
    assert.equal(await shown.textContent(), readFileSync(`examples/devices/${file}`, 'utf8'));
  }
  const coming = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Download ca.pem' }).click();
  assert.equal(readFileSync(await (await coming).path(), 'utf8').trim(), hub.ca.trim());
  await page.getByRole('link', { name: 'curl' }).click();
  await page.getByRole('region', { name: 'shell', exact: true }).getByText('curl --fail-with-body').waitFor();
  await assertAccessible(page);
  portal.assertClean();
});

test('a wrong connection string is refused and not kept', { skip }, async () => {
  const context = await browser.newUser();
  await using portal = watched(context, await context.newPage(), baseOf(hub));
  const { page } = portal;
  await page.goto(`${portal.base}/devices`);
  await assertAccessible(page);
  const field = page.getByLabel('Or paste the connection string');
  await field.fill('HostName=localhost;SharedAccessKeyName=iothubowner;SharedAccessKey=d3Jvbmc=');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('alert').waitFor();
  assert.equal(await field.inputValue(), '');
  portal.assertClean(/status of 401/);
});
