/**
 * A server of DTLS 1.2 with pre-shared keys (RFC 6347, 4279): cookies, handshakes, sessions. What comes without a valid cookie is
 * answered from what came, leaves nothing behind, and gets fewer bytes than it had.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { limits } from '../../../base/limits.ts';
import type { HostClock } from '../../../gateway/index.ts';
import {
  alerts,
  type ClientHello,
  encodeHandshake,
  handshakeTypes,
  helloVerifyRequest,
  readClientHello,
  readFragments,
} from '../../../wire/dtls/handshake.ts';
import {
  contentTypes,
  DTLS_1_0,
  DTLS_1_2,
  type DtlsRecord,
  encodeRecord,
  readRecords,
} from '../../../wire/dtls/records.ts';
import { type Suite, suites } from '../../../wire/dtls/suites.ts';
import { DtlsSession } from './session.ts';

export interface DtlsOptions {
  readonly clock: HostClock;
  send(bytes: Buffer, peer: string, peerPort: number): void;
  keyOf(identity: string, peer: string): Promise<Uint8Array | undefined>;
  established(session: DtlsSession, peer: string): void;
  received(session: DtlsSession, bytes: Buffer): void;
  /** Of a session that was established. */
  ended(session: DtlsSession): void;
  count(what: string): void;
}

const COOKIE_BYTES = 16;

export class DtlsServer {
  readonly #options: DtlsOptions;
  /** By address and port. Established ones in order of when they began. */
  readonly #sessions = new Map<string, DtlsSession>();
  /** Established ones by the identity that they have proved. */
  readonly #sessionsOf = new Map<string, Set<DtlsSession>>();
  readonly #handshakes = new Map<string, DtlsSession>();
  readonly #handshakesOf = new Map<string, number>();
  /** The newest first. */
  #secrets: readonly Buffer[] = [randomBytes(32)];
  #secretAt: number;

