import type { PolicyPrincipal } from '../../src/core/identity/types.ts';

/** The policy `iothubowner`, for tests and the simulation, where they call a hub of their own process without a door: it may do everything. */
export const owner: PolicyPrincipal = {
  kind: 'policy',
  policyName: 'iothubowner',
  permissions: new Set(['RegistryRead', 'RegistryWrite', 'ServiceConnect', 'DeviceConnect']),
  expiresAt: Number.POSITIVE_INFINITY,
  scope: [],
};
