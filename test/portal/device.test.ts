/** A device in a real browser: who it is, its keys, its modules; and that nothing that a stranger has named becomes more than text. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ApiClient } from '../../src/api/client.ts';
import { apiOf } from '../drivers/api.ts';
import { assertAccessible } from '../drivers/axe.ts';
import { noBrowser, type PortalBrowser, startBrowser } from '../drivers/browser.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';

const skip = noBrowser();
let [hub, api, browser]: [TestHub, ApiClient, PortalBrowser] = [] as never;

before(async () => {
  if (skip) return;
  hub = await startHub();
  api = apiOf(hub);
  browser = await startBrowser();
});

after(async () => {
  await browser?.[Symbol.asyncDispose]();
  api?.close();
  await hub?.[Symbol.asyncDispose]();
});

const addressOf = (id: string, tab = 'identity'): string => `/device?id=${encodeURIComponent(id)}&tab=${tab}`;

test('keys are shown when they are asked for, and rotated one at a time', { skip }, async () => {
  const { authentication } = await api.devices.create('keys');
  const { primaryKey, secondaryKey } = authentication.symmetricKey;
  assert.ok(primaryKey && secondaryKey);
  await using portal = await browser.open(hub, { at: addressOf('keys') });
  const { page } = portal;
  await page.getByRole('heading', { name: 'Keys', exact: true }).waitFor();
  await assertAccessible(page);
  assert.ok(!(await page.content()).includes(primaryKey), 'the page holds a key that nobody has asked for');
  await page.getByRole('button', { name: 'Show', exact: true }).click();
  await page.getByText(`HostName=localhost;DeviceId=keys;SharedAccessKey=${primaryKey}`).waitFor();
  await page.getByRole('button', { name: 'Copy' }).nth(1).click();
  assert.equal(
    await page.evaluate('navigator.clipboard.readText()'),
    `HostName=localhost;DeviceId=keys;SharedAccessKey=${primaryKey}`,
  );
  await page.getByRole('button', { name: 'Rotate' }).first().click();
  await page.getByRole('button', { name: 'Make a new primary key' }).click();
  await page.getByText(primaryKey, { exact: true }).waitFor({ state: 'detached' });
  const rotated = (await api.devices.get('keys')).authentication.symmetricKey;
  assert.notEqual(rotated.primaryKey, primaryKey);
  assert.equal(rotated.secondaryKey, secondaryKey);
  const kept = String(
    await page.evaluate('JSON.stringify([{ ...localStorage }, { ...sessionStorage }, location.href])'),
  );
  for (const key of [primaryKey, secondaryKey, rotated.primaryKey ?? '', 'SharedAccessKey']) {
    assert.ok(!kept.includes(key), kept);
  }
  portal.assertClean();
});

test('a device is disabled, enabled and deleted; Escape closes a dialog and changes nothing', { skip }, async () => {
  await api.devices.create('short-lived');
  await using portal = await browser.open(hub, { at: addressOf('short-lived') });
  const { page } = portal;
  await page.getByRole('button', { name: 'Disable device' }).click();
  await page.getByRole('button', { name: 'Enable device' }).waitFor();
  assert.equal((await api.devices.get('short-lived')).status, 'disabled');
  await page.getByRole('button', { name: 'Enable device' }).click();
  await page.getByRole('button', { name: 'Disable device' }).waitFor();
  await page.getByRole('button', { name: 'Delete device …' }).click();
  await page.getByRole('dialog').waitFor();
  await assertAccessible(page);
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.equal((await api.devices.get('short-lived')).status, 'enabled');
  await page.getByRole('button', { name: 'Delete device …' }).click();
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  await page.getByRole('heading', { name: 'Devices' }).waitFor();
  await portal.goto(`/`);
  await page.goto(`${portal.base}${addressOf('short-lived')}`);
  await page.getByText('There is no such device').waitFor();
  portal.assertClean(/status of 404/);
});

test('a refusal is shown with the id that finds it in the hub’s log', { skip }, async () => {
  await api.devices.create('twice');
  await using portal = await browser.open(hub, { at: addressOf('twice') });
  const { page } = portal;
  await page.getByRole('button', { name: 'Delete device …' }).click();
  // Meanwhile another back end changes it: the page holds an ETag of before.
  await api.devices.update('twice', { statusReason: 'changed elsewhere' });
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  const alert = page.getByRole('alert');
  await alert.waitFor();
  assert.match((await alert.textContent()) ?? '', /PreconditionFailed · tracking id [0-9a-f]{32}/);
  portal.assertClean(/status of 412/);
});

test('modules are created and deleted; each has a twin', { skip }, async () => {
  await api.devices.create('parts');
  await using portal = await browser.open(hub, { at: addressOf('parts', 'modules') });
  const { page } = portal;
  await page.getByText('This device has no modules.').waitFor();
  await page.getByLabel('Id of a new module').fill('camera');
  await page.getByRole('button', { name: 'Create module' }).click();
  await page.getByRole('cell', { name: 'camera' }).waitFor();
  await assertAccessible(page);
  await page.getByRole('link', { name: 'Twin', exact: true }).last().click();
  await page.getByText('The twin of the module camera.').waitFor();
  await page.goBack();
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  await page.getByText('This device has no modules.').waitFor();
  await until('the module is gone', async () => (await api.modules.list('parts')).length === 0);
  portal.assertClean();
});

const hostileIds = [
  '.',
  '..',
  '%2e%2e',
  '__proto__',
  'constructor',
  "a'b$c",
  '#?:@',
  'a,b;c=d'.replace(';', '!'),
  '=1+1',
  '&'.replace('&', '*('),
];

test('devices of any legal id have a page of their own, which the browser’s reload finds again', { skip }, async () => {
  for (const id of hostileIds) await api.devices.create(id);
  await using portal = await browser.open(hub, { at: '/devices' });
  const { page } = portal;
  for (const id of hostileIds) {
    await page.getByRole('link', { name: 'Devices', exact: true }).first().click();
    await page.locator('.list').getByRole('link', { name: id, exact: true }).click();
    await page.getByRole('heading', { level: 1, name: id, exact: true }).waitFor();
    await page.reload();
    await page.getByRole('heading', { level: 1, name: id, exact: true }).waitFor();
    await page.getByText('enabled', { exact: true }).waitFor();
  }
  portal.assertClean();
});

const markup = '<img src=x onerror="alert(1)"><script>alert(2)</script>';

test('tags, reasons and reported values of strangers are text, and what hides is seen', { skip }, async () => {
  await api.devices.create('strange', { statusReason: `${markup}\u202Etxet` });
  await api.twins.update({ deviceId: 'strange' }, { tags: { html: markup, turned: 'a\u202Eb\u0007' } });
  await using portal = await browser.open(hub, { at: addressOf('strange') });
  const { page } = portal;
  await page.getByText(markup).waitFor();
  await page.getByText('U+202E', { exact: true }).first().waitFor();
  await portal.goto('/devices?find=strange');
  await page.getByText('U+202E', { exact: true }).first().waitFor();
  await portal.goto(addressOf('strange', 'twin'));
  await page.getByRole('textbox', { name: 'Tags and desired properties as JSON' }).waitFor();
  await page.locator('.cm-specialChar').first().waitFor();
  assert.equal(await page.locator('img[src="x"]').count(), 0);
  portal.assertClean();
});

test('a policy that may not read identities sees what it may: telemetry, twin, methods, commands, history', {
  skip,
}, async () => {
  await api.devices.create('seen-by-service');
  await using portal = await browser.open(hub, { at: addressOf('seen-by-service'), policy: 'service' });
  const { page } = portal;
  await page.getByText('No message since this page was opened').waitFor();
  assert.equal(await page.getByRole('alert').count(), 0);
  await page.getByRole('link', { name: 'Twin', exact: true }).click();
  await page.getByRole('textbox', { name: 'Tags and desired properties as JSON' }).waitFor();
  await page.getByRole('link', { name: 'History', exact: true }).click();
  await page.getByText('not connected').waitFor();
  await portal.goto(addressOf('seen-by-nobody'));
  await page.getByText('There is no such device').waitFor();
  portal.assertClean(/404/);
});

test('a device that is not there, and an address that is none, say what to do', { skip }, async () => {
  await using portal = await browser.open(hub, { at: '/device?id=%3Cb%3E' });
  await portal.page.getByText('There is no such device').waitFor();
  await portal.page.getByRole('link', { name: 'Go to the devices' }).click();
  await portal.page.getByRole('heading', { name: 'Devices' }).waitFor();
});