  constructor(options: DtlsOptions) {
    this.#options = options;
    this.#secretAt = options.clock.monotonic();
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  get handshakes(): number {
    return this.#handshakes.size;
  }

  receive(datagram: Buffer, peer: string, peerPort: number): void {
    const place = `${peer} ${peerPort}`;
    for (const record of readRecords(datagram)) {
      if (isClientHello(record)) {
        this.#hello(record, peer, peerPort, place);
        // Nobody sends more behind it, but who wants more cookies made than he sends datagrams.
        return;
      } else {
        // A handshake beside a session that lives: only what the new keys open is of it.
        const handshake = this.#handshakes.get(place);
        const session = this.#sessions.get(place);
        if (session !== undefined && record.epoch > 0) session.receive(record);
        handshake?.receive(record);
        if (handshake === undefined && session !== undefined && record.epoch === 0) session.receive(record);
      }
    }
  }

  /** Closes sessions that are silent, and those of a device whose key counts no more. */
  sweep(): void {
    const before = this.#options.clock.monotonic() - limits.dtlsSessionIdleMs;
    for (const session of this.#sessions.values())
      if (session.heardAt < before) session.close(alerts.closeNotify, 'silence');
  }

  revoked(identity: string): void {
    for (const session of [...(this.#sessionsOf.get(identity) ?? [])])
      session.close(alerts.closeNotify, 'the key counts no more');
  }

  stop(): void {
    for (const session of [...this.#sessions.values(), ...this.#handshakes.values()])
      session.close(alerts.closeNotify, 'the adapter stops');
  }

  #hello(record: DtlsRecord, peer: string, peerPort: number, place: string): void {
    const [fragment] = readFragments(record.fragment);
    // One in pieces would have to be kept before its sender has proved its address; those with pre-shared keys fit into one.
    if (fragment === undefined || fragment.offset !== 0 || fragment.body.length !== fragment.length) return;
    const hello = readClientHello(fragment.body);
    if (hello === undefined) {
      this.#options.count('dtlsMalformed');
      return;
    }
    if (!this.#hasCookie(hello, place)) {
      const body = helloVerifyRequest(this.#cookie(this.#secret(), hello, place));
      const verify = encodeHandshake(handshakeTypes.helloVerifyRequest, 0, body);
      const { sequence } = record;
      const { handshake: type } = contentTypes;
      this.#options.send(
        encodeRecord({ type, version: DTLS_1_0, epoch: 0, sequence, fragment: verify }),
        peer,
        peerPort,
      );
      return;
    }
    const begun = this.#handshakes.get(place);
    if (begun?.clientRandom.equals(hello.random)) {
      // Again: the timer of the flight answers, so that a repeated cookie multiplies nothing.
      return;
    }
    if (this.#sessions.get(place)?.clientRandom.equals(hello.random)) return;
    const suite = suites.find(({ id }) => hello.suites.includes(id));
    if (suite === undefined) {
      this.#options.count('dtlsRefused');
      const fragment = Buffer.of(2, alerts.handshakeFailure);
      const { sequence } = record;
      const alert = encodeRecord({ type: contentTypes.alert, version: DTLS_1_2, epoch: 0, sequence, fragment });
      this.#options.send(alert, peer, peerPort);
      return;
    }
    begun?.close(alerts.closeNotify, 'the client has begun anew');
    const ofOne = this.#handshakesOf.get(peer) ?? 0;
    if (this.#handshakes.size >= limits.dtlsHandshakesMax || ofOne >= limits.dtlsHandshakesPerAddressMax) {
      this.#options.count('dtlsDropped');
      return;
    }
    this.#begin(hello, fragment.body, suite, record.sequence, fragment.sequence, { peer, peerPort, place });
  }

  #begin(
    hello: ClientHello,
    body: Buffer,
    suite: Suite,
    sequence: number,
    message: number,
    { peer, peerPort, place }: { peer: string; peerPort: number; place: string },
  ): void {
    const { clock, count } = this.#options;
    const parts = {
      clock,
      peer,
      send: (bytes: Buffer) => this.#options.send(bytes, peer, peerPort),
      keyOf: (identity: string) => this.#options.keyOf(identity, peer),
      received: this.#options.received,
      established: (session: DtlsSession) => {
        this.#leave(place, peer);
        this.#sessions.get(place)?.close(alerts.closeNotify, 'the client has a new session');
        const { identity = '' } = session.proved ?? {};
        this.#makeRoom(identity);
        this.#sessions.set(place, session);
        this.#sessionsOf.set(identity, (this.#sessionsOf.get(identity) ?? new Set()).add(session));
        count('dtlsSessions');
        this.#options.established(session, peer);
      },
      ended: (session: DtlsSession) => {
        if (this.#handshakes.get(place) === session) {
          this.#leave(place, peer);
          count('dtlsRefused');
        }
        if (this.#sessions.get(place) !== session) return;
        this.#sessions.delete(place);
        this.#forget(session);
        this.#options.ended(session);
      },
    };
    const kept: ClientHello = { ...hello, random: Buffer.from(hello.random) };
    this.#handshakes.set(place, new DtlsSession(parts, kept, Buffer.from(body), suite, sequence, message));
    this.#handshakesOf.set(peer, (this.#handshakesOf.get(peer) ?? 0) + 1);
  }

  #leave(place: string, peer: string): void {
    if (!this.#handshakes.delete(place)) return;
    const left = (this.#handshakesOf.get(peer) ?? 1) - 1;
    if (left === 0) this.#handshakesOf.delete(peer);
    else this.#handshakesOf.set(peer, left);
  }

  /** The one that was silent longest goes: of the identity itself first, so that one device does not end those of others. */
  #makeRoom(identity: string): void {
    const own = this.#sessionsOf.get(identity);
    if (own !== undefined && own.size >= limits.dtlsSessionsPerIdentityMax)
      silentLongest(own)?.close(alerts.closeNotify, 'the device has too many sessions');
    if (this.#sessions.size < limits.dtlsSessionsMax) return;
    silentLongest(this.#sessions.values())?.close(alerts.closeNotify, 'there are too many sessions');
  }

  #forget(session: DtlsSession): void {
    const { identity = '' } = session.proved ?? {};
    const own = this.#sessionsOf.get(identity);
    own?.delete(session);
    if (own?.size === 0) this.#sessionsOf.delete(identity);
  }

  #secret(): Buffer {
    const now = this.#options.clock.monotonic();
    if (now - this.#secretAt > limits.dtlsCookieMs) {
      this.#secrets = [randomBytes(32), this.#secrets[0]];
      this.#secretAt = now;
    }
    return this.#secrets[0];
  }

  /** Bound to the address and to what the client repeats (RFC 6347 section 4.2.1). */
  #cookie(secret: Buffer, hello: ClientHello, place: string): Buffer {
    const suiteList = Uint16Array.from(hello.suites);
    const hash = createHmac('sha256', secret).update(place).update('\0').update(hello.random).update(suiteList);
    return hash.digest().subarray(0, COOKIE_BYTES);
  }

  #hasCookie(hello: ClientHello, place: string): boolean {
    if (hello.cookie.length !== COOKIE_BYTES) return false;
    this.#secret();
    return this.#secrets.some((secret) => timingSafeEqual(this.#cookie(secret, hello, place), hello.cookie));
  }
}

const isClientHello = ({ type, epoch, fragment }: DtlsRecord): boolean =>
  type === contentTypes.handshake && epoch === 0 && fragment[0] === handshakeTypes.clientHello;

function silentLongest(sessions: Iterable<DtlsSession>): DtlsSession | undefined {
  let found: DtlsSession | undefined;
  for (const session of sessions) if (found === undefined || session.heardAt < found.heardAt) found = session;
  return found;
}
