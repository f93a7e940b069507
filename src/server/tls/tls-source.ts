/**
 * The certificates that the doors show: the hub's own, made and renewed here, or the operator's files (`own-tls.ts`). Either
 * can change while the hub runs; doors hear of it by `watch`, new connections get the new ones, open ones stay.
 */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import type { TlsIdentity, TlsSource } from '../../protocols/shared/listener.ts';
import type { ServerAuthority } from '../../protocols/shared/server-authority.ts';
import { AuthorityFiles, fits } from './authority-files.ts';
import { type PemPair, type ServerKeyKind, type SubjectName, serverKeyKinds } from './certificates.ts';
import { isCurrent, readPairIfThere, TlsError, writePair } from './tls-pairs.ts';

const DAY_MS = 86_400_000;
const checkEveryMs = DAY_MS / 2;

export interface ServerTls extends TlsSource {
  /** What clients must trust, or undefined where the operator's certificate comes from elsewhere. */
  readonly caFile: string | undefined;
  /** DNS names and addresses of the certificate. */
  readonly names: readonly string[];
  /** The private authority and its roll-over; undefined where the certificate is the operator's. */
  readonly authority: ServerAuthority | undefined;
  /** Why the certificate could not be read or renewed the last time; undefined = it could. */
  problem(): string | undefined;
  /** What clients will miss in the operator's chain of certificates; undefined = nothing that can be seen from here. */
  chainProblem(): string | undefined;
  /** Looks at files and dates now: for SIGHUP. */
  reload(): Promise<void>;
  close(): void;
}

interface Parts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * The private authority's certificates for `names`, in `folder` (made when missing): `ca.pem`, `ca-key.pem`
 * (and `ca-next…` while another one is offered), `server.pem`, `server-key.pem` (ECDSA), `server-rsa.pem`,
 * `server-rsa-key.pem`.
 * @throws TlsError
 */
export async function openPrivateTls(
  folder: string,
  hubName: string,
  names: readonly SubjectName[],
  { clock, random, log }: Parts,
): Promise<ServerTls> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = (name: string): string => path.join(folder, name);
  const newAuthority = async (): Promise<PemPair> => {
    const { makeAuthority } = await import('./certificates.ts');
    return makeAuthority(hubName, clock.now(), random);
  };

  const authority = new AuthorityFiles(folder);
  // An authority whose certificate is there is never replaced unasked: every device that trusts it would be locked out.
  if (authority.exists) authority.repair();
  else authority.create(await newAuthority());
  const server = async (kind: ServerKeyKind): Promise<PemPair> => {
    const name = kind === 'rsa' ? 'server-rsa' : 'server';
    const [certFile, keyFile] = [file(`${name}.pem`), file(`${name}-key.pem`)];
    const kept = readPairIfThere(certFile, keyFile);
    if (kept !== undefined && fits(kept) && isCurrent(kept.cert, authority.current(), names, clock.now())) return kept;
    const { makeServerCertificate } = await import('./certificates.ts');
    const made = await makeServerCertificate(pairOf(authority), names, clock.now(), random, kind);
    writePair(certFile, keyFile, made);
    const facts = { kind, names: names.map(({ value }) => value), again: kept !== undefined };
    log.info(facts, 'a server certificate was made');
    return made;
  };
  const servers = () => Promise.all(serverKeyKinds.map(server));

  const source = new SwappableSource(await servers());
  let problem: string | undefined;
  const reload = async (): Promise<void> => {
    try {
      source.swap(await servers());
      problem = undefined;
    } catch (error) {
      problem = (error as Error).message;
      throw error;
    }
  };
  let cancel = (): void => {};
  const plan = (): void => {
    cancel = clock.after(checkEveryMs, () => {
      reload().catch((error: Error) => log.error({ error: error.message }, 'the certificate could not be renewed'));
      plan();
    });
  };
  plan();
  return {
    caFile: authority.caFile,
    names: names.map(({ value }) => value),
    authority: {
      status: () => authority.status(),
      async offer() {
        if (authority.status().offered === undefined) authority.offer(await newAuthority(), clock.now());
        log.info({ offered: authority.status().offered?.sha256 }, 'a new authority is offered beside the current one');
        return authority.status();
      },
      async switchOver() {
        authority.switchOver();
        await reload();
        log.info({ current: authority.status().current.sha256 }, 'the certificate is signed by the new authority');
        return authority.status();
      },
      async withdraw() {
        authority.withdraw();
        return authority.status();
      },
    },
    current: () => source.current(),
    watch: (listener) => source.watch(listener),
    problem: () => problem,
    chainProblem: () => undefined,
    reload,
    close: () => cancel(),
  };
}

export class SwappableSource implements TlsSource {
  #pairs: readonly PemPair[];
  readonly #listeners = new Set<() => void>();

  /** @param pairs the preferred kind of key first */
  constructor(pairs: readonly PemPair[]) {
    this.#pairs = pairs;
  }

  current(): TlsIdentity {
    return { cert: this.#pairs.map(({ cert }) => cert), key: this.#pairs.map(({ key }) => key) };
  }

  watch(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Whether they differed. */
  swap(pairs: readonly PemPair[]): boolean {
    const isSame = (pair: PemPair, at: number): boolean =>
      pair.cert === this.#pairs[at]?.cert && pair.key === this.#pairs[at].key;
    if (pairs.length === this.#pairs.length && pairs.every(isSame)) return false;
    this.#pairs = pairs;
    for (const listener of this.#listeners) listener();
    return true;
  }
}

function pairOf(authority: AuthorityFiles): PemPair {
  const pair = authority.pair();
  if (pair !== undefined) return pair;
  throw new TlsError(
    `A server certificate must be made, and ${authority.keyFile} is missing or is not the key of ${authority.caFile}. ` +
      'Put the key back; or remove both files to begin a new authority, which every device must then be told to trust.',
  );
}
