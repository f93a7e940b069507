/** A node whose database answers over a line that can lose the answer to one commit, beside a node with a good line. */
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
