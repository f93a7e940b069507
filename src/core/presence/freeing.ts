import { limits } from '../../base/limits.ts';
import { identityName } from '../identity/permissions.ts';
import type { ClaimQueue } from './claim-queue.ts';
import { ELSEWHERE, type Leaving, SOMEWHERE } from './leaving.ts';
import type { Neighbours, PlaceRef, Places } from './places.ts';
import { type Session, SessionsByIdentity } from './session.ts';

export interface FreeingParts {
  readonly nodes: Neighbours | undefined;
  readonly places: Places;
  readonly leaving: Leaving;
  readonly claims: ClaimQueue;
  /** Ends what this node has of an identity. */
  endHere(name: string): void;
}

/**
 * Connections that have ended, and whose places are still theirs. Over nodes a place is free when what its node has been handed over by
 * then is durable or has failed, and those before it have ended: who takes a free place waits for nobody, and what the next node stores
 * must not come before that. A claim meanwhile finds the place taken, and waits for this node.
 */
export class Freeing {
  readonly #parts: FreeingParts;
  readonly #sessions = new SessionsByIdentity();
  /**
   * Connections whose claims had no answer, and were not found to have been carried out: the store may still do so, over the head of a
   * newer connection that nobody tells. The newest of them.
   */
  readonly #lost = new Set<number>();

  constructor(parts: FreeingParts) {
    this.#parts = parts;
  }

  free(session: Session): void {
    const { nodes, claims } = this.#parts;
    if (nodes === undefined) {
      claims.release(session);
      return;
    }
    this.#sessions.add(session);
    const done = (): void => {
      this.#sessions.delete(session);
      claims.release(session);
    };
    this.#settled(session, nodes).then(done, done);
  }

  /** It is not known whether those before it have ended: they are asked for everywhere, and waited for. */
  freeUnsure(session: Session): void {
    const { nodes } = this.#parts;
    if (nodes !== undefined) void this.#endElsewhere(session, nodes);
    this.free(session);
  }

  /**
   * Its claim had no answer. Where it was carried out, all that others have of the identity ends before the place is free. Where it was not, or
   * the place is another's by now, nothing is freed: it may be carried out later, which `PresenceRoom.compare` finds, or who takes the place then.
   */
  giveBack(session: Session): void {
    const { nodes, claims } = this.#parts;
    if (nodes === undefined) {
      claims.release(session);
      return;
    }
    this.#sessions.add(session);
    this.#noteLost(session.connection);
    const isThere = async (): Promise<boolean> => {
      try {
        const holder = await this.#parts.places.find(session.key);
        return holder?.node === nodes.own && holder.connection === session.connection;
      } catch {
        return false;
      }
    };
    void isThere().then((isSo) => {
      if (!isSo) {
        this.#sessions.delete(session);
        return;
      }
      this.#lost.delete(session.connection);
      this.#parts.endHere(identityName(session.key));
      this.freeUnsure(session);
    });
  }

  /**
   * A place of this node that was found to be that of a connection which is not there. Resolves when it may be freed: where its claim was
   * carried out behind its lost answer, those that it may have been taken from have ended.
   */
  async found({ key, connection }: PlaceRef): Promise<void> {
    const { nodes, endHere } = this.#parts;
    if (nodes === undefined || !this.#lost.has(connection)) return;
    endHere(identityName(key));
    await Promise.all([nodes.endElsewhere(key), nodes.settled()]);
  }

  /** One of this node whose claim was carried out behind its lost answer may have taken the place from another: the newer one waits for that. */
  endThoseBefore(newer: Session, { connection }: PlaceRef): void {
    const { nodes } = this.#parts;
    if (nodes !== undefined && this.#lost.has(connection)) void this.#endElsewhere(newer, nodes);
  }

  has(name: string): boolean {
    return this.#sessions.has(name);
  }

  isLost(connection: number): boolean {
    return this.#lost.has(connection);
  }

  sessions(): Iterable<Session> {
    return this.#sessions;
  }

  async #settled(session: Session, nodes: Neighbours): Promise<void> {
    const settled = nodes.settled();
    try {
      await this.#parts.leaving.others(identityName(session.key), ELSEWHERE, session.connection);
    } catch {
      // One before it could not be ended at its node: it is asked for again there and everywhere.
      await this.#endElsewhere(session, nodes);
    }
    await settled;
  }

  /** Whoever asks for the session meanwhile waits for that. */
  #endElsewhere({ key, connection }: Session, nodes: Neighbours): Promise<void> {
    const ended = nodes.endElsewhere(key);
    this.#parts.leaving.add(identityName(key), SOMEWHERE, connection, ended, false);
    return ended;
  }

  #noteLost(connection: number): void {
    this.#lost.add(connection);
    for (const oldest of this.#lost) {
      if (this.#lost.size <= limits.placesLostMax) break;
      this.#lost.delete(oldest);
    }
  }
}
