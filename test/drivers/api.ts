import { type ApiClient, createApiClient } from '../../src/api/client.ts';
import type { TestHub } from './hub.ts';

/** A client of the hub's management API, logged in by the connection string of one of its policies; close it. */
export function apiOf(
  { endpoints, ca }: Pick<TestHub, 'endpoints' | 'ca'>,
  policy: 'iothubowner' | 'service' = 'iothubowner',
): ApiClient {
  const connectionString = endpoints.connectionStrings[policy];
  return createApiClient({ connectionString, port: endpoints.ports.https ?? 0, ca });
}
