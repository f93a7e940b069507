/** What axe-core finds wrong with a page for people who use no mouse or no screen. */
import assert from 'node:assert/strict';
import axe from 'axe-core';
import type { Page } from 'playwright-core';

/** No finding that is serious or worse. Needs no policy of the page: it goes by the browser's own protocol. */
export async function assertAccessible(page: Page): Promise<void> {
  await page.evaluate(axe.source);
  const violations = await page.evaluate(async () => {
    // biome-ignore lint/suspicious/noExplicitAny: the page has it from the line above
    const found = await (globalThis as any).axe.run();
    return (found as axe.AxeResults).violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => ({
        id,
        nodes: nodes.slice(0, 5).map(({ html, failureSummary }) => ({ html, failureSummary })),
      }));
  });
  assert.deepEqual(violations, [], `${page.url()}\n${JSON.stringify(violations, null, 2)}`);
}
