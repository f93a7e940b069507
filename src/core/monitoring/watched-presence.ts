import type { Presence, PresenceTicket } from '../presence/ports.ts';
import type { ConnectionClaim, DisconnectReason } from '../presence/types.ts';

/** Hears of every connection once when it has its place and once when it has lost it, in this order. */
export interface ConnectionWatcher {
  connected(claim: ConnectionClaim, connectionId: string): void;
  disconnected(claim: ConnectionClaim, connectionId: string, reason: DisconnectReason): void;
  /** Something came from the device or went to it. Called for each chunk of bytes: no more than setting a flag. */
  touched?(claim: ConnectionClaim): void;
}

/**
 * The same presence, whose connections are told to `watchers`. A connection that is taken over is told as ended before
 * the one that took its place is told as connected; one that is dropped while its claim is still being answered is told
 * as connected first.
 */
export function watchedPresence(
  presence: Presence,
  watchers: readonly ConnectionWatcher[],
  newId: () => string,
): Presence {
  return {
    ...presence,
    async claim(claim): Promise<PresenceTicket> {
      const id = newId();
      let state: 'claiming' | 'connected' | 'ended' = 'claiming';
      const begin = (): void => {
        if (state !== 'claiming') return;
        state = 'connected';
        for (const watcher of watchers) watcher.connected(claim, id);
      };
      const end = (reason: DisconnectReason): void => {
        begin();
        if (state === 'ended') return;
        state = 'ended';
        for (const watcher of watchers) watcher.disconnected(claim, id, reason);
      };
      const touching = watchers.filter((watcher) => watcher.touched !== undefined);
      // Field by field: a claim may be an object of a class.
      const { key, generationId, protocol, credential, authority, peer } = claim;
      const ticket = await presence.claim({
        ...{ key, generationId, protocol, credential, peer },
        ...(authority !== undefined && { authority }),
        drop(reason) {
          end(reason);
          claim.drop(reason);
        },
        ...(claim.wake !== undefined && { wake: () => claim.wake?.() }),
      });
      begin();
      return {
        release(reason) {
          ticket.release(reason);
          end(reason);
        },
        touch() {
          ticket.touch();
          for (const watcher of touching) watcher.touched?.(claim);
        },
      };
    },
  };
}
