/**
 * A real browser at the portal of a real hub. Every page collects what must not happen: errors of scripts, breaches of its policy,
 * dialogs; `assertClean` looks at them.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import type { TestHub } from './hub.ts';

const root = path.join(import.meta.dirname, '..', '..');

const places = [
  process.env.MOORING_TEST_BROWSER,
  '/usr/bin/chromium-headless-shell',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];

const executable = places.find((place) => place !== undefined && existsSync(place));

/** For a test's `skip`: why there is no browser, or false. Where everything must be tested (CI=1) the test runs, and fails. */
export function noBrowser(): string | false {
  if (executable !== undefined || process.env.CI === '1') return false;
  return 'no Chromium here (Debian: apt install chromium-headless-shell; or name one in MOORING_TEST_BROWSER)';
}

/** Builds the pages that the hub serves, if their sources have changed. @throws Error with what the build said */
export function buildPages(): void {
  const run = spawnSync(process.execPath, [path.join(root, 'scripts', 'build-portal.mjs')], { encoding: 'utf8' });
  assert.equal(run.status, 0, `${run.stdout}${run.stderr}`);
}

export interface PortalBrowser extends AsyncDisposable {
  /** A new user: cookies and storage of its own. */
  newUser(options?: BrowserContextOptions): Promise<BrowserContext>;
  /** A page of a new user, signed in with a policy (default: iothubowner) at a path of the portal. */
  open(hub: TestHub, options?: OpenOptions): Promise<PortalPage>;
}

export interface OpenOptions {
  readonly at?: string;
  /** In place of the hub's own port: a link on the way. */
  readonly port?: number;
  readonly policy?: 'iothubowner' | 'service' | 'registryRead' | 'registryReadWrite';
  readonly context?: BrowserContextOptions;
}

export interface PortalPage extends AsyncDisposable {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly base: string;
  goto(at: string): Promise<void>;
  /** Nothing has happened that must not, but what one of `allowed` matches. */
  assertClean(...allowed: readonly RegExp[]): void;
}

const WAIT_MS_MAX = 20_000;

export async function startBrowser(): Promise<PortalBrowser> {
  assert.ok(executable !== undefined, 'CI=1 wants a Chromium: apt install chromium-headless-shell');
  buildPages();
  const browser: Browser = await chromium.launch({
    executablePath: executable,
    chromiumSandbox: false,
    args: [
      ...['--force-color-profile=srgb', '--font-render-hinting=none', '--disable-lcd-text', '--hide-scrollbars'],
      ...['--disable-dev-shm-usage', '--enable-precise-memory-info', '--js-flags=--expose-gc'],
    ],
  });
  const newUser = async (options: BrowserContextOptions = {}): Promise<BrowserContext> => {
    const context = await browser.newContext({
      ...{ viewport: { width: 1280, height: 860 }, deviceScaleFactor: 1, locale: 'en-GB', timezoneId: 'Europe/Berlin' },
      ...{ colorScheme: 'light', reducedMotion: 'reduce', permissions: ['clipboard-read', 'clipboard-write'] },
      ...options,
    });
    context.setDefaultTimeout(WAIT_MS_MAX);
    return context;
  };
  return {
    newUser,
    async open(hub, { at = '/', port, policy = 'iothubowner', context: options } = {}) {
      const context = await newUser(options);
      const portal = watched(
        context,
        await context.newPage(),
        port === undefined ? baseOf(hub) : `http://127.0.0.1:${port}`,
      );
      // Signing in goes on at the screen that was asked for.
      await portal.page.goto(`${portal.base}${at}`);
      await portal.page.getByLabel('Or paste the connection string').fill(hub.endpoints.connectionStrings[policy]);
      await portal.page.getByRole('button', { name: 'Log in' }).click();
      await portal.page.getByRole('navigation', { name: 'Screens' }).waitFor();
      await portal.page.getByRole('heading', { level: 1 }).waitFor();
      return portal;
    },
    async [Symbol.asyncDispose]() {
      await browser.close();
    },
  };
}

export const baseOf = ({ endpoints }: TestHub): string => `http://localhost:${endpoints.ports.admin}`;

/** A page whose mishaps are noted. */
export function watched(context: BrowserContext, page: Page, base: string): PortalPage {
  const mishaps: string[] = [];
  page.on('pageerror', (error) => mishaps.push(`error: ${error.stack ?? error.message}`));
  page.on('dialog', (dialog) => {
    mishaps.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  // Breaches of the policy of the page arrive here, too.
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') {
      mishaps.push(`${message.type()}: ${message.text()} (${message.location().url})`);
    }
  });
  return {
    ...{ page, context, base },
    async goto(at) {
      await page.goto(`${base}${at}`);
      await page.getByRole('heading', { level: 1 }).waitFor();
    },
    assertClean(...allowed) {
      assert.deepEqual(
        mishaps.filter((mishap) => !allowed.some((pattern) => pattern.test(mishap))),
        [],
      );
    },
    async [Symbol.asyncDispose]() {
      await context.close();
    },
  };
}
