/** What a store refuses, as the hub's own refusals. */
import { HubError } from '../errors.ts';
import { ObjectError, type ObjectFacts, type ObjectStore } from './object-store.ts';

/** @throws HubError ArgumentInvalid where the store takes no path as long as this */
export function demandPath({ pathBytesMax }: Pick<ObjectStore, 'pathBytesMax'>, path: string): void {
  if (pathBytesMax === undefined || Buffer.byteLength(path) <= pathBytesMax) return;
  throw new HubError(
    'ArgumentInvalid',
    `The file name is longer than this hub's store takes: ${pathBytesMax} bytes with the identity's own.`,
  );
}

/** @throws HubError for what a store refuses */
export async function translated<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof ObjectError)) throw error;
    const cause = { cause: error };
    switch (error.kind) {
      case 'condition':
      case 'exists':
        throw new HubError('PreconditionFailed', undefined, cause);
      case 'tooLarge':
        throw tooLarge(cause);
      case 'incomplete':
      case 'md5':
      case 'crc64':
        throw new HubError('IotHubFormatError', 'The content is not as long, or not the one, that was stated.', cause);
      case 'full':
        throw new HubError('IotHubQuotaExceeded', 'There is no more room for files.', cause);
      default:
        throw new HubError('ServiceUnavailable', undefined, cause);
    }
  }
}

export const tooLarge = (options?: { readonly cause: unknown }): HubError =>
  new HubError('MessageTooLarge', 'The file is larger than allowed.', options);

/** Removes what was stored, unless something else is there by now. @throws ObjectError */
export async function removeStored(
  store: Pick<ObjectStore, 'delete'>,
  path: string,
  { etag }: Pick<ObjectFacts, 'etag'>,
): Promise<void> {
  try {
    await store.delete(path, { ifMatch: etag });
  } catch (error) {
    if (!(error instanceof ObjectError && error.kind === 'condition')) throw error;
  }
}
