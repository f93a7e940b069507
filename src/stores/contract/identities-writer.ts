/**
 * A program for tests that kill it or starve it of disk: writes identities as fast as they are acknowledged, and prints
 * each one's id then. Arguments: database file, key file, prefix of the ids.
 */
import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import { asHubError } from '../../core/errors.ts';
import { openKeyCipher } from '../embedded/tables/key-file.ts';
import { openEmbeddedTables } from '../embedded/tables/tables.ts';
import { exampleIdentity } from './identities.ts';

const WRITERS = 16;
const [file, keyFile, prefix] = process.argv.slice(2);
const cipher = openKeyCipher({ file: keyFile, random: systemRandom, log: silentLog });
const tables = await openEmbeddedTables({ file, cipher, log: silentLog, clock: systemClock });
let next = 0;

async function write(): Promise<void> {
  for (;;) {
    const deviceId = `${prefix}-${next++}`;
    await tables.identities.write([{ kind: 'create', identity: exampleIdentity({ deviceId }), countMax: 10_000_000 }]);
    process.stdout.write(`${deviceId}\n`);
  }
}

const ends = await Promise.allSettled(Array.from({ length: WRITERS }, write));
const codes = new Set(ends.map((end) => end.status === 'rejected' && asHubError(end.reason).code));
const { devices } = await tables.identities.counts();
process.stdout.write(`refused: ${[...codes].join(', ')}; ${devices > 0 ? 'still read' : 'not read'}\n`);
await tables.close();
