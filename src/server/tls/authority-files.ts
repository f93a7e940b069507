/**
 * The private authority in the folder `tls`, and its roll-over. Every state that a crash can leave is one of these, and is
 * put right by `repair`:
 *
 *     ca.pem, ca-key.pem                                   settled
 *     … and ca-next-key.pem, ca-next.json                  an offer that was not finished: nobody has seen it
 *     … and ca-next.pem                                    offered; ca.pem holds the current one, then the next one
 *     ca.pem begins with the next one                      switched: what is called `next` becomes the current one
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { AuthorityFacts, ServerAuthorityStatus } from '../../protocols/shared/server-authority.ts';
import { writeFileDurably } from '../data/data-folder.ts';
import type { PemPair } from './certificates.ts';

export class AuthorityFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  get caFile(): string {
    return this.#file('ca.pem');
  }

  get keyFile(): string {
    return this.#file('ca-key.pem');
  }

  get exists(): boolean {
    return existsSync(this.caFile);
  }

  /** The key first: where the certificate is, its key is too, wherever a crash cut in. */
  create(pair: PemPair): void {
    writeFileDurably(this.keyFile, pair.key);
    writeFileDurably(this.caFile, pair.cert);
  }

  /** Finishes what a crash has interrupted. */
  repair(): void {
    const next = this.#next();
    const [current, ...others] = this.bundle();
    if (next === undefined) {
      if (others.length > 0) writeFileDurably(this.caFile, current);
      this.#removeNext();
      return;
    }
    if (isSame(current, next)) this.#promote(next);
    else if (!others.some((other) => isSame(other, next))) writeFileDurably(this.caFile, current + next);
  }

  /** Certificates that clients are to trust, the current one first. */
  bundle(): readonly string[] {
    return certificatesOf(readFileSync(this.caFile, 'utf8'));
  }

  current(): string {
    return this.bundle()[0];
  }

  /** The current authority with its key; undefined when the key is missing or another's. */
  pair(): PemPair | undefined {
    if (!existsSync(this.keyFile)) return undefined;
    const pair = { cert: this.current(), key: readFileSync(this.keyFile, 'utf8') };
    return fits(pair) ? pair : undefined;
  }

  status(): ServerAuthorityStatus {
    const next = this.#next();
    const offered = next === undefined ? undefined : { ...factsOf(next), since: this.#offeredTime() };
    return { current: factsOf(this.current()), offered, bundle: this.bundle().join('') };
  }

  /** @param now UTC milliseconds */
  offer(pair: PemPair, now: number): void {
    writeFileDurably(this.#file('ca-next-key.pem'), pair.key);
    writeFileDurably(this.#file('ca-next.json'), `${JSON.stringify({ offeredTime: now })}\n`);
    writeFileDurably(this.#file('ca-next.pem'), pair.cert);
    this.repair();
  }

  switchOver(): void {
    const next = this.#next();
    if (next === undefined) return;
    // From this write on the next one is the current one.
    writeFileDurably(this.caFile, next);
    this.#promote(next);
  }

  withdraw(): void {
    rmSync(this.#file('ca-next.pem'), { force: true });
    writeFileDurably(this.caFile, this.current());
    this.#removeNext();
  }

  #file(name: string): string {
    return path.join(this.#folder, name);
  }

  #next(): string | undefined {
    const file = this.#file('ca-next.pem');
    return existsSync(file) ? certificatesOf(readFileSync(file, 'utf8'))[0] : undefined;
  }

  #offeredTime(): number {
    return Number(JSON.parse(readFileSync(this.#file('ca-next.json'), 'utf8')).offeredTime);
  }

  #promote(next: string): void {
    const nextKey = this.#file('ca-next-key.pem');
    if (existsSync(nextKey)) writeFileDurably(this.keyFile, readFileSync(nextKey, 'utf8'));
    if (this.current() !== next) writeFileDurably(this.caFile, next);
    rmSync(this.#file('ca-next.pem'), { force: true });
    this.#removeNext();
  }

  #removeNext(): void {
    for (const name of ['ca-next-key.pem', 'ca-next.json']) rmSync(this.#file(name), { force: true });
  }
}

export function fits(pair: PemPair): boolean {
  try {
    return new X509Certificate(pair.cert).checkPrivateKey(createPrivateKey(pair.key));
  } catch {
    return false;
  }
}

/** The certificates of a PEM text, each with a line end. */
export function certificatesOf(text: string): readonly string[] {
  const found = text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  return found.map((pem) => `${pem}\n`);
}

function isSame(a: string, b: string): boolean {
  return new X509Certificate(a).fingerprint256 === new X509Certificate(b).fingerprint256;
}

function factsOf(pem: string): AuthorityFacts {
  const certificate = new X509Certificate(pem);
  return {
    subject: certificate.subject.split('\n').join(', '),
    sha256: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    validTo: certificate.validToDate.getTime(),
  };
}
