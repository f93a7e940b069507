/**
 * Presence of one node: its connections, on whichever of its threads they are, and the places that they hold in the hub.
 *
 * The order rule, which devices rely on over a reconnect: the newer connection wins, and its claim is answered only when
 * everything that the older one had handed over is durable or has failed. Connections of one member (one loop) share a
 * writer, which keeps their order by itself; across members the older one's `drop` is waited for.
 *
 * A session is `claiming` from the step in which it asks for its place, so that whatever ends its identity from then on
 * meets it; then it is `held`, and in the map; `connected` when its claim is answered and watchers are told; then it has
 * `ended`, once. Each connection is dropped at most once, and never after its release.
 */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { type Log, silentLog } from '../../base/log.ts';
import { HubError } from '../errors.ts';
import { identityName } from '../identity/permissions.ts';
import type { IdentityKey, PresenceState } from '../identity/types.ts';
import { ClaimQueue } from './claim-queue.ts';
import { ConnectedModules } from './connected-modules.ts';
import { Freeing } from './freeing.ts';
import { ELSEWHERE, Leaving } from './leaving.ts';
import type { Connections, Holder, Neighbours, Places } from './places.ts';
import type { ConnectionWatcher, PresenceTicket, WatchedPresence } from './ports.ts';
import { type HeldSession, Session, type SessionRoom, SessionsByIdentity } from './session.ts';
import type { ConnectionClaim, DisconnectReason } from './types.ts';

export interface PresenceParts {
  readonly places: Places;
  readonly clock: Clock;
  readonly log?: Log;
  /** Identities without a connection that are remembered; the longest unseen are forgotten first. */
  readonly memoryMax?: number;
  /** Where several nodes share the places. */
  readonly nodes?: Neighbours;
}

const never: PresenceState = { connected: false, connectionStateUpdatedTime: 0, lastActivityTime: 0 };

/** Presence, and the same connections as other nodes reach them. */
export type PresenceRoom = WatchedPresence & {
  readonly connections: Connections;
  /** Connections of this node that have their place. */
  held(): number;
  /** The same, one by one; while they are gone through, who comes is behind the others, and who goes is left out. */
  sessions(): Iterator<HeldSession>;
  /**
   * Compares them with the places that this node has: ends those that another has displaced without a word of it, and frees places that no
   * connection has. @throws what the places throw
   */
  compare(): Promise<void>;
  /** Ends some of them, the oldest first. @returns how many are left */
  letGo(reason: DisconnectReason, countMax: number): number;
};

