/** What an operator sees of a dead endpoint is what the page about routes shows, but for times. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { apiOf } from '../drivers/api.ts';
import { runMooring, startHub } from '../drivers/hub.ts';
import { senderOf } from '../drivers/sender.ts';
import { until } from '../drivers/until.ts';

const deadSoon = pathToFileURL(path.join(import.meta.dirname, '..', 'drivers', 'dead-soon.ts')).href;
const page = readFileSync(path.join(import.meta.dirname, '..', '..', 'docs', 'routes.md'), 'utf8');

/** Times, durations and counts of tries as letters: they are another's each time. */
const timeless = (text: string): string =>
  text
    .replace(/\d{4}-\d{2}-\d{2}[T ][\d:.]+Z?/g, 'TIME')
    .replace(/\d+(\.\d+)? (ms|s|min|h)\b/g, 'AGE')
    .replace(/(lag_seconds|failures_total)(\{.*\}) [\d.]+/g, '$1$2 N')
    .trimEnd();

test('a dead endpoint: the command line, health and metrics say why, since when, and what waits', async (context) => {
  const receiver = http.createServer((request, response) => {
    request.resume();
    if (request.method === 'OPTIONS') return response.setHeader('WebHook-Allowed-Origin', '*').end();
    response.writeHead(503).end('under maintenance');
  });
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  context.after(() => receiver.close());
  await using hub = await startHub({
    args: ['--endpoint-private-addresses', 'on'],
    env: { NODE_OPTIONS: `--import=${deadSoon}` },
  });
  const api = apiOf(hub);
  context.after(() => api.close());
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/events`;
  await api.routes.replace({
    endpoints: [{ name: 'ops', kind: 'webhook', url }],
    routes: [{ name: 'all', endpoint: 'ops' }],
  });
  const { client, send } = await senderOf(hub, 'd1');
  for (let n = 0; n < 42; n++) await send(`{"n":${n}}`);
  await until('it is dead', async () => (await api.routes.endpoints())[0].health === 'dead', { everyMs: 100 });
  const [, section = ''] = page.split('### A dead endpoint\n');
  const [shown, health, metrics] = [...section.split('\n## ')[0].matchAll(/```\n([\s\S]*?)```/g)].map(
    (block) => block[1],
  );

  const { stdout } = await runMooring(['route', 'endpoints', '--data-dir', hub.dataDir]);
  assert.equal(timeless(stdout), timeless(shown.replace(/^mooring route endpoints\n/, '')));
  const checks = await runMooring(['health', '--data-dir', hub.dataDir]);
  const line = checks.stdout.split('\n').find((each) => each.startsWith('endpoints ')) ?? '';
  assert.equal(timeless(line), timeless(health.replace(/^mooring health\n/, '')));
  const scraped = await (await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/metrics`)).text();
  const found = scraped.split('\n').filter((each) => each.startsWith('mooring_endpoint_'));
  assert.equal(timeless(found.join('\n')), timeless(metrics));
  await client.disconnect();
});
