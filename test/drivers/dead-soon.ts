/** Loaded into a hub (`node --import`): an endpoint that takes nothing is dead after two seconds, not after an hour. */
import { limits } from '../../src/base/limits.ts';

Object.assign(limits, { endpointDeadMs: 2000, deliveryRetryMsMax: 500 });
