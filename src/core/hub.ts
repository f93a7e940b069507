import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Random } from '../base/random.ts';
import type { Events } from './events/events.ts';
import type { Authentication } from './identity/authentication.ts';
import type { HostNames } from './identity/host-names.ts';
import type { Registry } from './identity/registry.ts';
import type { Presence, SubscriptionStore } from './presence/ports.ts';

/** The waist: the one value that doors see. Every operation in it checks its principal's permission itself. */
export interface Hub {
  readonly name: string;
  readonly hostNames: HostNames;
  readonly authentication: Authentication;
  readonly registry: Registry;
  readonly events: Events;
  readonly presence: Presence;
  readonly subscriptions: SubscriptionStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}
