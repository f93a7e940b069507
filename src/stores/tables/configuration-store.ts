import type { ConfigurationStore } from '../../core/configurations/ports.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import type { DesiredNote } from '../../core/twins/ports.ts';
import type { TableCaller } from './caller.ts';

/** Who wants to hear that something may be due. */
export class Listeners {
  readonly #listeners = new Set<() => void>();

  tell(): void {
    for (const listener of this.#listeners) listener();
  }

  add(listener: () => void): () => void {
    // A wrapper of its own, so that the same function may watch twice and end each watch by itself.
    const own = (): void => listener();
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }
}

/**
 * @param tell Of twins that have changed, as their own store tells
 * @param restated Whose configurations stand otherwise
 */
export function createTableConfigurationStore(
  tables: TableCaller,
  due: Listeners,
  tell: (notes: readonly DesiredNote[], withEvents: boolean) => void,
  restated: (keys: readonly IdentityKey[]) => void,
): ConfigurationStore {
  const told = <Outcome>(outcome: Outcome): Outcome => {
    due.tell();
    return outcome;
  };
  return {
    get: (id) => tables.call('configurations.get', id),
    list: () => tables.call('configurations.list'),
    create: (configuration, countMax) => tables.callThen('configurations.create', [configuration, countMax], told),
    replace: (change, ifMatch) => tables.callThen('configurations.replace', [change, ifMatch], told),
    delete: (id, ifMatch) => tables.callThen('configurations.delete', [id, ifMatch], told),
    step: (terms) =>
      tables.callThen('configurations.step', [terms], ({ step, notes, restated: keys }) => {
        if (step.changed > 0) tell(notes, terms.withEvents);
        restated(keys);
        return step;
      }),
    settle: (missing) => tables.call('configurations.settle', missing),
    rest: () => tables.call('configurations.rest'),
    waiting: (countMax) => tables.call('configurations.waiting', countMax),
    watch: (listener) => due.add(listener),
  };
}
