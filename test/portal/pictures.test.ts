/**
 * Every screen wide and narrow, light and dark, with a fleet behind it: nothing is cut off or wider than the window, and axe finds nothing
 * serious. `MOORING_TEST_PICTURES=FOLDER` keeps a picture of each; those of the README are `overview.png` and `telemetry.png`.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { ApiClient } from '../../src/api/client.ts';
import { apiOf } from '../drivers/api.ts';
import { assertAccessible } from '../drivers/axe.ts';
import { noBrowser, type PortalBrowser, startBrowser } from '../drivers/browser.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { signIn } from '../drivers/portal.ts';
import { connectDevice, type PortalDevice } from '../drivers/portal-device.ts';
import { until } from '../drivers/until.ts';

const skip = noBrowser();
const folder = process.env.MOORING_TEST_PICTURES;
const main = path.join(import.meta.dirname, '..', '..', 'src', 'main.ts');
let [hub, api, browser]: [TestHub, ApiClient, PortalBrowser] = [] as never;
let fleet: PortalDevice[] = [];
let timer: NodeJS.Timeout | undefined;

before(async () => {
  if (skip) return;
  hub = await startHub();
  api = apiOf(hub);
  browser = await startBrowser();
  fleet = await Promise.all(['north', 'south', 'east', 'west'].map((site) => connectDevice(hub, api, `press-${site}`)));
  for (const [floor, { id }] of fleet.entries()) {
    const tags = { site: id.slice(6), floor };
    await api.twins.update({ deviceId: id }, { tags, properties: { desired: { report: { seconds: 5 } } } });
  }
  for (let n = 1; n <= 20; n++) await api.devices.create(`valve-${String(n).padStart(3, '0')}`);
  await api.devices.update('valve-007', { status: 'disabled', statusReason: 'in the workshop' });
  const owner = await signIn(hub);
  const disable = { action: 'disable', ids: ['valve-001', 'valve-002', 'valve-none'] };
  await owner.fetch('/portal/api/mooring/v1/bulk-changes', { method: 'POST', json: disable });
  const call = { methodName: 'reboot', responseTimeoutInSeconds: 5 };
  await owner.fetch('/portal/api/twins/valve-003/methods', { method: 'POST', json: call });
  for (const [id, waiting] of [
    ['valve-004', 12],
    ['valve-005', 3],
  ] as const) {
    for (let sent = 0; sent < waiting; sent++) await api.commands.send({ deviceId: id }, { bodyText: 'open' });
  }
  let n = 0;
  timer = setInterval(() => {
    n++;
    for (const [at, device] of fleet.entries()) {
      const wave = Math.sin((n + at * 9) / 14);
      device.sendMany([
        JSON.stringify({
          temperature: Math.round((62 + 4 * wave + Math.random()) * 10) / 10,
          pressure: { bar: Math.round((8 + wave / 2) * 100) / 100 },
          motor: { rpm: Math.round(1450 + 40 * wave + 6 * Math.random()), isOn: true },
        }),
      ]);
    }
  }, 100);
});

after(async () => {
  clearInterval(timer);
  for (const device of fleet) device.close();
  await browser?.[Symbol.asyncDispose]();
  api?.close();
  await hub?.[Symbol.asyncDispose]();
});

const device = (tab: string): string => `/device?id=press-north&tab=${tab}`;
const screens: readonly (readonly [name: string, at: string])[] = [
  ['overview', '/'],
  ['devices', '/devices'],
  ['telemetry', device('telemetry')],
  ['identity', device('identity')],
  ['twin', device('twin')],
  ['methods', device('methods')],
  ['commands', device('commands')],
  ['modules', device('modules')],
  ['history', device('history')],
  ['why', device('why')],
  ['why-away', '/device?id=valve-003&tab=why'],
  ['connect', device('connect')],
  ['first-run', '/first-run'],
];

/** What is wider than the window, but for what scrolls by itself. A text: it runs in the page. */
const tooWide = `(() => {
  const scrolls = (element) => element !== null && (/(auto|scroll|hidden)/.test(getComputedStyle(element).overflowX) || scrolls(element.parentElement));
  return [...document.querySelectorAll('main *')]
    .filter((element) => element.getBoundingClientRect().right > innerWidth + 1 && !scrolls(element.parentElement))
    .map((element) => element.outerHTML.slice(0, 120));
})()`;

/** Whether the tab that is open can be seen, where there are tabs. A text, too. */
const tabInSight = `(() => {
  const tab = document.querySelector('.tabs [aria-current]');
  if (tab === null) return true;
  const { left, right } = tab.getBoundingClientRect();
  return left >= 0 && right <= innerWidth;
})()`;

for (const [look, context] of [
  ['light', { colorScheme: 'light' }],
  ['dark', { colorScheme: 'dark' }],
  ['narrow', { colorScheme: 'light', viewport: { width: 360, height: 800 } }],
  ['narrow-dark', { colorScheme: 'dark', viewport: { width: 360, height: 800 } }],
] as const) {
  test(`every screen, ${look}`, { skip }, async () => {
    await using portal = await browser.open(hub, { context });
    const { page } = portal;
    for (const [name, at] of screens) {
      // Charts need some points to be looked at.
      await portal.goto(at);
      if (name === 'telemetry') await page.getByRole('img', { name: 'Chart of temperature' }).waitFor();
      if (name === 'devices') await page.locator('.changes summary').click();
      if (name === 'twin') await page.locator('.cm-content').waitFor();
      if (folder !== undefined) await page.waitForTimeout(name === 'overview' || name === 'telemetry' ? 25_000 : 800);
      assert.deepEqual(await page.evaluate(tooWide), [], `${name}, ${look}`);
      await until(`the open tab of ${name} is in sight, ${look}`, () => page.evaluate<boolean>(tabInSight));
      await assertAccessible(page);
      if (folder === undefined) continue;
      mkdirSync(folder, { recursive: true });
      await page.screenshot({
        path: path.join(folder, look === 'light' ? `${name}.png` : `${name}-${look}.png`),
        ...{ animations: 'disabled', caret: 'hide' },
      });
    }
    portal.assertClean();
  });
}

test('the command that npm start names prints a link that opens the portal', { skip }, async () => {
  const child = spawn(process.execPath, [main, 'portal', '--data-dir', hub.dataDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  await once(child, 'close');
  const link = /https?:\S+#code=\S+/.exec(said)?.[0];
  assert.ok(link !== undefined, said);
  const context = await browser.newUser();
  const page = await context.newPage();
  await page.goto(link);
  await until('it is open', async () => (await page.getByRole('navigation', { name: 'Screens' }).count()) === 1);
  await context.close();
});
