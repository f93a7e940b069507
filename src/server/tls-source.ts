/**
 * The certificate that the doors show: the hub's own, made and renewed here, or the operator's files. Either can change
 * while the hub runs; doors hear of it by `watch`, new connections get the new one, open ones stay.
 */
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, unwatchFile, watchFile } from 'node:fs';
import path from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Random } from '../base/random.ts';
import type { TlsSource } from '../protocols/shared/listener.ts';
import type { ServerAuthority } from '../protocols/shared/server-authority.ts';
import { AuthorityFiles, fits } from './authority-files.ts';
import type { PemPair, SubjectName } from './certificates.ts';
import { writeFileDurably } from './data-folder.ts';

const DAY_MS = 86_400_000;
/** A certificate of ours is made anew when less than this is left. */
const renewalMs = 30 * DAY_MS;
const checkEveryMs = DAY_MS / 2;
/** Files are compared this often by their times, which also works where a file is a link that is switched. */
const watchEveryMs = 2000;

export interface ServerTls extends TlsSource {
  /** What clients must trust, or undefined where the operator's certificate comes from elsewhere. */
  readonly caFile: string | undefined;
  /** DNS names and addresses of the certificate. */
  readonly names: readonly string[];
  /** The private authority and its roll-over; undefined where the certificate is the operator's. */
  readonly authority: ServerAuthority | undefined;
  /** Why the certificate could not be read or made anew the last time; undefined = it could. */
  problem(): string | undefined;
  /** Looks at files and dates now: for SIGHUP. */
  reload(): Promise<void>;
  close(): void;
}

/** A certificate that cannot be used; the message says which file and what to do. */
export class TlsError extends Error {
  override readonly name = 'TlsError';
}

interface Parts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * The private authority's certificate for `names`, in `folder` (made when missing): `ca.pem`, `ca-key.pem`
 * (and `ca-next…` while another one is offered), `server.pem`, `server-key.pem`.
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
  const server = async (): Promise<PemPair> => {
    const kept = readPairIfThere(file('server.pem'), file('server-key.pem'));
    if (kept !== undefined && fits(kept) && isCurrent(kept.cert, authority.current(), names, clock.now())) return kept;
    const { makeServerCertificate } = await import('./certificates.ts');
    const made = await makeServerCertificate(pairOf(authority), names, clock.now(), random);
    writePair(file('server.pem'), file('server-key.pem'), made);
    log.info({ names: names.map(({ value }) => value), again: kept !== undefined }, 'a server certificate was made');
    return made;
  };

  const source = new SwappableSource(await server());
  let problem: string | undefined;
  const reload = async (): Promise<void> => {
    try {
      source.swap(await server());
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
    reload,
    close: () => cancel(),
  };
}

/**
 * The operator's own files. A change that cannot be used is logged, and the last good certificate stays.
 * @throws TlsError
 */
export function openOwnTls(certFile: string, keyFile: string, { log }: Pick<Parts, 'log'>): ServerTls {
  const source = new SwappableSource(readOwnPair(certFile, keyFile));
  let problem: string | undefined;
  const look = (): void => {
    try {
      if (source.swap(readOwnPair(certFile, keyFile))) log.info({ certFile }, 'the certificate was read again');
      problem = undefined;
    } catch (error) {
      problem = (error as Error).message;
      log.error({ certFile, error: (error as Error).message }, 'the new certificate is not used');
    }
  };
  for (const file of [certFile, keyFile]) watchFile(file, { interval: watchEveryMs, persistent: false }, look);
  return {
    caFile: undefined,
    authority: undefined,
    names: namesOf(new X509Certificate(source.current().cert)),
    current: () => source.current(),
    watch: (listener) => source.watch(listener),
    problem: () => problem,
    reload: async () => look(),
    close: () => {
      for (const file of [certFile, keyFile]) unwatchFile(file, look);
    },
  };
}

class SwappableSource implements TlsSource {
  #pair: PemPair;
  readonly #listeners = new Set<() => void>();

  constructor(pair: PemPair) {
    this.#pair = pair;
  }

  current(): PemPair {
    return this.#pair;
  }

  watch(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Whether it differed. */
  swap(pair: PemPair): boolean {
    if (pair.cert === this.#pair.cert && pair.key === this.#pair.key) return false;
    this.#pair = pair;
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

/** The key first: where the certificate is, its key is too, wherever a crash cut in. */
function writePair(certFile: string, keyFile: string, pair: PemPair): void {
  writeFileDurably(keyFile, pair.key);
  writeFileDurably(certFile, pair.cert);
}

function readPairIfThere(certFile: string, keyFile: string): PemPair | undefined {
  return existsSync(certFile) && existsSync(keyFile) ? readPair(certFile, keyFile) : undefined;
}

/** Whether a server certificate still has these names, this authority, and time left. */
function isCurrent(cert: string, authority: string, names: readonly SubjectName[], now: number): boolean {
  const certificate = new X509Certificate(cert);
  const issuer = new X509Certificate(authority);
  const has = new Set(namesOf(certificate));
  return (
    certificate.checkIssued(issuer) &&
    certificate.verify(issuer.publicKey) &&
    Date.parse(certificate.validTo) - now > renewalMs &&
    Date.parse(certificate.validFrom) <= now &&
    has.size === names.length &&
    names.every(({ value }) => has.has(comparable(value)))
  );
}

/** Names as `subjectAltName` shows them: `DNS:localhost, IP Address:127.0.0.1`. */
function namesOf(certificate: X509Certificate): readonly string[] {
  return [...(certificate.subjectAltName ?? '').matchAll(/(?:DNS|IP Address):([^,\s]+)/g)].map((match) =>
    comparable(match[1]),
  );
}

/** IPv6 addresses have several spellings; the URL parser knows the shortest one. */
function comparable(name: string): string {
  return name.includes(':') ? new URL(`http://[${name}]`).hostname.slice(1, -1) : name.toLowerCase();
}

function readOwnPair(certFile: string, keyFile: string): PemPair {
  const pair = readPair(certFile, keyFile);
  if (fits(pair)) return pair;
  throw new TlsError(
    `tlsCertFile ${certFile} and tlsKeyFile ${keyFile} do not belong together or are not PEM. ` +
      'Give the certificate with its chain, and the private key that was made for it, without a password.',
  );
}

function readPair(certFile: string, keyFile: string): PemPair {
  try {
    return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
  } catch (error) {
    throw new TlsError(`The certificate cannot be read (${(error as Error).message}). Check the path and the rights.`, {
      cause: error,
    });
  }
}
