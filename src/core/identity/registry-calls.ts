import { errorCodeOf, HubError } from '../errors.ts';
import type { Sheet } from './guard.ts';
import type { Registry } from './registry-room.ts';

/** How the calls of the registry are asked for; of a bulk request each item's refusal is told. */
export const registryCalls: Sheet<Registry> = {
  get: { operation: 'registry.read', target: (key) => key },
  list: { operation: 'registry.read' },
  listModules: { operation: 'registry.read', target: (deviceId) => ({ deviceId }) },
  put: { operation: 'registry.write', target: (draft) => draft },
  delete: { operation: 'registry.write', target: (key) => key },
  bulk: (room, guard) => async (principal, items) => {
    const operation = 'registry.write';
    const targets = items.map(({ draft }) => draft);
    const result = await guard.run(principal, operation, targets, () => room.bulk(principal, items));
    for (const { deviceId, moduleId, errorCode, isTold } of result.errors) {
      if (isTold === true) continue;
      const target = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
      const code = errorCodeOf(errorCode);
      if (code !== undefined) guard.refused({ operation, principal, target }, new HubError(code));
    }
    return result;
  },
  regenerateKeys: (room, guard) => async (principal, which, keys) => {
    const operation = 'registry.write';
    const outcomes = await guard.run(principal, operation, keys, () => room.regenerateKeys(principal, which, keys));
    for (const [at, outcome] of outcomes.entries()) {
      if (outcome instanceof HubError) guard.refused({ operation, principal, target: keys[at] }, outcome);
    }
    return outcomes;
  },
  listInScope: { operation: 'scopes.read', target: (edgeHub) => edgeHub },
  getInScope: { operation: 'scopes.read', target: (edgeHub) => edgeHub },
  deriveSharedKey: { operation: 'sharedKeys.derive', target: (key) => key },
  statistics: { operation: 'statistics.read' },
  unseenSince: { operation: 'registry.read' },
};
