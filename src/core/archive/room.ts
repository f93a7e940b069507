import type { Principal } from '../identity/types.ts';
import type { ArchiveEndpoint } from '../routes/endpoints/archive.ts';
import type { ArchiveReport, ArchiveStatus, ListedFile } from './types.ts';

/** Archives as operators see them. */
export interface Archives {
  /** All of the hub, with what this node knows of how it goes. */
  list(principal: Principal): Promise<readonly ArchiveFacts[]>;
  /** The files of one partition, in order. @throws HubError ArchiveNotFound, ArgumentInvalid */
  files(principal: Principal, name: string, page: FilePage): Promise<FileList>;
  /**
   * Looks whether the listed files are in the store. @throws HubError as `files`; ServiceUnavailable (the store does not answer)
   */
  verify(principal: Principal, name: string, page: FilePage, how: VerifyOptions): Promise<ArchiveReport>;
}

export interface ArchiveFacts {
  readonly endpoint: Pick<
    ArchiveEndpoint,
    'name' | 'format' | 'naming' | 'prefix' | 'store' | 'fileBytes' | 'fileSeconds'
  >;
  /** Undefined = it could not be opened here; the log says why. */
  readonly status: ArchiveStatus | undefined;
}

export interface FilePage {
  readonly partition: number;
  /** Only files that begin behind this sequence number; absent = from the first one on. */
  readonly after?: number;
  readonly limit: number;
}

export interface FileList {
  readonly files: readonly ListedFile[];
  /** For `after` of the next page; undefined = this was the last one. */
  readonly next: number | undefined;
  readonly partitionCount: number;
}

export interface VerifyOptions {
  /** Also reads what is in them, where the form allows that (Parquet). */
  readonly content: boolean;
  /** Files that are missing or of another size are written again, if the event hub still has their events. */
  readonly repair: boolean;
}
