/**
 * Presence across threads. The main thread knows every connection; a listener thread keeps the two functions of its own
 * ones, by number.
 *
 * Order of a device's messages over a reconnect: a connection counts as gone, and the claim of a newer one on another
 * thread is answered, only when everything that the older one had handed to its thread's event log is durable or has
 * failed. On one thread both use the same writer, which keeps the order by itself.
 */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { HubError } from '../../core/errors.ts';
import { identityName } from '../../core/identity/permissions.ts';
import type { Presence, PresenceTicket } from '../../core/presence/ports.ts';
import type { Call, ConnectionClaim, DisconnectReason, Note } from '../../core/presence/types.ts';
import type { EveryCall, ThreadLink } from './calls.ts';

type SentClaim = Omit<ConnectionClaim, 'drop' | 'wake' | 'notify' | 'invoke'>;

interface PresenceCalls extends Omit<Presence, 'claim'> {
  claim(id: number, claim: SentClaim): Promise<void>;
}

/** What the main thread asks of a thread. */
interface ConnectionCalls {
  /** Ends the connection; resolves when its messages are settled. */
  drop(id: number, reason: DisconnectReason): Promise<void>;
  /** @throws HubError as `Presence.invoke` */
  invoke(id: number, call: Call, signal: AbortSignal): Promise<unknown>;
}

const calls: EveryCall<PresenceCalls> = {
  claim: true,
  state: true,
  connectedDevices: true,
  drop: true,
  dropAuthority: true,
  wake: true,
  notify: true,
  invoke: true,
  dropAll: true,
};

/** A connection that has been told to go, and whose messages may still be on their way. */
interface Leaving {
  readonly thread: ThreadLink;
  readonly done: Promise<void>;
}

export class PresenceHost {
  /** For doors of the main thread. */
  readonly presence: Presence;
  readonly #inner: Presence;
  readonly #log: Log;
  readonly #leaving = new Map<string, Set<Leaving>>();

  constructor(inner: Presence, log: Log) {
    this.#inner = inner;
    this.#log = log;
    this.presence = { ...inner, claim: (claim) => this.#claim(claim, undefined) };
  }

  /** Serves one thread; the returned function ends it, when the thread has: its connections are lost. */
  serve(link: ThreadLink): () => void {
    const tickets = new Map<number, PresenceTicket>();
    const inner = this.#inner;
    const connections = link.remote<ConnectionCalls>('connections', { drop: true, invoke: true });
    link.serve('presence', {
      state: (key) => inner.state(key),
      connectedDevices: () => inner.connectedDevices(),
      drop: (key, reason) => inner.drop(key, reason),
      dropAuthority: (thumbprint, reason) => inner.dropAuthority(thumbprint, reason),
      wake: (key) => inner.wake(key),
      notify: (key, note) => inner.notify(key, note),
      invoke: (key, call, signal) => inner.invoke(key, call, signal),
      dropAll: (reason) => inner.dropAll(reason),
      claim: async (id, sent) => {
        let isDropped = false;
        const claim: ConnectionClaim = {
          ...sent,
          drop: (reason) => {
            isDropped = true;
            tickets.delete(id);
            this.#awaitLeaving(identityName(sent.key), link, connections.drop(id, reason));
          },
          wake: () => link.tell('wake', id),
          notify: (note) => link.tell('notify', [id, note]),
          invoke: (call, signal) => connections.invoke(id, call, signal),
        };
        const ticket = await this.#claim(claim, link);
        if (isDropped) return;
        if (link.isOpen) tickets.set(id, ticket);
        else ticket.release('connection-lost');
      },
    } satisfies PresenceCalls);
    link.on('release', ([id, reason, detail]: [number, DisconnectReason, string | undefined]) => {
      tickets.get(id)?.release(reason, detail);
      tickets.delete(id);
    });
    link.on('touch', (ids: readonly number[]) => {
      for (const id of ids) tickets.get(id)?.touch();
    });
    return () => {
      for (const ticket of tickets.values()) ticket.release('connection-lost');
      tickets.clear();
    };
  }

  async #claim(claim: ConnectionClaim, thread: ThreadLink | undefined): Promise<PresenceTicket> {
    const ticket = await this.#inner.claim(claim);
    const elsewhere = [...(this.#leaving.get(identityName(claim.key)) ?? [])].filter(
      (leaving) => leaving.thread !== thread,
    );
    if (elsewhere.length > 0) await Promise.all(elsewhere.map(({ done }) => done));
    return ticket;
  }

  #awaitLeaving(name: string, thread: ThreadLink, answer: Promise<void>): void {
    const all = this.#leaving.get(name) ?? new Set<Leaving>();
    // A thread that has ended meanwhile has nothing on its way any more: what it sent arrived before its end was seen.
    const done = answer
      .catch((error: unknown) => {
        if (thread.isOpen) this.#log.error({ identity: name, error }, 'a connection could not be dropped');
      })
      .then(() => {
        all.delete(leaving);
        if (all.size === 0) this.#leaving.delete(name);
      });
    const leaving: Leaving = { thread, done };
    this.#leaving.set(name, all.add(leaving));
  }
}

