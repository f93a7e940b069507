import { HubError } from '../../../src/core/errors.ts';
import { EventLogUnavailable } from '../../../src/stores/event-log/errors.ts';
import { BrokerGone } from '../../../src/stores/kafka/broker-connection.ts';
import { NoLeader } from '../../../src/stores/kafka/cluster.ts';

/** Said by the simulation's database where an answer is lost. */
export const LOST = 'Connection terminated unexpectedly';

/** Brokers or the database were not there, or their answer was lost: what was asked for has happened or not. */
export function isOfCluster(error: unknown): boolean {
  if (error instanceof EventLogUnavailable || error instanceof NoLeader || error instanceof BrokerGone) return true;
  return error instanceof HubError && (error.reason === LOST || isOfCluster(error.cause));
}
