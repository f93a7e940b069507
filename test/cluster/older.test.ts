/**
 * Nodes of an older program are replaced by nodes of this one, one after the other, while devices and back ends are at work: both programs
 * serve the hub together, nothing that was acknowledged is lost, twice or out of order, and what the older one does not know it refuses by name.
 *
 *     MOORING_TEST_OLDER=COMMIT scripts/postgres-for-tests.sh node scripts/kafka-for-tests.ts npm test -- cluster/older
 *
 * The older program is taken from the repository, with the packages that are installed here.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Balancer } from '../../scripts/cluster/balancer.ts';
import { apiOf } from '../drivers/api.ts';
import { balancedEndpoints } from '../drivers/balanced.ts';
import { clusterMissing, connectDevice, makeDevice, startCluster } from '../drivers/cluster.ts';
import type { TestHub } from '../drivers/hub.ts';
import { thisProgram } from '../drivers/hub-process.ts';
import { until } from '../drivers/until.ts';
import { readToEnd } from '../reliability/event-reader.ts';
import { ChaosActor } from './chaos-actor.ts';
import { ChaosPublisher } from './chaos-publisher.ts';
import { agrees, Follower, tag } from './live-follower.ts';

const commit = process.env.MOORING_TEST_OLDER;
const missing = commit === undefined ? 'MOORING_TEST_OLDER names no commit of an older program' : clusterMissing();
if (missing !== undefined) process.stderr.write(`NOT TESTED: an older program beside this one (${missing})\n`);
const [NODES, PUBLISHERS, IN_FLIGHT] = [3, 6, 5];
const SETTLE_MS = 5000;
const WAIT = { withinMs: 60_000 };
const DOORS = ['mqtt', 'amqp', 'https'] as const;

test('nodes of an older program are replaced by this one under load: nothing acknowledged is lost, twice or out of order', {
  skip: missing ?? false,
  timeout: 900_000,
}, async (t) => {
  using older = checkOut(String(commit));
  await using cluster = await startCluster({ nodes: 0 });
  const nodes: TestHub[] = [];
  for (let at = 0; at < NODES; at++) nodes.push(await cluster.start({ program: older.folder }));
  t.after(() => Promise.all(nodes.map((node) => node.kill())));
  await using balancer = await Balancer.open(
    DOORS.map((door) => ({ door, port: 0 })),
    () => nodes.map(({ endpoints: { ports } }, at) => ({ name: `node-${at + 1}`, ports, adminPort: ports.admin ?? 0 })),
  );
  const ports = Object.fromEntries(DOORS.map((door) => [door, balancer.port(door)]));
  const hub = { ca: nodes[0].ca, endpoints: balancedEndpoints(nodes[0].endpoints, ports) };
  const publishers = await Promise.all(
    Array.from({ length: PUBLISHERS }, (_, at) => ChaosPublisher.make(hub, `p${at}`, IN_FLIGHT)),
  );
  const actors = [new ChaosActor('a0', hub), new ChaosActor('a1', hub)];
  for (const { deviceId } of [...actors, { deviceId: 'followed' }]) await makeDevice(hub, deviceId);
  t.after(() => Promise.all([...publishers, ...actors].map((each) => each.stop())));
  const running = publishers.map((each) => each.run());
  for (const actor of actors) actor.start();

  const counts: number[] = [];
  const total = (): number => publishers.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
  const longest: number[] = [];
  for (let at = 0; at <= NODES; at++) {
    const before = publishers.map(({ acknowledged }) => acknowledged);
    await until('every device sends', () => publishers.every((p, nth) => p.acknowledged > before[nth]), WAIT);
    const asked = actors.map(({ counts: { methods, commands, desired } }) => [methods, commands, desired]);
    const all = (): boolean =>
      actors.every(({ counts: { methods, commands, desired } }, nth) =>
        [methods, commands, desired].every((count, what) => count > asked[nth][what] + 3),
      );
    await until(`methods, commands and twins go on with ${at} nodes of this program`, all, WAIT);
    if (at === 1) await acrossPrograms(nodes[0], nodes[1]);
    await sleep(SETTLE_MS);
    counts.push(total());
    if (at === NODES) break;
    for (const each of publishers) each.longestMs = 0;
    assert.equal((await nodes[at].stop()).code, 0);
    nodes[at] = await nodes[at].restart({ program: thisProgram });
    longest.push(Math.round(Math.max(...publishers.map(({ longestMs }) => longestMs))));
  }

  await Promise.all([...publishers.map((each) => each.stop()), ...actors.map((each) => each.stopAsking())]);
  await Promise.all(running);
  await until('what was asked for has come to the devices', () => actors.every((each) => each.hasAll()), WAIT);
  const found = new Map(publishers.map((each) => [each.deviceId, each]));
  const { endpoints } = nodes[0];
  const place = { port: endpoints.ports.amqp ?? 0, connectionString: endpoints.connectionStrings.eventHubsEmulator };
  await readToEnd(place, new Map(), ({ deviceId, properties }) => found.get(deviceId)?.take(Number(properties.n)));
  for (const actor of actors) {
    await actor.checkCommands();
    await actor.stop();
  }
  const lost = publishers.flatMap((each) => each.lost().map((n) => `${each.deviceId}/${n}`));
  t.diagnostic(
    `${commit} beside this program: ${counts.join(', ')} acknowledged by the end of each step, ${lost.length} lost; longest pause of a ` +
      `device in each step ${longest.join(', ')} ms; ${actors.map((each) => JSON.stringify(each.counts)).join(', ')}`,
  );
  assert.deepEqual(lost.slice(0, 10), []);
  assert.deepEqual(
    publishers.map(({ found: { reordered, strange } }) => [reordered, strange]),
    publishers.map(() => [0, 0]),
  );
  for (const { faults } of actors) assert.deepEqual(faults, []);
  const refused = nodes.flatMap((node) => node.stderr().match(/no operation [a-zA-Z.]+/g) ?? []);
  t.diagnostic(
    `refused by the older program: ${[...new Set(refused)].join(', ') || 'nothing was asked that it does not know'}`,
  );
});

/** A query is followed at a node of this program, and what it shows is changed at one of the older. */
async function acrossPrograms(newer: TestHub, older: TestHub): Promise<void> {
  const [here, there] = [apiOf(newer), apiOf(older)];
  const follower = new Follower(here);
  try {
    await tag(there, 'followed', 1);
    await agrees('what the older program changes', follower, here, 30_000);
    const { client, returnCode } = await connectDevice(older, 'followed');
    assert.equal(returnCode, 0);
    await agrees('who is connected at the older program', follower, here, 30_000);
    client.destroy();
    await agrees('who has left the older program', follower, here, 30_000);
  } finally {
    await follower.leave();
    here.close();
    there.close();
  }
}

/** The program of a commit, in a folder that goes with it. */
function checkOut(name: string): Disposable & { readonly folder: string } {
  const folder = path.join(mkdtempSync(path.join(tmpdir(), 'mooring-older-')), 'program');
  const git = (...args: readonly string[]): unknown => execFileSync('git', args, { cwd: thisProgram, stdio: 'pipe' });
  git('worktree', 'add', '--detach', folder, name);
  symlinkSync(path.join(thisProgram, 'node_modules'), path.join(folder, 'node_modules'));
  return {
    folder,
    [Symbol.dispose]() {
      git('worktree', 'remove', '--force', folder);
      rmSync(path.dirname(folder), { recursive: true, force: true });
    },
  };
}
