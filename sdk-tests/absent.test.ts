/** What the service does and this hub does not yet: each service SDK shows an error that names the operation, and no other. */
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import type { TestHub } from '../test/drivers/hub.ts';
import { startStockHub, whyNot } from './support/hub.ts';
import { missing } from './support/programs.ts';
import { shows } from './support/shows.ts';
import { TwinBackEnd, twinSdks } from './support/twins.ts';

/** By the names under which the clients know them; of the answer, what names the operation. */
const operations: readonly (readonly [name: string, named: RegExp])[] = [
  ['configurations', /does not offer GET \/configurations/],
  ['import job', /does not offer POST \/jobs\/create/],
  ['list jobs', /does not offer GET \/jobs/],
];

describe('absent operations', { skip: await whyNot() }, () => {
  let hub: TestHub;

  before(async () => {
    hub = await startStockHub();
  });

  after(async () => {
    await hub?.[Symbol.asyncDispose]();
  });

  describe('by SDK', { concurrency: true }, () => {
    for (const sdk of twinSdks) {
      const operation = 'what the hub does not offer yet is an error that names it, and not one of too many devices';
      shows({ sdk: sdk.name, transport: sdk.transport, operation }, missing(sdk.language), async () => {
        await using backEnd = await TwinBackEnd.start(hub, sdk);
        for (const [name, named] of operations) {
          const shown = String(await backEnd.refusal('absent', name));
          assert.match(shown, named, `${name}: ${shown}`);
          assert.doesNotMatch(shown, /TooManyDevices/i);
        }
      });
    }
  });
});
