import type { ConsumerGroupStore } from '../../core/events/ports.ts';
import type { AuthorityStore, IdentityStore } from '../../core/identity/ports.ts';
import type { Methods } from '../../core/methods/room.ts';
import type { SubscriptionStore } from '../../core/presence/ports.ts';
import type { Twins } from '../../core/twins/room.ts';
import type { EveryCall } from './calls.ts';

/**
 * Every operation of a store that threads share, but for its change feed. A `write` is answered when every thread has
 * heard of what it changed.
 */
export type StoreCalls<Store> = { readonly [Name in keyof Omit<Store, 'watchOwnWrites'>]-?: 'read' | 'write' };

export const identityCalls: StoreCalls<IdentityStore> = {
  get: 'read',
  listDevices: 'read',
  listModules: 'read',
  listChildren: 'read',
  counts: 'read',
  write: 'write',
};

export const authorityCalls: StoreCalls<AuthorityStore> = {
  list: 'read',
  create: 'write',
  replace: 'write',
  delete: 'write',
  intermediates: 'read',
  keepIntermediate: 'write',
};

export const consumerGroupCalls: EveryCall<ConsumerGroupStore> = { list: true, create: true, delete: true };
export const subscriptionCalls: EveryCall<SubscriptionStore> = { load: true, save: true, remove: true };
export const twinCalls: EveryCall<Twins> = {
  get: true,
  change: true,
  readOwn: true,
  report: true,
  nameModel: true,
  ownVersion: true,
  ownChanges: true,
};
export const methodCalls: EveryCall<Methods> = { invoke: true };
