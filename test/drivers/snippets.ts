/** Runs the lines that the portal shows for a device, exactly as shown, in a folder made as the page says. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { deviceToken } from '../../portal/src/simulation/token.ts';
import { type Snippet, snippetsOf } from '../../portal/src/snippets/snippets.ts';
import type { ApiClient } from '../../src/api/client.ts';
import type { TestHub } from './hub.ts';
import { MonitoringReader } from './monitoring.ts';

const RUN_MS_MAX = 60_000;
const examples = path.join(import.meta.dirname, '..', '..', 'examples', 'devices');
const execute = promisify(execFile);

/** What the page shows for a device that is made here. */
export async function snippetFor(hub: TestHub, api: ApiClient, deviceId: string, id: string): Promise<Snippet> {
  const device = await api.devices.create(deviceId);
  const key = device.authentication.symmetricKey.primaryKey ?? '';
  const { hostName, ports } = hub.endpoints;
  const token = await deviceToken(hostName, deviceId, key);
  const snippet = snippetsOf({ hostName, ports, deviceId, key, token }).find((one) => one.id === id);
  assert.ok(snippet !== undefined, id);
  return snippet;
}

/** Runs it, and awaits what its device sends. @returns the bodies that reached the hub, in order */
export async function runSnippet(
  hub: TestHub,
  snippet: Snippet,
  options: {
    readonly deviceId: string;
    readonly messages: number;
    /** Lines of the page that install or compile. */
    readonly installs?: boolean;
    readonly prepare?: (folder: string) => void;
    readonly env?: Readonly<Record<string, string>>;
  },
): Promise<readonly { readonly temperature: number; readonly humidity: number }[]> {
  const { deviceId, messages, installs = false, prepare, env = {} } = options;
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-snippet-'));
  const events = await MonitoringReader.open(hub, 'telemetry');
  try {
    writeFileSync(path.join(folder, 'ca.pem'), hub.ca);
    for (const name of snippet.files) copyFileSync(path.join(examples, name), path.join(folder, name));
    prepare?.(folder);
    const shell = (lines: string): Promise<unknown> =>
      execute('sh', ['-e', '-c', lines], { cwd: folder, env: { ...process.env, ...env }, timeout: RUN_MS_MAX });
    if (installs && snippet.install !== undefined) await shell(snippet.install);
    await shell(snippet.run);
    const found: { temperature: number; humidity: number }[] = [];
    while (found.length < messages) {
      const event = await events.nextMessage(({ temperature }) => typeof temperature === 'number');
      if (event.deviceId !== deviceId) continue;
      assert.deepEqual({ ...event.properties }, { room: 'kitchen' });
      found.push(JSON.parse(event.body.toString('utf8')));
    }
    return found;
  } finally {
    await events.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
