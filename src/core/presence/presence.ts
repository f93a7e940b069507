/**
 * Presence of one process: who is connected to it, and when an identity was last seen.
 *
 * A session is in the map exactly as long as it holds its identity's place. Whoever takes it out (release, drop, a newer
 * claim) ends it; so each connection is dropped at most once, and never after its release.
 */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { type Log, silentLog } from '../../base/log.ts';
import { HubError } from '../errors.ts';
import { identityName } from '../identity/permissions.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { Presence, PresenceTicket } from './ports.ts';
import type { ConnectionClaim, DisconnectReason, PresenceState } from './types.ts';

export interface PresenceParts {
  readonly clock: Clock;
  readonly log?: Log;
  /** Identities without a connection that are remembered; the longest unseen are forgotten first. */
  readonly memoryMax?: number;
}

/** What all sessions of one presence share. */
interface Room {
  readonly clock: Clock;
  leave(session: Session): void;
}

/** A connection in its place, and the ticket of it: one object of few fields, because there are so many of them. */
class Session implements PresenceTicket {
  readonly claim: ConnectionClaim;
  readonly since: number;
  lastActivity: number;
  readonly #room: Room;

  constructor(claim: ConnectionClaim, room: Room) {
    this.claim = claim;
    this.since = room.clock.now();
    this.lastActivity = this.since;
    this.#room = room;
  }

  release(): void {
    this.#room.leave(this);
  }

  touch(): void {
    this.lastActivity = this.#room.clock.now();
  }
}

const never: PresenceState = { connected: false, connectionStateUpdatedTime: 0, lastActivityTime: 0 };

export function createPresence(parts: PresenceParts): Presence {
  const { clock } = parts;
  const log = parts.log ?? silentLog;
  const memoryMax = parts.memoryMax ?? limits.presenceMemoryMax;
  const sessions = new Map<string, Session>();
  /** Device id -> its modules that are connected. */
  const connectedModules = new Map<string, Set<string>>();
  const seen = new Map<string, PresenceState>();
  let devices = 0;

  const enter = (session: Session): void => {
    const { key } = session.claim;
    sessions.set(identityName(key), session);
    seen.delete(identityName(key));
    if (key.moduleId === undefined) {
      devices++;
      return;
    }
    const modules = connectedModules.get(key.deviceId) ?? new Set<string>();
    connectedModules.set(key.deviceId, modules.add(key.moduleId));
  };

  /** Takes the session out, if it is still the one in its place. */
  const leave = (session: Session): boolean => {
    const { key } = session.claim;
    const name = identityName(key);
    if (sessions.get(name) !== session) return false;
    sessions.delete(name);
    if (key.moduleId === undefined) devices--;
    const modules = connectedModules.get(key.deviceId);
    if (key.moduleId !== undefined && modules?.delete(key.moduleId) && modules.size === 0) {
      connectedModules.delete(key.deviceId);
    }
    const left = clock.now();
    remember(name, { connected: false, connectionStateUpdatedTime: left, lastActivityTime: session.lastActivity });
    return true;
  };

  const room: Room = { clock, leave };

  const remember = (name: string, state: PresenceState): void => {
    seen.delete(name);
    for (const oldest of seen.keys()) {
      if (seen.size < memoryMax) break;
      seen.delete(oldest);
    }
    seen.set(name, state);
  };

  /** One connection that fails to listen must not keep the others from hearing. */
  const tell = (session: Session, message: () => void): void => {
    try {
      message();
    } catch (error) {
      log.error({ identity: identityName(session.claim.key), error }, 'a connection failed while it was called');
    }
  };

  const end = (name: string, reason: DisconnectReason): void => {
    const session = sessions.get(name);
    if (session !== undefined && leave(session)) tell(session, () => session.claim.drop(reason));
    // The next bearer of the id is somebody else.
    if (reason === 'deleted') seen.delete(name);
  };

  return {
    async claim(claim): Promise<PresenceTicket> {
      const session = new Session(claim, room);
      const older = sessions.get(identityName(claim.key));
      if (older !== undefined) leave(older);
      enter(session);
      if (older !== undefined) tell(older, () => older.claim.drop('taken-over'));
      return session;
    },
    async state(key) {
      const name = identityName(key);
      const session = sessions.get(name);
      if (session === undefined) return seen.get(name) ?? never;
      return { connected: true, connectionStateUpdatedTime: session.since, lastActivityTime: session.lastActivity };
    },
    connectedDevices: async () => devices,
    async drop(key: IdentityKey, reason, unless) {
      const own = sessions.get(identityName(key));
      if (unless !== undefined && (own === undefined || unless(own.claim))) return;
      if (key.moduleId === undefined && unless === undefined) {
        for (const moduleId of [...(connectedModules.get(key.deviceId) ?? [])]) {
          end(identityName({ deviceId: key.deviceId, moduleId }), reason);
        }
      }
      end(identityName(key), reason);
    },
    async dropAuthority(thumbprint, reason) {
      const hit = [...sessions].filter(([, session]) => session.claim.authority === thumbprint);
      for (const [name] of hit) end(name, reason);
    },
    async wake(key) {
      const session = sessions.get(identityName(key));
      if (session !== undefined) tell(session, () => session.claim.wake?.());
    },
    async notify(key, note) {
      const session = sessions.get(identityName(key));
      if (session === undefined) return false;
      tell(session, () => session.claim.notify?.(note));
      return true;
    },
    async invoke(key, call, signal) {
      const session = sessions.get(identityName(key));
      if (session === undefined) throw new HubError('DeviceNotOnline');
      if (session.claim.invoke === undefined) throw new HubError('OperationNotAvailable');
      return session.claim.invoke(call, signal);
    },
    async dropAll(reason) {
      for (const name of [...sessions.keys()]) end(name, reason);
    },
  };
}
