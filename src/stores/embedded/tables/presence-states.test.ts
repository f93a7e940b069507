import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { systemClock } from '../../../base/clock.ts';
import { silentLog } from '../../../base/log.ts';
import { systemRandom } from '../../../base/random.ts';
import { exampleIdentity } from '../../contract/identities.ts';
import { presenceStateStoreContract } from '../../contract/presence-states.ts';
import { openKeyCipher } from './key-file.ts';
import { openEmbeddedTables } from './tables.ts';

presenceStateStoreContract('embedded', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-presence-'));
  const cipher = openKeyCipher({ file: path.join(folder, 'key'), random: systemRandom, log: silentLog });
  const file = path.join(folder, 'hub.db');
  const { identities, presenceStates, close } = await openEmbeddedTables({
    ...{ file, cipher, log: silentLog, clock: systemClock },
  });
  return {
    store: presenceStates,
    register: async (deviceId, moduleId, generationId) => {
      const identity = exampleIdentity({ deviceId, ...(moduleId !== undefined && { moduleId }) }, { generationId });
      await identities.write([{ kind: 'create', identity, countMax: 1000 }]);
    },
    unregister: async (deviceId) =>
      void (await identities.write([{ kind: 'delete', key: { deviceId }, ifMatch: '*' }])),
    close: async () => {
      await close();
      rmSync(folder, { recursive: true });
    },
  };
});
