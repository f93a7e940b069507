/** The contracts of the table stores, over every implementation. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import { openKeyCipher } from '../embedded/tables/key-file.ts';
import { type EmbeddedTables, openEmbeddedTables } from '../embedded/tables/tables.ts';
import { createMemoryAuthorityStore } from '../memory/authorities.ts';
import { createMemoryConsumerGroupStore } from '../memory/consumer-groups.ts';
import { createMemoryFileGrants } from '../memory/file-grants.ts';
import { createMemoryFileRecords } from '../memory/file-records.ts';
import { createMemoryIdentityStore } from '../memory/identities.ts';
import { createMemoryPolicyStore } from '../memory/policies.ts';
import { createMemorySubscriptionStore } from '../memory/subscriptions.ts';
import { authorityStoreContract } from './authorities.ts';
import { consumerGroupStoreContract } from './consumer-groups.ts';
import { fileGrantsContract } from './file-grants.ts';
import { fileRecordsContract } from './file-records.ts';
import { identityStoreContract } from './identities.ts';
import { policyStoreContract } from './policies.ts';
import { subscriptionStoreContract } from './subscriptions.ts';

const inFolder = async (): Promise<{ tables: EmbeddedTables; close: () => Promise<void> }> => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-tables-'));
  const parts = { random: systemRandom, log: silentLog, clock: systemClock };
  const cipher = openKeyCipher({ ...parts, file: path.join(folder, 'keys', 'tables.key') });
  const tables = await openEmbeddedTables({ ...parts, cipher, file: path.join(folder, 'tables', 'hub.db') });
  return {
    tables,
    async close() {
      await tables.close();
      rmSync(folder, { recursive: true });
    },
  };
};

type StoreName = 'identities' | 'authorities' | 'policies' | 'consumerGroups' | 'subscriptions';

const inMemory =
  <Store>(create: () => Store) =>
  async () => ({ store: create(), close: async () => {} });

const embedded =
  <Name extends StoreName>(name: Name) =>
  async (): Promise<{ store: EmbeddedTables[Name]; close: () => Promise<void> }> => {
    const { tables, close } = await inFolder();
    return { store: tables[name], close };
  };

identityStoreContract('memory', inMemory(createMemoryIdentityStore));
identityStoreContract('embedded', embedded('identities'));
authorityStoreContract('memory', inMemory(createMemoryAuthorityStore));
authorityStoreContract('embedded', embedded('authorities'));
policyStoreContract('memory', inMemory(createMemoryPolicyStore));
policyStoreContract('embedded', embedded('policies'));
consumerGroupStoreContract('memory', inMemory(createMemoryConsumerGroupStore));
consumerGroupStoreContract('embedded', embedded('consumerGroups'));
subscriptionStoreContract('memory', inMemory(createMemorySubscriptionStore));
subscriptionStoreContract('embedded', embedded('subscriptions'));

fileRecordsContract('memory', async () => {
  const identities = createMemoryIdentityStore();
  return { records: createMemoryFileRecords(identities), identities, close: async () => {} };
});
fileRecordsContract('embedded', async () => {
  const { tables, close } = await inFolder();
  return { records: tables.fileRecords, identities: tables.identities, close };
});

fileGrantsContract('memory', async () => {
  const identities = createMemoryIdentityStore();
  return { grants: createMemoryFileGrants(identities), identities, close: async () => {} };
});
fileGrantsContract('embedded', async () => {
  const { tables, close } = await inFolder();
  return { grants: tables.fileGrants, identities: tables.identities, close };
});
