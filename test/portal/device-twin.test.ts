/** The twin in a real browser: edited with errors at their place, looked at before it is saved, and never over a newer one. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ApiClient } from '../../src/api/client.ts';
import { apiOf } from '../drivers/api.ts';
import { assertAccessible } from '../drivers/axe.ts';
import { noBrowser, type PortalBrowser, type PortalPage, startBrowser } from '../drivers/browser.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';

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

async function openTwin(deviceId: string, tags: object): Promise<PortalPage> {
  await api.devices.create(deviceId);
  await api.twins.update({ deviceId }, { tags });
  const portal = await browser.open(hub, { at: `/device?id=${deviceId}&tab=twin` });
  await portal.page.getByRole('textbox', { name: 'Tags and desired properties as JSON' }).waitFor();
  return portal;
}

async function write(portal: PortalPage, text: string): Promise<void> {
  await portal.page.getByRole('textbox', { name: 'Tags and desired properties as JSON' }).fill(text);
}

test('changes are looked at, then saved as a merge: what is left out is deleted', { skip }, async () => {
  await using portal = await openTwin('t1', { site: 'north', floor: 3, gone: true });
  const { page } = portal;
  await write(portal, '{"tags":{"site":"south","floor":3,"__proto__":{"x":1}},"desired":{"every":{"seconds":5}}}');
  await page.getByRole('button', { name: 'Look at the changes and save …' }).click();
  const changes = page.getByRole('list', { name: 'Changes' });
  assert.deepEqual(await changes.locator('li').allTextContents(), [
    'tags.site− "north"+ "south"',
    'tags.gone− true',
    'tags.__proto__+ {"x":1}',
    'desired.every+ {"seconds":5}',
  ]);
  await assertAccessible(page);
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  const { tags, properties } = await api.twins.get({ deviceId: 't1' });
  assert.equal(JSON.stringify(tags), '{"site":"south","floor":3,"__proto__":{"x":1}}');
  assert.deepEqual(properties.desired.every, { seconds: 5 });
  await page.getByRole('button', { name: 'Look at the changes and save …', disabled: true }).waitFor();
  portal.assertClean();
});

test('an error of the JSON is marked at its place, and nothing can be saved', { skip }, async () => {
  await using portal = await openTwin('t2', { a: 1 });
  await write(portal, '{"tags": {"a": tru}, "desired": {}}');
  const mark = portal.page.locator('.cm-lintRange-error');
  await mark.first().waitFor();
  assert.equal(await mark.first().textContent(), 'tru');
  assert.ok(await portal.page.getByRole('button', { name: 'Look at the changes and save …' }).isDisabled());
  await assertAccessible(portal.page);
  portal.assertClean();
});

test('a twin that another back end has changed is not overwritten; the changes are compared with the newest', {
  skip,
}, async () => {
  await using portal = await openTwin('t3', { site: 'north' });
  const { page } = portal;
  await write(portal, '{"tags":{"site":"mine"},"desired":{}}');
  await page.getByRole('button', { name: 'Look at the changes and save …' }).click();
  await api.twins.update({ deviceId: 't3' }, { tags: { site: 'theirs', added: 1 } });
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByText('The twin has been changed by another back end').waitFor();
  assert.equal((await api.twins.get({ deviceId: 't3' })).tags.site, 'theirs');
  await page.getByRole('button', { name: 'Compare with the newest twin' }).click();
  await page.getByText('− "theirs"').waitFor();
  const changes = page.getByRole('list', { name: 'Changes' });
  assert.deepEqual(await changes.locator('li').allTextContents(), ['tags.site− "theirs"+ "mine"']);
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.deepEqual((await api.twins.get({ deviceId: 't3' })).tags, { site: 'mine', added: 1 });
  portal.assertClean(/status of 412/);
});

test('what is being written stays when the twin changes meanwhile, and the page says so', { skip }, async () => {
  await using portal = await openTwin('t4', { site: 'north' });
  const { page } = portal;
  const text = '{"tags":{"site":"being written"},"desired":{}}';
  await write(portal, text);
  await api.twins.update({ deviceId: 't4' }, { tags: { other: true } });
  await page.getByText('The twin has been changed meanwhile').waitFor();
  assert.equal(await page.locator('.cm-content').textContent(), text);
  await page.getByRole('button', { name: 'Undo all' }).click();
  await page.locator('.cm-content').getByText('"other"').waitFor();
  portal.assertClean();
});
