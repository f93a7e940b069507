import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { systemClock } from '../../../base/clock.ts';
import { silentLog } from '../../../base/log.ts';
import { fieldOf } from '../../../core/query/fields.ts';
import { type FleetTrial, fleetStoreContract } from '../../contract/fleet.ts';
import { fleetMatcherContract } from '../../contract/fleet-matcher.ts';
import { liveQueriesContract } from '../../contract/live-queries.ts';
import { openEmbeddedTables } from './tables.ts';

const cipher = { keys: [Buffer.alloc(32, 1)], source: 'test' };

const indexed = [
  ['tags', 'p'],
  ['tags', 'site'],
  ['tags', 'r-s', 'q'],
  ['properties', 'desired', 'q'],
];

for (const [name, paths] of [
  ['embedded', []],
  ['embedded with indexes', indexed],
] as const) {
  const open = async (): Promise<FleetTrial> => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-fleet-'));
    const file = path.join(folder, 'hub.db');
    const tables = await openEmbeddedTables({
      ...{ file, cipher, log: silentLog, clock: systemClock },
      queryIndexes: paths.map((path) => fieldOf(path, 'devices') ?? assert.fail('it is a field')),
    });
    return {
      ...tables,
      async close() {
        await tables.close();
        rmSync(folder, { recursive: true });
      },
    };
  };
  fleetStoreContract(name, open);
  fleetMatcherContract(name, open);
  liveQueriesContract(name, open);
}