interface Connection {
  readonly claim: ConnectionClaim;
  /** Activity of this second: none, told, or told and some since. */
  activity: 'none' | 'told' | 'since';
  /** Released or dropped: its functions are not called any more. */
  hasEnded: boolean;
}

export interface PresenceStandInParts {
  readonly clock: Clock;
  readonly log: Log;
  /** See `EventLogStandIn`, of all logs. */
  isSettled(): boolean;
  settled(): Promise<void>;
}

/** Presence as doors of a listener thread see it. */
export function presenceStandIn(link: ThreadLink, { clock, log, isSettled, settled }: PresenceStandInParts): Presence {
  const remote = link.remote<PresenceCalls>('presence', calls);
  const connections = new Map<number, Connection>();
  let lastId = 0;
  let fresh: number[] = [];
  /** Those whose `activity` is not `none`. */
  let active: number[] = [];

  const call = (connection: Connection, callback: () => void): void => {
    try {
      callback();
    } catch (error) {
      log.error({ identity: identityName(connection.claim.key), error }, 'a connection failed while it was called');
    }
  };
  const flushFresh = (): void => {
    if (fresh.length > 0) link.tell('touch', fresh);
    fresh = [];
  };
  /** The first sign of activity is told at once, then there is one note a second for all connections. */
  const touch = (id: number, connection: Connection): void => {
    connection.activity = 'told';
    if (fresh.length === 0) clock.after(0, flushFresh);
    fresh.push(id);
    if (active.length === 0) clock.after(limits.presenceTouchMs, endSecond);
    active.push(id);
  };
  const endSecond = (): void => {
    const since: number[] = [];
    for (const id of active) {
      const connection = connections.get(id);
      if (connection?.activity === 'since') since.push(id);
      if (connection !== undefined) connection.activity = connection.activity === 'since' ? 'told' : 'none';
    }
    active = since;
    if (since.length === 0) return;
    link.tell('touch', since);
    clock.after(limits.presenceTouchMs, endSecond);
  };
  const release = (id: number, connection: Connection, reason: DisconnectReason, detail?: string): void => {
    if (connection.hasEnded) return;
    connection.hasEnded = true;
    const gone = (): void => {
      // A drop that came meanwhile has taken it out.
      if (!connections.delete(id)) return;
      flushFresh();
      link.tell('release', [id, reason, detail]);
    };
    if (isSettled()) gone();
    else void settled().then(gone);
  };

  link.serve('connections', {
    async drop(id, reason) {
      const connection = connections.get(id);
      connections.delete(id);
      if (connection !== undefined && !connection.hasEnded) {
        connection.hasEnded = true;
        call(connection, () => connection.claim.drop(reason));
      }
      if (!isSettled()) await settled();
    },
    async invoke(id, asked, signal) {
      const connection = connections.get(id);
      if (connection === undefined || connection.hasEnded) throw new HubError('DeviceNotOnline');
      const { claim } = connection;
      if (claim.invoke === undefined) throw new HubError('OperationNotAvailable');
      return claim.invoke(asked, signal);
    },
  } satisfies ConnectionCalls);
  link.on('wake', (id: number) => {
    const connection = connections.get(id);
    if (connection !== undefined && !connection.hasEnded) call(connection, () => connection.claim.wake?.());
  });

  link.on('notify', ([id, note]: [number, Note]) => {
    const connection = connections.get(id);
    if (connection !== undefined && !connection.hasEnded) call(connection, () => connection.claim.notify?.(note));
  });

  return {
    ...remote,
    async claim(claim) {
      const id = ++lastId;
      const connection: Connection = { claim, activity: 'none', hasEnded: false };
      connections.set(id, connection);
      const { key, generationId, protocol, credential, authority, credentials, peer } = claim;
      const sent: SentClaim = { key, generationId, protocol, credential, authority, credentials, peer };
      try {
        await remote.claim(id, sent);
      } catch (error) {
        connections.delete(id);
        throw error;
      }
      return {
        release: (reason, detail) => release(id, connection, reason, detail),
        touch: () => {
          if (connection.activity === 'none') touch(id, connection);
          else connection.activity = 'since';
        },
      };
    },
  };
}
