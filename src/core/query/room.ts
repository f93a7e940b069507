import type { Principal } from '../identity/types.ts';

/** Queries of the fleet as doors see them. */
export interface Queries {
  /**
   * One page of a query's rows.
   * @param signal Aborted when the caller has gone
   * @throws HubError ArgumentInvalid (with the place), ThrottlingException, OperationNotOffered, ServiceUnavailable
   */
  page(principal: Principal, query: string, options: PageOptions, signal: AbortSignal): Promise<QueryPage>;
}

export interface PageOptions {
  /** A wish: from 1 to `limits.queryPageMax`; absent = `limits.queryPageDefault`. */
  readonly countMax?: number;
  /** Of the page before; absent = the first one. */
  readonly continuation?: string;
}

export interface QueryPage {
  /** `Twin`: whole twins, as they are read one by one; `DeviceJob`: whole records of jobs. */
  readonly itemType: 'Twin' | 'DeviceJob' | 'Raw';
  /** A JSON array. */
  readonly text: string;
  readonly count: number;
  /** Absent = there is nothing behind it. */
  readonly continuation?: string;
}
