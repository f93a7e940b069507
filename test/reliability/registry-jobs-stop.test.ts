/** A hub that is to stop while the container of an export is silent. */
import assert from 'node:assert/strict';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { apiOf } from '../drivers/api.ts';
import { startHub } from '../drivers/hub.ts';
import { endOf } from '../drivers/registry-jobs.ts';

/** How long the container may be silent before the hub tries again is 20 s, three times. */
const STOP_MS_MAX = 15_000;

test('a hub does not wait for a silent container to stop; the next start brings the export to its end', async () => {
  let isSilent = true;
  let asked = (): void => {};
  const isAsked = new Promise<void>((resolve) => {
    asked = resolve;
  });
  // Takes blocks; the list that makes a file of them it answers later only.
  const account = http.createServer((request, answer) => {
    request.resume().once('end', () => {
      if (!isSilent || !request.url?.includes('comp=blocklist')) answer.writeHead(201).end();
      else asked();
    });
  });
  await new Promise<void>((resolve) => account.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(account.address() as AddressInfo).port}`;
  let hub = await startHub({ args: ['--registry-blob-hosts', host] });
  try {
    const before = apiOf(hub);
    const outputBlobContainerUri = `http://${host}/account/container?sig=x`;
    const { jobId } = await before.registryJobs.create({ type: 'export', outputBlobContainerUri });
    await isAsked;
    before.close();
    const begun = performance.now();
    const { code } = await hub.stop();
    const took = performance.now() - begun;
    assert.equal(code, 0);
    assert.ok(took < STOP_MS_MAX, `the stop took ${took} ms`);
    isSilent = false;
    hub = await hub.restart();
    const after = apiOf(hub);
    const job = await endOf(after, jobId);
    assert.equal(job.status, 'completed', job.failureReason);
    after.close();
  } finally {
    await hub[Symbol.asyncDispose]();
    account.closeAllConnections();
    account.close();
  }
});
