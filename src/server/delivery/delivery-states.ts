import type { EndpointState } from '../../core/routes/states.ts';
import type { EndpointFacts } from './endpoint-run.ts';

/** What operators see of an endpoint. */
export function stateOf(facts: EndpointFacts): EndpointState {
  const { name, kind, condition, behind, behindMs, delivered, refused, missed } = facts;
  const { health, since, reason = '' } = condition;
  return {
    ...{ name, kind, health, since, reason, lagEvents: behind, lagSeconds: Math.round(behindMs / 1000) },
    ...{ delivered, refused, missed },
  };
}
