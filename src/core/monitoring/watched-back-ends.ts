/** What back ends ask of the other rooms, with its refusals recorded: wrapped around them in `hub.ts`. */
import { errorCodeOf, HubError } from '../errors.ts';
import type { Authorities } from '../identity/authorities.ts';
import type { Registry } from '../identity/registry.ts';
import type { Principal } from '../identity/types.ts';
import { type Attempt, reportRefusal, watchedAsync } from './refused-operations.ts';
import type { Recorder } from './types.ts';

/** The same room, whose refusals are recorded; of a bulk request each item's. */
export function watchedRegistry(registry: Registry, recorder: Recorder): Registry {
  const reading = <Answer>(principal: Principal, answer: Promise<Answer>, more: Partial<Attempt> = {}) =>
    watchedAsync(recorder, { operation: 'registry.read', principal, isQuestion: true, ...more }, answer);
  const writing = <Answer>(principal: Principal, answer: Promise<Answer>, more: Partial<Attempt> = {}) =>
    watchedAsync(recorder, { operation: 'registry.write', principal, ...more }, answer);
  return {
    get: (principal, key) => reading(principal, registry.get(principal, key), { target: key }),
    list: (principal, top) => reading(principal, registry.list(principal, top)),
    listModules: (principal, deviceId) =>
      reading(principal, registry.listModules(principal, deviceId), { target: { deviceId } }),
    put: (principal, draft, ifMatch) => writing(principal, registry.put(principal, draft, ifMatch), { target: draft }),
    delete: (principal, key, ifMatch) => writing(principal, registry.delete(principal, key, ifMatch), { target: key }),
    async bulk(principal, items) {
      const result = await writing(principal, registry.bulk(principal, items));
      for (const { deviceId, moduleId, errorCode } of result.errors) {
        const target = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
        const code = errorCodeOf(errorCode);
        if (code === undefined) continue;
        reportRefusal(recorder, { operation: 'registry.write', principal, target }, new HubError(code));
      }
      return result;
    },
    statistics: (principal) => reading(principal, registry.statistics(principal), { operation: 'statistics.read' }),
    unseenSince: (principal, time, top) => reading(principal, registry.unseenSince(principal, time, top)),
  };
}

/** The same room, whose refusals are recorded. */
export function watchedAuthorities(authorities: Authorities, recorder: Recorder): Authorities {
  const reading = <Answer>(principal: Principal, answer: Promise<Answer>) =>
    watchedAsync(recorder, { operation: 'authorities.read', principal, isQuestion: true }, answer);
  const writing = <Answer>(principal: Principal, answer: Promise<Answer>) =>
    watchedAsync(recorder, { operation: 'authorities.write', principal }, answer);
  return {
    list: (principal) => reading(principal, authorities.list(principal)),
    get: (principal, name) => reading(principal, authorities.get(principal, name)),
    add: (principal, name, certificate) => writing(principal, authorities.add(principal, name, certificate)),
    prove: (principal, name, proof) => writing(principal, authorities.prove(principal, name, proof)),
    delete: (principal, name, ifMatch) => writing(principal, authorities.delete(principal, name, ifMatch)),
  };
}