export function createPresence(parts: PresenceParts): PresenceRoom {
  const { clock, places, nodes } = parts;
  const log = parts.log ?? silentLog;
  const memoryMax = parts.memoryMax ?? limits.presenceMemoryMax;
  const held = new Map<string, Session>();
  const claiming = new SessionsByIdentity();
  /** By connection, until it is known whom its claim has displaced, and that one is told: also where it has ended meanwhile. */
  const unanswered = new Map<number, Promise<void>>();
  const modules = new ConnectedModules();
  const seen = new Map<string, PresenceState>();
  const leaving = new Leaving(log);
  const claims = new ClaimQueue(places, clock, log);
  const freeing = new Freeing({ nodes, places, leaving, claims, endHere: (name) => endHere(name, 'taken-over') });
  const watchers: ConnectionWatcher[] = [];
  let connections = 0;

  /** One connection, or watcher, that fails to listen must not keep the others from hearing. */
  const tell = (session: Session, message: () => void): void => {
    try {
      message();
    } catch (error) {
      log.error({ identity: identityName(session.key), error }, 'a connection failed while it was called');
    }
  };

  const tellConnected = (session: Session): void => {
    const { claim, connection } = session;
    for (const watcher of watchers) tell(session, () => watcher.connected(claim, connection));
  };

  /** Takes the session out, whatever it has, and tells the watchers; false = it had ended before. */
  const leave = (session: Session, reason: DisconnectReason, detail?: string): boolean => {
    const { key, claim, connection, state: before } = session;
    if (before === 'ended') return false;
    session.state = 'ended';
    // One that is still claiming gives its place back when it gets it.
    if (before === 'claiming') claiming.delete(session);
    else forget(session, key);
    if (before !== 'connected') tellConnected(session);
    for (const watcher of watchers) tell(session, () => watcher.disconnected(claim, connection, reason, detail));
    return true;
  };

  /** It has no place any more. @param isSure Whether those that it has displaced have ended, or are waited for */
  const forget = (session: Session, key: IdentityKey, isSure = true): void => {
    held.delete(identityName(key));
    modules.remove(key);
    if (isSure) freeing.free(session);
    else freeing.freeUnsure(session);
    const state = { connected: false, connectionStateUpdatedTime: clock.now(), lastActivityTime: session.lastActivity };
    remember(identityName(key), state);
  };

  const room: SessionRoom = {
    get node() {
      return nodes?.own ?? '';
    },
    clock,
    release: leave,
  };

  const remember = (name: string, state: PresenceState): void => {
    seen.delete(name);
    for (const oldest of seen.keys()) {
      if (seen.size < memoryMax) break;
      seen.delete(oldest);
    }
    seen.set(name, state);
  };

  const end = (session: Session, reason: DisconnectReason): void => {
    if (leave(session, reason)) {
      tell(session, () => {
        const settled = session.claim.drop(reason);
        const { claim, connection } = session;
        if (settled !== undefined) leaving.add(identityName(session.key), claim.member, connection, settled, true);
      });
    }
  };

  const endAll = (reason: DisconnectReason, which: (session: Session) => boolean): void => {
    for (const session of [...held.values(), ...claiming].filter(which)) end(session, reason);
  };

  /** The connection that has lost its place to a newer one of this node. */
  const endDisplaced = (displaced: Holder, newer: Session): void => {
    const name = identityName(displaced.key);
    if (displaced.node === room.node) {
      const session = held.get(name);
      if (session?.connection === displaced.connection) end(session, 'taken-over');
      freeing.endThoseBefore(newer, displaced);
      return;
    }
    if (nodes !== undefined)
      leaving.add(name, displaced.node, newer.connection, dropElsewhere(displaced, nodes), false);
  };

  const dropElsewhere = async (displaced: Holder, { of, endElsewhere }: Neighbours): Promise<void> => {
    try {
      await of(displaced.node)?.drop(displaced, 'taken-over');
    } catch (error) {
      if (of(displaced.node) !== undefined) throw error;
    }
    // A node that has gone may have taken the place from another, and have told nobody.
    if (of(displaced.node) === undefined) await endElsewhere(displaced.key);
  };

  /** Those that have the place, or ask for it. */
  const connectionsOf = (name: string): readonly Session[] => {
    const session = held.get(name);
    return session === undefined ? claiming.of(name) : [session, ...claiming.of(name)];
  };

  const endHere = (name: string, reason: DisconnectReason): void => {
    for (const session of connectionsOf(name)) end(session, reason);
  };

  const holderElsewhere = async (key: IdentityKey): Promise<{ holder: Holder; at: Connections } | undefined> => {
    if (nodes === undefined) return undefined;
    const holder = await places.find(key);
    const at = holder === undefined || holder.node === nodes.own ? undefined : nodes.of(holder.node);
    return holder !== undefined && at !== undefined ? { holder, at } : undefined;
  };

  return {
    async claim(claim): Promise<PresenceTicket> {
      const session = new Session(claim, ++connections, room);
      // Throws where too many wait; else it claims from this step on.
      const asked = claims.claim(session);
      const { promise: answered, resolve: hasAnswer } = Promise.withResolvers<void>();
      unanswered.set(session.connection, answered);
      claiming.add(session);
      const outcome = await asked;
      claiming.delete(session);
      // Whoever waits for it goes on after this step, in which the displaced one is told.
      unanswered.delete(session.connection);
      hasAnswer();
      const name = identityName(claim.key);
      if (outcome.kind === 'unknown' || outcome.kind === 'none') {
        session.state = 'ended';
        if (outcome.kind === 'unknown') freeing.giveBack(session);
        throw new HubError('ServiceUnavailable', undefined, { cause: outcome.error });
      }
      if (outcome.kind === 'refused') {
        end(session, outcome.reason);
        return session;
      }
      if (outcome.displaced !== undefined) endDisplaced(outcome.displaced, session);
      // Another one of this node may have lost its place before, to a claim whose answer was lost or of which no word has come yet.
      const older = held.get(name);
      if (older !== undefined) end(older, 'taken-over');
      if (session.state === 'ended') freeing.free(session);
      else {
        session.state = 'held';
        held.set(name, session);
        modules.add(claim.key);
        seen.delete(name);
      }
      try {
        await leaving.others(name, claim.member, session.connection);
      } catch (error) {
        // What the older connection had handed over may still come, behind what this one would hand over.
        if ((session.state as Session['state']) === 'held') {
          session.state = 'ended';
          forget(session, claim.key, false);
          throw new HubError('ServiceUnavailable', undefined, { cause: error });
        }
      }
      // It may have been ended meanwhile, and been told then.
      if ((session.state as Session['state']) === 'held') {
        session.state = 'connected';
        tellConnected(session);
      }
      return session;
    },
    async state(key) {
      const name = identityName(key);
      const session = held.get(name);
      if (session !== undefined) {
        return { connected: true, connectionStateUpdatedTime: session.since, lastActivityTime: session.lastActivity };
      }
      const since = (await holderElsewhere(key))?.holder.since;
      if (since !== undefined) return { connected: true, connectionStateUpdatedTime: since, lastActivityTime: since };
      return seen.get(name) ?? never;
    },
    connectedDevices: () => places.connectedDevices(),
    async drop(key, reason, unless) {
      const { deviceId, moduleId } = key;
      const withModules = moduleId === undefined && unless === undefined;
      const names = [...(withModules ? modules.of(deviceId) : []), identityName(key)];
      const meant = names.map((name) => held.get(name)).filter((session) => session !== undefined);
      // Of modules that are not connected yet nobody knows but those that claim.
      for (const session of withModules ? claiming : claiming.of(identityName(key))) {
        if (session.key.deviceId === deviceId) meant.push(session);
      }
      for (const session of meant) if (unless?.(session.claim) !== true) end(session, reason);
      // The next bearer of the id is another device.
      if (reason === 'deleted') for (const name of names) seen.delete(name);
    },
    async dropAuthority(thumbprint, reason) {
      endAll(reason, (session) => session.authority === thumbprint);
    },
    async wake(key) {
      const session = held.get(identityName(key));
      if (session !== undefined) {
        tell(session, () => session.claim.wake?.());
        return;
      }
      const elsewhere = await holderElsewhere(key);
      elsewhere?.at.wake(elsewhere.holder);
    },
    async notify(key, note) {
      const session = held.get(identityName(key));
      if (session !== undefined) {
        tell(session, () => session.claim.notify?.(note));
        return true;
      }
      const elsewhere = await holderElsewhere(key);
      elsewhere?.at.notify(elsewhere.holder, note);
      return elsewhere !== undefined;
    },
    async invoke(key, call, signal) {
      const session = held.get(identityName(key));
      if (session !== undefined) return ask(session.claim, call, signal);
      const elsewhere = await holderElsewhere(key);
      if (elsewhere === undefined) throw new HubError('DeviceNotOnline');
      return elsewhere.at.invoke(elsewhere.holder, call, signal);
    },
    async dropAll(reason) {
      endAll(reason, () => true);
    },
    held: () => held.size,
    sessions: () => held.values(),
    async compare() {
      // Who has no answer yet may have lost its place to another by then.
      await Promise.all(unanswered.values());
      const node = room.node;
      const before = [...held.values()];
      const all = await places.of(node);
      // It has let go of everything meanwhile.
      if (room.node !== node) return;
      const kept = new Set(all.map(({ connection }) => connection));
      const displaced = before.filter(({ connection }) => !kept.has(connection));
      for (const session of displaced) end(session, 'taken-over');
      const here = new Set([...held.values(), ...claiming, ...freeing.sessions()].map(({ connection }) => connection));
      const left = all.filter(({ connection }) => !here.has(connection));
      await Promise.all([
        ...left.map((place) => freeing.found(place)),
        ...displaced.map(({ key }) => leaving.here(identityName(key))),
        displaced.length > 0 && nodes?.settled(),
      ]);
      if (left.length > 0) await places.release(left);
    },
    letGo(reason, countMax) {
      let count = 0;
      for (const session of held.values()) {
        if (++count > countMax) break;
        end(session, reason);
      }
      return held.size;
    },
    watch: (watcher) => void watchers.push(watcher),
    heardOf(tellOf) {
      for (const session of held.values()) {
        if (!session.isHeardOf) continue;
        session.isHeardOf = false;
        tellOf(session.claim);
      }
    },
    connections: {
      async drop({ key, connection }, reason) {
        const name = identityName(key);
        // The other node's claim may have taken a place that this node has not heard yet that it had.
        const session = connectionsOf(name).find((each) => each.connection === connection);
        if (session !== undefined) end(session, reason);
        // Those before it are waited for with it: the other node knows of this one alone.
        await unanswered.get(connection);
        if (freeing.isLost(connection)) {
          throw new HubError('ServiceUnavailable', undefined, {
            reason: 'a claim was carried out behind its lost answer',
          });
        }
        await Promise.all([leaving.others(name, ELSEWHERE, connection), nodes?.settled()]);
      },
      async end(key, reason) {
        const name = identityName(key);
        endHere(name, reason);
        // What a connection here has displaced elsewhere is asked for there by the same node; to wait for it would be a circle.
        if (freeing.has(name)) await Promise.all([leaving.here(name), nodes?.settled()]);
        else await leaving.here(name);
      },
      wake: ({ key, connection }) => {
        const session = held.get(identityName(key));
        if (session?.connection === connection) tell(session, () => session.claim.wake?.());
      },
      notify: ({ key, connection }, note) => {
        const session = held.get(identityName(key));
        if (session?.connection === connection) tell(session, () => session.claim.notify?.(note));
      },
      async invoke({ key, connection }, call, signal) {
        const session = held.get(identityName(key));
        if (session?.connection !== connection) throw new HubError('DeviceNotOnline');
        return ask(session.claim, call, signal);
      },
    },
  };
}

function ask(claim: ConnectionClaim, ...call: Parameters<NonNullable<ConnectionClaim['invoke']>>): Promise<unknown> {
  if (claim.invoke === undefined) return Promise.reject(new HubError('OperationNotAvailable'));
  return claim.invoke(...call);
}
