import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { Clock } from '../../../base/clock.ts';
import type { Log } from '../../../base/log.ts';
import type { CommandQueue } from '../../../core/commands/ports.ts';
import type { ConsumerGroupStore } from '../../../core/events/ports.ts';
import type {
  AuthorityChange,
  AuthorityStore,
  IdentityChange,
  IdentityStore,
  PolicyStore,
} from '../../../core/identity/ports.ts';
import type { SubscriptionStore } from '../../../core/presence/ports.ts';
import type { AuthorityOutcome } from '../../tables/authorities.ts';
import { createTableCommandQueue } from '../../tables/command-queue.ts';
import type { KeyRing } from '../../tables/key-cipher.ts';
import { TableThread } from './thread.ts';

export interface EmbeddedTablesParts {
  /** The database's file; its folder is made if it is missing. */
  readonly file: string;
  /** From `openKeyCipher`. */
  readonly cipher: KeyRing;
  readonly log: Log;
  readonly clock: Clock;
}

export interface EmbeddedTables {
  readonly identities: IdentityStore;
  readonly authorities: AuthorityStore;
  readonly policies: PolicyStore;
  readonly consumerGroups: ConsumerGroupStore;
  readonly subscriptions: SubscriptionStore;
  readonly commandQueue: CommandQueue;
  health(): { readonly ok: true } | { readonly ok: false; readonly reason: string };
  /** Finishes what waits and closes the file. */
  close(): Promise<void>;
}

/**
 * Everything but events, in SQLite on a thread of its own (design section 4).
 * @throws Error that says what to do: not a database, a newer format, another key.
 */
export async function openEmbeddedTables(parts: EmbeddedTablesParts): Promise<EmbeddedTables> {
  mkdirSync(path.dirname(parts.file), { recursive: true, mode: 0o700 });
  const thread = await TableThread.open({ file: parts.file, ring: parts.cipher }, parts.log);
  return {
    identities: embeddedIdentities(thread),
    authorities: embeddedAuthorities(thread),
    policies: {
      load: () => thread.call('policies.load'),
      save: (policies) => thread.call('policies.save', policies),
    },
    consumerGroups: {
      list: (eventHub) => thread.call('consumerGroups.list', eventHub),
      create: (eventHub, group, countMax) => thread.call('consumerGroups.create', eventHub, group, countMax),
      delete: (eventHub, name) => thread.call('consumerGroups.delete', eventHub, name),
    },
    subscriptions: {
      load: (key, generationId) => thread.call('subscriptions.load', key, generationId),
      save: (key, generationId, subscriptions) =>
        thread.call('subscriptions.save', key, generationId, subscriptions, parts.clock.now()),
      remove: (key) => thread.call('subscriptions.remove', key),
    },
    commandQueue: createTableCommandQueue((name, ...args) => thread.call(name, ...args)),
    health: () => thread.health(),
    close: () => thread.close(),
  };
}

function embeddedIdentities(thread: TableThread): IdentityStore {
  const listeners = new Set<(change: IdentityChange) => void>();
  return {
    get: (key) => thread.call('identities.get', key),
    listDevices: (page) => thread.call('identities.listDevices', page),
    listModules: (deviceId) => thread.call('identities.listModules', deviceId),
    counts: () => thread.call('identities.counts'),
    write: (writes) =>
      thread.callThen('identities.write', [writes], ({ outcomes, changes }) => {
        for (const change of changes) for (const listener of listeners) listener(change);
        return outcomes;
      }),
    watch(listener) {
      // A wrapper of its own, so that the same function may watch twice and end each watch by itself.
      const own = (change: IdentityChange): void => listener(change);
      listeners.add(own);
      return () => listeners.delete(own);
    },
  };
}

function embeddedAuthorities(thread: TableThread): AuthorityStore {
  const listeners = new Set<(change: AuthorityChange) => void>();
  const told = <Kind>({ outcome, change }: AuthorityOutcome<Kind>): Kind => {
    if (change !== undefined) for (const listener of listeners) listener(change);
    return outcome;
  };
  return {
    list: () => thread.call('authorities.list'),
    create: (authority, countMax) => thread.callThen('authorities.create', [authority, countMax], told),
    replace: (authority, ifMatch) => thread.callThen('authorities.replace', [authority, ifMatch], told),
    delete: (name, ifMatch) => thread.callThen('authorities.delete', [name, ifMatch], told),
    intermediates: () => thread.call('authorities.intermediates'),
    keepIntermediate: (intermediate, countMax) => thread.call('authorities.keepIntermediate', intermediate, countMax),
    watch(listener) {
      const own = (change: AuthorityChange): void => listener(change);
      listeners.add(own);
      return () => listeners.delete(own);
    },
  };
}
