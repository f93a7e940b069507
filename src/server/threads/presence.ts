/**
 * Presence across threads. The main thread knows every connection; a listener thread keeps the functions of its own ones, by
 * number, and is the member of its node that `core/presence` waits for: `drop` resolves, and a release is told, only when
 * everything that the connection had handed to its thread's event log is durable or has failed.
 */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { HubError } from '../../core/errors.ts';
import { identityName } from '../../core/identity/permissions.ts';
import type { Presence, PresenceTicket } from '../../core/presence/ports.ts';
import type { Call, ConnectionClaim, DisconnectReason, Note } from '../../core/presence/types.ts';
import type { EveryCall, ThreadLink } from './calls.ts';

type SentClaim = Omit<ConnectionClaim, 'drop' | 'wake' | 'notify' | 'invoke' | 'member'>;

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

/**
 * Lets the connections of one thread take their places; the returned function ends it, when the thread has: its connections
 * are lost. @param member names the thread, and not the next one in its slot
 */
export function servePresence(link: ThreadLink, presence: Presence, member: string): () => void {
  const tickets = new Map<number, PresenceTicket>();
  // Of a connection there is one drop, and one that is refused would leave its connection without a place.
  const connections = link.remote<ConnectionCalls>('connections', { drop: 'uncounted', invoke: true });
  const drop = async (id: number, reason: DisconnectReason): Promise<void> => {
    try {
      await connections.drop(id, reason);
    } catch (error) {
      // A thread that has ended meanwhile has nothing on its way any more: what it sent arrived before its end was seen.
      if (link.isOpen) throw error;
    }
  };
  link.serve('presence', {
    state: (key) => presence.state(key),
    connectedDevices: () => presence.connectedDevices(),
    drop: (key, reason) => presence.drop(key, reason),
    dropAuthority: (thumbprint, reason) => presence.dropAuthority(thumbprint, reason),
    wake: (key) => presence.wake(key),
    notify: (key, note) => presence.notify(key, note),
    invoke: (key, call, signal) => presence.invoke(key, call, signal),
    dropAll: (reason) => presence.dropAll(reason),
    claim: async (id, sent) => {
      let isDropped = false;
      const ticket = await presence.claim({
        ...sent,
        member,
        drop: (reason) => {
          isDropped = true;
          tickets.delete(id);
          return drop(id, reason);
        },
        wake: () => link.tell('wake', id),
        notify: (note) => link.tell('notify', [id, note]),
        invoke: (call, signal) => connections.invoke(id, call, signal),
      });
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

  // The places of these connections are given to others from here on.
  link.onClose(() => {
    const all = [...connections.values()];
    connections.clear();
    for (const connection of all) {
      if (connection.hasEnded) continue;
      connection.hasEnded = true;
      call(connection, () => connection.claim.drop('connection-lost'));
    }
  });

  return {
    ...remote,
    async claim(claim) {
      const id = ++lastId;
      const connection: Connection = { claim, activity: 'none', hasEnded: false };
      connections.set(id, connection);
      const { key, generationId, protocol, credential, authority, credentials, peer, address } = claim;
      // Every field by name, those that may be missing too: one that is forgotten here does not compile.
      const sent: Required<{ [Name in keyof SentClaim]: unknown }> & SentClaim = {
        ...{ key, generationId, protocol, credential, authority, credentials, peer, address },
      };
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
