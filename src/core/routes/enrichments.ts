import type { RouteSet } from './types.ts';

/** What enrichments add to events on their way to an endpoint. */
export type EndpointEnrichments = readonly (readonly [key: string, value: string])[];

/**
 * The properties that the set adds for an endpoint. A path into the twin stays as it is written, as the emulated service
 * leaves one that leads nowhere.
 */
export function enrichmentsFor({ enrichments }: RouteSet, endpoint: string, hubName: string): EndpointEnrichments {
  const name = endpoint.toLowerCase();
  return enrichments
    .filter(({ endpoints }) => endpoints.some((each) => each.toLowerCase() === name))
    .map(({ key, value }) => [key, value === '$iothubname' ? hubName : value]);
}
