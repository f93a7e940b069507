/**
 * Starts the real hub as a process of its own, on free ports and in a folder of its own.
 *
 *     await using hub = await startHub();
 *     connect(hub.endpoints.ports.mqtts, hub.ca);
 *
 * `await using` stops the hub and removes its folder. A test that outlives its hub may also call `stop`, `kill` and
 * `restart` itself. A hub never outlives the process that started it. `MOORING_TEST_THREADS` gives every hub
 * that many listener threads, unless the test says how many; `MOORING_TEST_KAFKA` with `MOORING_TEST_POSTGRES` has every hub keep what
 * it has in these, in topics and a schema of its own, and `MOORING_TEST_NODES` has so many nodes serve it behind a balancer.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { launchNodes, type NodesHub, nodesWanted } from './hub-nodes.ts';
import { type Exit, READY_MS_MAX, watched, within } from './hub-process.ts';
import { type HubOptions, launch, type TestHub } from './one-hub.ts';

export type { NodesHub } from './hub-nodes.ts';
export type { Exit } from './hub-process.ts';
export type { HubOptions, TestHub } from './one-hub.ts';

/** @throws Error with everything that the hub wrote, when it ends or stays silent instead of becoming ready. */
export async function startHub(options: HubOptions = {}): Promise<TestHub> {
  const ownFolder = options.dataDir === undefined ? mkdtempSync(path.join(tmpdir(), 'mooring-hub-')) : undefined;
  const dataDir = options.dataDir ?? path.join(ownFolder ?? '', 'data');
  try {
    const nodes = nodesWanted({ ...options, dataDir });
    if (nodes > 1) return await launchNodes({ ...options, dataDir }, ownFolder, nodes);
    return await launch({ ...options, dataDir }, ownFolder);
  } catch (error) {
    if (ownFolder !== undefined) rmSync(ownFolder, { recursive: true, force: true });
    throw error;
  }
}

/**
 * A hub of so many nodes, on the broker and the database of the environment, that looks like one and whose nodes are restarted alone.
 * @throws Error where there is no broker or no database
 */
export async function startNodesHub(count: number, args: readonly string[] = []): Promise<NodesHub> {
  const ownFolder = mkdtempSync(path.join(tmpdir(), 'mooring-hub-'));
  try {
    return await launchNodes({ args, dataDir: path.join(ownFolder, 'data') }, ownFolder, count);
  } catch (error) {
    rmSync(ownFolder, { recursive: true, force: true });
    throw error;
  }
}

export interface Finished extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command of `mooring` to its end, e.g. `['config', 'print']`, or a `serve` that is to be refused. */
export async function runMooring(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  const run = watched(args, env);
  try {
    const exit = await within(
      READY_MS_MAX,
      run.ended,
      () => `mooring ${args[0]} did not end\n${run.out()}${run.err()}`,
    );
    return { ...exit, stdout: run.out(), stderr: run.err() };
  } finally {
    run.child.kill('SIGKILL');
  }
}
