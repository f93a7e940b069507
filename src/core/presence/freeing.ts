import { limits } from '../../base/limits.ts';
import { identityName } from '../identity/permissions.ts';
import type { ClaimQueue } from './claim-queue.ts';
import { ELSEWHERE, type Leaving, SOMEWHERE } from './leaving.ts';
import type { Neighbours } from './places.ts';
import { type Session, SessionsByIdentity } from './session.ts';

/**
 * Connections that have ended, and whose places are still theirs. Over nodes a place is free when what its node has been handed over by
 * then is durable or has failed, and those before it have ended: who takes a free place waits for nobody, and what the next node stores
 * must not come before that. A claim meanwhile finds the place taken, and waits for this node.
 */
export class Freeing {
  readonly #nodes: Neighbours | undefined;
  readonly #leaving: Leaving;
  readonly #claims: ClaimQueue;
  readonly #sessions = new SessionsByIdentity();
  /** Connections whose claims the store may still carry out though their places were given back; the newest of them. */
  readonly #lost = new Set<number>();

  constructor(nodes: Neighbours | undefined, leaving: Leaving, claims: ClaimQueue) {
    this.#nodes = nodes;
    this.#leaving = leaving;
    this.#claims = claims;
  }

  free(session: Session): void {
    if (this.#nodes === undefined) {
      this.#claims.release(session);
      return;
    }
    this.#sessions.add(session);
    const done = (): void => {
      this.#sessions.delete(session);
      this.#claims.release(session);
    };
    this.#settled(session, this.#nodes).then(done, done);
  }

  /** It is not known whether those before it have ended: they are asked for everywhere, and waited for. */
  freeUnsure(session: Session): void {
    if (this.#nodes !== undefined) void this.#endElsewhere(session, this.#nodes);
    this.free(session);
  }

  /** The same of one whose claim had no answer: the store may carry it out still. */
  freeUnknown(session: Session): void {
    if (this.#nodes !== undefined) {
      void this.#endElsewhere(session, this.#nodes).then(() => this.#noteLost(session.connection));
    }
    this.free(session);
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
      await this.#leaving.others(identityName(session.key), ELSEWHERE, session.connection);
    } catch {
      // One before it could not be ended at its node: it is asked for again there and everywhere.
      await this.#endElsewhere(session, nodes);
    }
    await settled;
  }

  /** Whoever asks for the session meanwhile waits for that. */
  #endElsewhere({ key, connection }: Session, nodes: Neighbours): Promise<void> {
    const ended = nodes.endElsewhere(key);
    this.#leaving.add(identityName(key), SOMEWHERE, connection, ended, false);
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
