import type { AmqpError } from 'rhea';
import { Failure } from '../failure.ts';

/**
 * An AMQP error of the peer. `permanent` = trying the same again cannot help; all others, and a lost connection, are
 * worth another try (service reference 5.8).
 */
export class AmqpFailure extends Failure {
  readonly permanent: boolean;

  constructor(condition: string, description: string | undefined) {
    const known = conditions[condition];
    super(`${known?.message ?? 'The hub ended the reading'}: ${description ?? condition}`, {
      code: condition,
      hint: known?.hint,
    });
    this.permanent = known !== undefined;
  }
}

/** Conditions that a new try does not heal, with what to say. */
const conditions: Readonly<Record<string, { readonly message: string; readonly hint?: string }>> = {
  'amqp:unauthorized-access': {
    message: 'The hub refused this login',
    hint: 'Is the key this hub’s, is this machine’s clock right, and does the policy have ServiceConnect?',
  },
  'amqp:not-found': {
    message: 'The hub does not know this address',
    hint: 'mooring consumer-group list shows the consumer groups there are.',
  },
  'amqp:link:stolen': {
    message: 'Another reader has taken the partitions of this consumer group',
    hint: 'Read with a group of your own: mooring consumer-group create NAME, then --consumer-group NAME.',
  },
  'amqp:resource-limit-exceeded': {
    message: 'This consumer group has as many readers as are allowed',
    hint: 'Read with a group of your own: mooring consumer-group create NAME, then --consumer-group NAME.',
  },
  'com.microsoft:receiver-limit': {
    message: 'This consumer group has as many readers as are allowed',
    hint: 'Read with a group of your own: mooring consumer-group create NAME, then --consumer-group NAME.',
  },
  'amqp:not-allowed': { message: 'The hub does not allow this' },
  'amqp:invalid-field': { message: 'The hub does not take this request' },
  'com.microsoft:argument-error': {
    message: 'The hub does not have this position',
    hint: 'Has its data folder been deleted since? Start reading again.',
  },
  'com.microsoft:argument-out-of-range': { message: 'The hub does not take this request' },
};

/** What ended a link, session or connection. */
export function amqpFailure(error: AmqpError | Error | undefined, what: string): Failure {
  if (error === undefined) return new Failure(`The hub closed the ${what}.`);
  const { condition, description } = error as AmqpError;
  if (typeof condition === 'string') return new AmqpFailure(condition, description);
  return new Failure(`The ${what} failed: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}
