/** What each node of a hub says of itself, by its admin port. A hub alone is its only node. */
import type { TestHub } from '../../test/drivers/hub.ts';
import { until } from '../../test/drivers/until.ts';

/** The value of a series at each node, e.g. of `mooring_archive_ok{archive="cold"}`; undefined where it has none. */
function atEachNode(hub: TestHub, series: string): Promise<readonly (number | undefined)[]> {
  return Promise.all(
    hub.nodes.map(async ({ endpoints }) => {
      const page = await (await fetch(`http://127.0.0.1:${endpoints.ports.admin}/metrics`)).text();
      const line = page.split('\n').find((each) => each.startsWith(`${series} `));
      return line === undefined ? undefined : Number(line.slice(series.length + 1));
    }),
  );
}

/** What all nodes together count. */
export async function sumOfNodes(hub: TestHub, series: string): Promise<number> {
  return (await atEachNode(hub, series)).reduce<number>((sum, value = 0) => sum + value, 0);
}

/** Waits until each node knows what was declared at one: the others follow a moment later, and route nothing there before. */
export async function knownAtEachNode(hub: TestHub, series: string): Promise<void> {
  const isKnown = async (): Promise<boolean> => !(await atEachNode(hub, series)).includes(undefined);
  await until(`each node shows ${series}`, isKnown, { everyMs: 200 });
}
