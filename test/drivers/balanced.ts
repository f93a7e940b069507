/** A hub of several nodes behind a balancer, as clients see it. */
import type { Endpoints } from '../../src/api/endpoints.ts';
import { connectionStrings } from '../../src/server/endpoints.ts';

/** A node's endpoints with the balancer's ports, in its connection strings, too. */
export function balancedEndpoints(endpoints: Endpoints, balanced: Partial<Endpoints['ports']>): Endpoints {
  const ports = { ...endpoints.ports, ...balanced };
  const policies = Object.values(endpoints.connectionStrings).flatMap((text) => {
    const [, name, key] = /SharedAccessKeyName=([^;]+);SharedAccessKey=([^;]+)/.exec(text) ?? [];
    return name === undefined ? [] : [{ name, primaryKey: key, secondaryKey: key, permissions: [] }];
  });
  const strings = connectionStrings(endpoints.hubName, endpoints.hostName, ports, policies as never);
  return { ...endpoints, ports, connectionStrings: strings };
}
