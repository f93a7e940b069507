import type { Log } from '../../base/log.ts';
import type { Shares } from '../../base/shares.ts';
import type { Hub } from '../../core/hub.ts';
import type { AmqpError } from '../../wire/amqp/performatives.ts';
import type { DeliverySocket, DeliveryTurns } from './back-ends/delivery-turns.ts';
import type { Pulse } from './engine/pulse.ts';

/** What those who serve a link need of its connection. */
export interface LinkHost {
  readonly hub: Hub;
  readonly log: Log;
  readonly pulse: Pulse;
  readonly turns: DeliveryTurns;
  /** Questions of the tables for what back ends are handed under locks, by policy. */
  readonly takes: Shares;
  /** Bytes of commands that back ends have sent and that are not stored yet, by policy. */
  readonly commandBytes: Shares;
  readonly socket: DeliverySocket;
  /** Bytes that were written and that the socket has not taken yet. */
  unsentBytes(): number;
  /** Does not read from the peer until the returned function is called. */
  hold(): () => void;
  /** A refusal in AMQP's words, with an id by which the log's line can be found. */
  error(refusal: unknown): AmqpError;
}
