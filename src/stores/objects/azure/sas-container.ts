/** A container of a storage account that a back end has named, by an address with a signature in it: the hub has no key of the account. */
import type { Clock } from '../../../base/clock.ts';
import type { JobContainer } from '../../../core/registry-jobs/ports.ts';
import { bodyOf, type Outcome, StoreClient, type StoreClientParts } from '../remote/store-client.ts';
import { BlobService } from './blob-service.ts';

export interface SasContainerParts {
  /** `https://{account}/{container}?{signature}`; what comes before the last segment of the path belongs to the account. */
  readonly uri: URL;
  readonly ca: string | undefined;
  readonly lookup: NonNullable<StoreClientParts['lookup']>;
  readonly clock: Clock;
  observe(outcome: Outcome, seconds: number): void;
}

export function openSasContainer({ uri, ca, lookup, clock, observe }: SasContainerParts): JobContainer {
  const client = new StoreClient({ ca, lookup, clock, observe });
  const segments = uri.pathname.split('/').filter((segment) => segment !== '');
  const container = segments.pop() ?? '';
  const service = new BlobService({
    endpoint: [uri.origin, ...segments].join('/'),
    ...{ container, client, now: () => clock.now(), query: uri.searchParams },
    sign: () => ({}),
  });
  return {
    head: (name) => service.head(name),
    async read(name, start) {
      const facts = await service.head(name);
      if (facts === undefined) return undefined;
      const found = await service.read(name, start === 0 ? undefined : { start, end: facts.bytes - 1 });
      return found && { bytes: found.facts.bytes, etag: found.facts.etag, body: found.body };
    },
    stage: (name, blockId, bytes) => service.putBlock(name, blockId, bodyOf(bytes)),
    async commit(name, blockIds, bytes) {
      await service.putBlockList(name, blockIds, bytes, { contentType: 'text/plain; charset=utf-8', condition: {} });
    },
    close: async () => client.close(),
  };
}
