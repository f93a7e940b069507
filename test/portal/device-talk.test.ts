/** A back end's talk with a device in a real browser: methods and their answers, commands and what becomes of them, why it was refused. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ApiClient } from '../../src/api/client.ts';
import { signSas } from '../../src/api/sas.ts';
import { apiOf } from '../drivers/api.ts';
import { assertAccessible } from '../drivers/axe.ts';
import { noBrowser, type PortalBrowser, startBrowser } from '../drivers/browser.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { connectPacket, MqttDriver } from '../drivers/mqtt.ts';
import { connectDevice } from '../drivers/portal-device.ts';

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

test('a method is called, answered, and called again from what was sent before', { skip }, async () => {
  const { driver, close } = await connectDevice(hub, api, 'asked');
  driver.send({ cmd: 'subscribe', messageId: 9, subscriptions: [{ topic: '$iothub/methods/POST/#', qos: 0 }] });
  await driver.next('suback');
  const answers = (async () => {
    for (;;) {
      const { topic, payload } = await driver.next('publish');
      const [, name, id] = /POST\/(.+)\/\?\$rid=(.+)$/.exec(topic) ?? [];
      driver.publish({
        topic: `$iothub/methods/res/${name === 'fails' ? 500 : 200}/?$rid=${id}`,
        payload: `{"got":${String(payload) || 'null'}}`,
      });
    }
  })();
  answers.catch(() => {});
  await using portal = await browser.open(hub, { at: '/device?id=asked&tab=methods' });
  const { page } = portal;
  await page.getByLabel('Method', { exact: true }).fill('blink');
  await page.getByLabel('Payload').fill('{"times":3,"colour":"red","slow":false}');
  await page.getByRole('button', { name: 'Call' }).click();
  await page.getByText('status 200').waitFor();
  await page.locator('.answer').getByText('"red"').waitFor();
  await assertAccessible(page);
  // The form knows the members of what was sent.
  await page.getByLabel('times').fill('7');
  await page.getByLabel('times').blur();
  await page.getByLabel('slow').check();
  await page.getByRole('button', { name: 'Call' }).click();
  await page.locator('.answer').nth(1).waitFor();
  await page.locator('.answer').first().getByText('7', { exact: true }).waitFor();
  await page.getByLabel('Method', { exact: true }).fill('fails');
  await page.getByRole('button', { name: 'Call' }).click();
  await page.getByText('status 500').waitFor();
  await page.reload();
  await page
    .getByRole('group', { name: 'Sent before' })
    .getByRole('button', { name: /^blink.*7/ })
    .click();
  assert.equal(await page.getByLabel('Method', { exact: true }).inputValue(), 'blink');
  await page.getByLabel('Payload').fill('{');
  await page.getByText('This is not JSON.').waitFor();
  assert.ok(await page.getByRole('button', { name: 'Call' }).isDisabled());
  close();
  portal.assertClean();
});

test('a method of a device that is away is refused with the reason', { skip }, async () => {
  await api.devices.create('away');
  await using portal = await browser.open(hub, { at: '/device?id=away&tab=methods' });
  await portal.page.getByLabel('Method', { exact: true }).fill('reboot');
  await portal.page.getByRole('button', { name: 'Call' }).click();
  await portal.page.getByRole('alert').getByText('DeviceNotOnline').waitFor();
  portal.assertClean(/status of 404/);
});

test('a command is followed until the device has completed it; one that was rejected is sent again', {
  skip,
}, async () => {
  const { driver, close } = await connectDevice(hub, api, 'told');
  await using portal = await browser.open(hub, { at: '/device?id=told&tab=commands' });
  const { page } = portal;
  await page.getByLabel('Body').fill('<b>reboot</b>');
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await page.getByText('The hub has stored it.').waitFor();
  driver.send({
    cmd: 'subscribe',
    messageId: 9,
    subscriptions: [{ topic: 'devices/told/messages/devicebound/#', qos: 1 }],
  });
  await driver.next('suback');
  const { payload, messageId } = await driver.next('publish');
  assert.equal(String(payload), '<b>reboot</b>');
  await page.getByText('Handed to the device.').waitFor();
  await assertAccessible(page);
  driver.send({ cmd: 'puback', messageId });
  await page.getByText('The device has completed it.').waitFor();
  // Another back end sends one, and the page is opened anew: nothing is forgotten.
  await api.commands.send({ deviceId: 'told' }, { bodyText: 'from elsewhere' });
  await page.getByText('from elsewhere').waitFor();
  await page.reload();
  await page.getByText('from elsewhere').waitFor();
  await page.getByText('<b>reboot</b>').waitFor();
  close();
  portal.assertClean();
});

test('a device that is refused is told why in a sentence, with what to do; its connections are a timeline', {
  skip,
}, async () => {
  const { close } = await connectDevice(hub, api, 'refused');
  close();
  const wrong = await MqttDriver.open({ port: hub.endpoints.ports.mqtt as number });
  const key = Buffer.alloc(32, 7).toString('base64');
  const token = await signSas({ resource: 'localhost/devices/refused', key, expiresAt: Date.now() + 3_600_000 });
  const password = Buffer.from(token);
  wrong.send(connectPacket({ clientId: 'refused', username: 'localhost/refused/?api-version=2021-04-12', password }));
  assert.notEqual((await wrong.next('connack')).returnCode, 0);
  await using portal = await browser.open(hub, { at: '/device?id=refused&tab=why' });
  const { page } = portal;
  await page.getByText('The token was signed with another key than the device’s.').first().waitFor();
  await page.getByText('Copy the connection string again').first().waitFor();
  await page.getByText('It is enabled.').waitFor();
  await assertAccessible(page);
  await page.getByRole('link', { name: 'History' }).click();
  await page.getByText('the connection broke without a good-bye').waitFor();
  await page.getByText('Connected.').waitFor();
  await assertAccessible(page);
  await api.devices.update('refused', { status: 'disabled' });
  await page.getByRole('link', { name: 'Why can it not connect?' }).click();
  await page.reload();
  await page.getByText('It is disabled: enable it on the tab Identity.').waitFor();
  portal.assertClean();
});
