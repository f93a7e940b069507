/** The programs that the portal shows to a newcomer, run exactly as shown, with the stock SDKs. */
import assert from 'node:assert/strict';
import { symlinkSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { ApiClient } from '../src/api/client.ts';
import { apiOf } from '../test/drivers/api.ts';
import type { TestHub } from '../test/drivers/hub.ts';
import { runSnippet, snippetFor } from '../test/drivers/snippets.ts';
import { startStockHub, whyNot } from './support/hub.ts';
import { missing, pythonProgram } from './support/programs.ts';

const skip = await whyNot();
const here = import.meta.dirname;
let [hub, api]: [TestHub, ApiClient] = [] as never;

before(async () => {
  if (skip !== undefined) return;
  hub = await startStockHub();
  api = apiOf(hub);
});

after(async () => {
  api?.close();
  await hub?.[Symbol.asyncDispose]();
});

const expected = [1, 2, 3, 4, 5].map((n) => ({ temperature: 20 + n / 2, humidity: 50 + n }));

/** In place of the line that installs: what `run.ts` has installed. */
const kinds = [
  {
    id: 'node',
    why: undefined,
    prepare: (folder: string) => symlinkSync(path.join(here, 'node_modules'), path.join(folder, 'node_modules')),
    env: {},
  },
  {
    id: 'python',
    why: missing('Python'),
    prepare: () => {},
    env: { PATH: `${path.dirname(pythonProgram)}:${process.env.PATH}` },
  },
  {
    id: 'java',
    why: missing('Java'),
    prepare: (folder: string) => symlinkSync(path.join(here, 'java', 'target', 'lib'), path.join(folder, 'lib')),
    env: {},
  },
] as const;

for (const { id, why, prepare, env } of kinds) {
  test(`the program for ${id} sends its five messages`, { skip: skip ?? why }, async () => {
    const snippet = await snippetFor(hub, api, `first-${id}`, id);
    assert.equal(snippet.obstacle, undefined);
    const sent = await runSnippet(hub, snippet, { deviceId: `first-${id}`, messages: 5, prepare, env });
    assert.deepEqual(sent, expected);
  });
}
