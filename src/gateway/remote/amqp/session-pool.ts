import type { Session } from 'rhea';
import { limits } from '../../../base/limits.ts';
import type { HubConnection } from './connection.ts';
import { type AmqpEnding, endingOf } from './failure.ts';

interface Slot {
  readonly session: Session;
  readonly users: Set<(ending: AmqpEnding) => void>;
}

/** A place for the links of one device. */
export interface SessionPlace {
  readonly session: Session;
  leave(): void;
}

/**
 * AMQP sessions for the links of devices, some devices to each: the hub bounds the sessions of a connection, and may end one because of
 * one device, which the others on it come back from.
 */
export class SessionPool {
  readonly #connection: HubConnection;
  readonly #slots: Slot[] = [];

  constructor(connection: HubConnection) {
    this.#connection = connection;
  }

  /** @param ended hears that the hub has ended the session, or a link of it that the library tells of late */
  enter(ended: (ending: AmqpEnding) => void): SessionPlace {
    const slot = this.#slots.find(({ users }) => users.size < limits.gatewayDevicesPerSession) ?? this.#open();
    slot.users.add(ended);
    return { session: slot.session, leave: () => void slot.users.delete(ended) };
  }

  #open(): Slot {
    const slot: Slot = { session: this.#connection.session(), users: new Set() };
    const { session } = slot;
    session.on('session_error', () => {});
    session.on('session_close', () => {
      this.#slots.splice(this.#slots.indexOf(slot), 1);
      const ending = endingOf(session.error);
      for (const ended of [...slot.users]) ended(ending);
    });
    this.#slots.push(slot);
    return slot;
  }
}
