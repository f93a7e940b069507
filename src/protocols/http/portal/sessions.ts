/**
 * Sessions of the portal: who a page speaks for, until when. A session is opened by a one-time code or a policy's key, lives in
 * the memory of this process and ends with it. What the page shows has two halves, a cookie and a token that it sends as a
 * header, because a browser sends a cookie of `localhost` to every port of the machine: another user's program there
 * learns one half only.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import type { Random } from '../../../base/random.ts';
import type { PolicyPrincipal } from '../../../core/identity/types.ts';

/** Why a session has ended, for those who listen to it. */
export type SessionEnd = 'signed-out' | 'idle' | 'expired' | 'displaced' | 'stopping';

/** One opened session. */
export interface Session {
  /** Names it in what is told of it; shows nothing of its secrets. */
  readonly id: string;
  /** Whose rights it has; its proof ends with the session. */
  readonly principal: PolicyPrincipal;
  /** UTC milliseconds. */
  readonly expiresAt: number;
  /** Aborted with its end; the reason is a `SessionEnd`. */
  readonly ended: AbortSignal;
  /** A stream of it is open until the returned function is called: it does not idle meanwhile. */
  hold(): () => void;
}

/** The secrets of a session, which are shown once. */
export interface OpenedSession {
  readonly session: Session;
  readonly cookie: string;
  readonly csrf: string;
}

interface Kept extends Session {
  readonly csrf: Buffer;
  readonly abort: AbortController;
  /** Monotonic milliseconds. */
  readonly openedAt: number;
  usedAt: number;
  holds: number;
}

/** Hears of sessions. */
export interface SessionWatcher {
  opened(session: Session): void;
  ended(session: Session, why: SessionEnd): void;
}

const SECRET_BYTES = 32;
const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** All sessions and unused codes of one process. */
export class PortalSessions {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #watcher: SessionWatcher | undefined;
  /** By the digest of the code: the monotonic time at which it ends. */
  readonly #codes = new Map<string, number>();
  /** By the digest of the cookie. */
  readonly #sessions = new Map<string, Kept>();

  constructor(clock: Clock, random: Random, watcher?: SessionWatcher) {
    this.#clock = clock;
    this.#random = random;
    this.#watcher = watcher;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** A code that opens one session. The oldest ones end when there are too many. @param lifeMs milliseconds */
  code(lifeMs: number): string {
    const now = this.#clock.monotonic();
    for (const [kept, endsAt] of this.#codes) if (endsAt <= now) this.#codes.delete(kept);
    for (const oldest of this.#codes.keys()) {
      if (this.#codes.size < limits.portalCodesMax) break;
      this.#codes.delete(oldest);
    }
    const code = this.#secret();
    this.#codes.set(digest(code).toString('hex'), now + lifeMs);
    return code;
  }

  /** Whether the code was good; it is not any more. */
  useCode(code: string): boolean {
    const key = digest(code).toString('hex');
    const endsAt = this.#codes.get(key);
    this.#codes.delete(key);
    return endsAt !== undefined && endsAt > this.#clock.monotonic();
  }

  /** Opens a session with the rights of a policy that was proved. */
  open(proved: PolicyPrincipal): OpenedSession {
    this.#endOld();
    const { policyName } = proved;
    const ofPolicy = [...this.#sessions].filter(([, { principal }]) => principal.policyName === policyName);
    if (ofPolicy.length >= limits.portalSessionsPerPolicyMax) {
      const [key, oldest] = ofPolicy.reduce((a, b) => (b[1].usedAt < a[1].usedAt ? b : a));
      this.#end(key, oldest, 'displaced');
    }
    const [cookie, csrf, id] = [this.#secret(), this.#secret(), this.#random.bytes(6).toString('hex')];
    const abort = new AbortController();
    const now = this.#clock.monotonic();
    const expiresAt = this.#clock.now() + limits.portalSessionMs;
    const session: Kept = {
      ...{ id, expiresAt, abort, csrf: digest(csrf), openedAt: now, usedAt: now, holds: 0 },
      principal: { ...proved, expiresAt, session: id, audited: true },
      ended: abort.signal,
      hold: () => {
        session.holds++;
        let held = true;
        return () => {
          if (held) session.holds--;
          held = false;
          session.usedAt = this.#clock.monotonic();
        };
      },
    };
    this.#sessions.set(digest(cookie).toString('hex'), session);
    this.#watcher?.opened(session);
    return { session, cookie, csrf };
  }

  /** The session that both halves belong to; it counts as used. */
  find(cookie: string | undefined, csrf: string | undefined): Session | undefined {
    if (cookie === undefined || csrf === undefined) return undefined;
    const key = digest(cookie).toString('hex');
    const session = this.#sessions.get(key);
    if (session === undefined || !timingSafeEqual(digest(csrf), session.csrf)) return undefined;
    const why = this.#over(session);
    if (why !== undefined) {
      this.#end(key, session, why);
      return undefined;
    }
    session.usedAt = this.#clock.monotonic();
    return session;
  }

  /** Ends one session, or all of them. */
  end(which: Session | 'all', why: SessionEnd): void {
    for (const [key, session] of this.#sessions) {
      if (which === 'all' || session === which) this.#end(key, session, why);
    }
  }

  /** Ends those whose time is over; streams of them hear of it. */
  sweep(): void {
    this.#endOld();
  }

  #endOld(): void {
    for (const [key, session] of this.#sessions) {
      const why = this.#over(session);
      if (why !== undefined) this.#end(key, session, why);
    }
  }

  #over(session: Kept): 'idle' | 'expired' | undefined {
    const now = this.#clock.monotonic();
    // By both clocks: the wall clock may be set back.
    if (now - session.openedAt >= limits.portalSessionMs || session.expiresAt <= this.#clock.now()) return 'expired';
    return session.holds === 0 && now - session.usedAt >= limits.portalSessionIdleMs ? 'idle' : undefined;
  }

  #end(key: string, session: Kept, why: SessionEnd): void {
    if (!this.#sessions.delete(key)) return;
    session.abort.abort(why);
    this.#watcher?.ended(session, why);
  }

  #secret(): string {
    return this.#random.bytes(SECRET_BYTES).toString('base64url');
  }
}
