import type { UsageCounts } from '../usage.ts';
import { SharedStaging } from './shared-staging.ts';
import { Staging, type StagingParts } from './staging.ts';
import type { Unfinished } from './unfinished.ts';

/** @param parts.isShared other processes use the folder at the same time */
export async function openUnfinished({
  usage,
  isShared,
  ...parts
}: Omit<StagingParts, 'dropped'> & {
  readonly usage: Pick<UsageCounts, 'add'>;
  readonly isShared: boolean;
}): Promise<Unfinished> {
  const dropped = (objectPath: string, bytes: number): void => usage.add(objectPath, -bytes, 0);
  if (isShared) return new SharedStaging({ ...parts, dropped });
  const staging = await Staging.open({ ...parts, dropped });
  for (const { objectPath, bytes } of staging.all()) usage.add(objectPath, bytes, 0);
  return staging;
}
