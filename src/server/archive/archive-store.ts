/** Opens the store of an archive. */
import path from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { ArchiveStore } from '../../core/archive/ports.ts';
import type { ArchiveEndpoint } from '../../core/routes/endpoints/archive.ts';
import { objectionToConnectionString, readConnectionString } from '../../stores/objects/azure/account.ts';
import type { Outcome } from '../../stores/objects/remote/store-client.ts';

export interface ArchiveStoreParts {
  readonly endpoint: ArchiveEndpoint;
  /** Of archives whose store is a folder (setting `archiveFolder`): the endpoint's prefix is a folder in it. */
  readonly folder: string;
  /** The name of this node. */
  readonly node: string;
  /** Where files lie on their way to another store. */
  readonly staging: string;
  /** Certificate (PEM) that a store's is trusted by, beside the usual ones. */
  readonly ca: string | undefined;
  readonly clock: Clock;
  observe(outcome: Outcome, seconds: number): void;
}

/** Nothing is sent to the store yet. @throws Error whose message says what to do */
export async function openArchiveStore(parts: ArchiveStoreParts): Promise<ArchiveStore> {
  const { endpoint, ca, clock, observe } = parts;
  // Loaded by the hubs that use it: a start has enough to read.
  if (endpoint.store === 'folder') {
    const { openTreeStore } = await import('../../stores/objects/tree/tree-store.ts');
    return openTreeStore(parts.folder, encodeURIComponent(`${endpoint.name}@${parts.node}`));
  }
  // A name may be '..'.
  const folder = path.join(parts.staging, `${endpoint.name}@${parts.node}`);
  if (endpoint.store === 'azure') {
    const objection = objectionToConnectionString(endpoint.connectionString ?? '');
    if (objection !== undefined) throw new Error(`connectionString: ${objection}`);
    const { openAzureStore } = await import('../../stores/objects/azure/azure-store.ts');
    const store = await openAzureStore({
      account: readConnectionString(endpoint.connectionString ?? ''),
      container: endpoint.container ?? '',
      ...{ ca, folder, clock, observe },
    });
    return preparing(store);
  }
  const { openS3Store } = await import('../../stores/objects/s3/s3-store.ts');
  const { accessKeyId = '', secretAccessKey = '', region = '' } = endpoint;
  return openS3Store({
    bucket: {
      endpoint: new URL(endpoint.s3Endpoint ?? ''),
      name: endpoint.bucket ?? '',
      isPathStyle: endpoint.pathStyle ?? false,
      key: { accessKeyId, secretAccessKey, region },
    },
    ...{ ca, folder, clock, observe },
  });
}

/** Makes the container before the first upload, whenever the account can be reached, and again behind one that failed. */
function preparing(store: ArchiveStore & { prepare(): Promise<void> }): ArchiveStore {
  let isPrepared = false;
  return {
    kind: store.kind,
    async put(objectPath, source, options) {
      // Who may write into a container need not be one who may make it: the upload says what is wrong.
      if (!isPrepared) await store.prepare().catch(() => {});
      isPrepared = false;
      const facts = await store.put(objectPath, source, options);
      isPrepared = true;
      return facts;
    },
    head: (objectPath) => store.head(objectPath),
    read: (objectPath, range) => store.read(objectPath, range),
    check: () => store.check(),
    close: () => store.close(),
  };
}
