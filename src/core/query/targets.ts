/** Which devices, or modules, a condition is true of, piece by piece: for what is done to all of them. */
import type { IdentityKey } from '../identity/types.ts';
import { presenceFields } from './fields.ts';
import { asksFor, pathsOf } from './plan.ts';
import type { Cursor, FleetStore } from './ports.ts';
import { parseTarget } from './statement.ts';

export interface TargetsParts {
  readonly fleet: FleetStore;
  /** As `QueriesParts.settlePresence`. */
  readonly settlePresence?: () => Promise<void>;
}

export interface Targets {
  readonly keys: readonly IdentityKey[];
  /** For the next piece; undefined = this was the last one. */
  readonly next: string | undefined;
}

/**
 * @param place `next` of the piece before; undefined = from the beginning
 * @throws HubError ArgumentInvalid, and as `FleetStore.page`
 */
export async function targetsOf(
  { fleet, settlePresence }: TargetsParts,
  {
    condition,
    place,
    countMax,
  }: { readonly condition: string; readonly place: string | undefined; readonly countMax: number },
  signal: AbortSignal,
): Promise<Targets> {
  const query = parseTarget(condition);
  if (place === undefined && asksFor(pathsOf(query), presenceFields)) await settlePresence?.();
  const after = place === undefined ? undefined : (JSON.parse(place) as Cursor);
  const page = await fleet.page({ query, countMax, ...(after && { after }) }, signal);
  const keys = JSON.parse(page.text) as readonly IdentityKey[];
  return { keys, next: page.next && JSON.stringify(page.next) };
}
