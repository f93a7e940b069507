/** A node whose database answers over a line that can lose the answer to one commit, beside a node with a good line. */
import assert from 'node:assert/strict';
import { ApiError } from '../../src/api/exchange.ts';
import { clusterMissing, startCluster } from '../drivers/cluster.ts';
import { FaultyLink } from '../drivers/faulty-link.ts';
import type { TestHub } from '../drivers/hub.ts';

/** Why such nodes cannot be started here; undefined = they can. */
export const missing = clusterMissing();

export interface LosingNodes extends AsyncDisposable {
  readonly good: TestHub;
  readonly losing: TestHub;
  /** The next commit of the losing node arrives, and its answer gets lost with the connection. Resolves when that has been so. */
  loseAnswer(): Promise<unknown>;
}

export async function losingNodes(): Promise<LosingNodes> {
  const database = new URL(String(process.env.MOORING_TEST_POSTGRES));
  await using opened = new AsyncDisposableStack();
  const line = opened.use(await FaultyLink.to(Number(database.port)));
  const cluster = opened.use(await startCluster({ nodes: 1 }));
  const [good] = cluster.nodes;
  database.port = String(line.port);
  const losing = await cluster.start({ env: { MOORING_POSTGRES_URL: database.href } });
  const own = opened.move();
  return {
    good,
    losing,
    loseAnswer() {
      let isLost = false;
      return line.fail((piece) => {
        if (isLost || !piece.includes('commit')) return 'pass';
        isLost = true;
        return 'deaf';
      });
    },
    [Symbol.asyncDispose]: () => own.disposeAsync(),
  };
}

const ATTEMPTS_MAX = 10;

/**
 * Makes a change at the losing node whose answer is lost: work of the node itself may commit first, and lose its own; then it is made again.
 * @param change gets the number of the attempt, from 0 on
 * @param undo undoes one that was answered
 * @returns the attempt that was refused (503), and was carried out
 */
export async function withoutAnswer(
  nodes: LosingNodes,
  change: (attempt: number) => Promise<unknown>,
  undo: () => Promise<unknown> = async () => {},
): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const lost = nodes.loseAnswer();
    try {
      await change(attempt);
    } catch (error) {
      assert.ok(error instanceof ApiError && error.status === 503, String(error));
      await lost;
      return attempt;
    }
    await lost;
    await undo();
  }
  return assert.fail(`${ATTEMPTS_MAX} changes were answered`);
}
