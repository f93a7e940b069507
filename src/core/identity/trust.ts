/**
 * The registered authorities, read and ready for authentication. Few and small, so all of them are held; the store's
 * change feed keeps them right: one that is removed lets nobody in from the moment its deletion is durable.
 */
import { limits } from '../../base/limits.ts';
import { type CertificateFacts, readCertificate } from './certificate.ts';
import { type ChainResult, findChain, type TrustAnchor } from './chain.ts';
import type { AuthorityStore } from './ports.ts';

export class Trust {
  readonly #store: AuthorityStore;
  #anchors = new Map<string, TrustAnchor>();
  /** By thumbprint, of those that have been part of a good chain. */
  readonly #intermediates = new Map<string, { readonly certificate: CertificateFacts; readonly authority: string }>();
  #loading: Promise<void> | undefined;
  /** Counts changes: what was on its way from the store meanwhile is asked for again. */
  #changes = 0;

  constructor(store: AuthorityStore) {
    this.#store = store;
    store.watchOwnWrites(({ kind, authority, isElsewhere }) => {
      this.#changes++;
      if (kind === 'deleted') this.#remove(authority.thumbprint);
      // What other nodes tell may come twice, and behind what was written later: the store is asked.
      else if (isElsewhere === true) this.#loading = undefined;
      else this.#add(authority.certificate, authority.verified);
    });
  }

  /** Whether the authority with this thumbprint lets its devices in now. Answers without the store, once `ready`. */
  isTrusted(thumbprint: string): boolean {
    return this.#anchors.get(thumbprint)?.verified === true;
  }

  /**
   * Judges a client's certificates, leaf first. What a good chain has taught is kept for the connections that carry the
   * leaf alone.
   */
  async judge(chain: readonly Uint8Array[], now: number, clockSkewMs: number): Promise<ChainResult> {
    await this.ready();
    const [leaf, ...others] = chain.slice(0, 1 + limits.certificateIntermediatesMax).map(readCertificate);
    if (leaf === undefined) return { kind: 'refused', check: 'wrong-certificate' };
    const came = others.filter((certificate) => certificate !== undefined);
    const kept = [...this.#intermediates.values()].map(({ certificate }) => certificate);
    const result = findChain({
      leaf,
      intermediates: [...came, ...kept],
      anchors: [...this.#anchors.values()],
      now,
      clockSkewMs,
    });
    if (result.kind === 'found') this.#learn(result.anchor.certificate.thumbprint, result.intermediates);
    return result;
  }

  /** Resolves when what is in the store is here. */
  ready(): Promise<void> {
    this.#loading ??= this.#load().catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    });
    return this.#loading;
  }

  /** Changes may have been missed: nobody is trusted until the store has been asked again. */
  forgetAll(): void {
    this.#changes++;
    this.#anchors.clear();
    this.#intermediates.clear();
    this.#loading = undefined;
  }

  async #load(): Promise<void> {
    for (;;) {
      const before = this.#changes;
      const [authorities, kept] = await Promise.all([this.#store.list(), this.#store.intermediates()]);
      if (this.#changes !== before) continue;
      this.#anchors.clear();
      for (const { certificate, verified } of authorities) this.#add(certificate, verified);
      for (const { authority, certificate } of kept) {
        const read = readCertificate(Buffer.from(certificate, 'base64'));
        if (read !== undefined) this.#keep(authority, read);
      }
      return;
    }
  }

  #add(base64: string, verified: boolean): void {
    const certificate = readCertificate(Buffer.from(base64, 'base64'));
    if (certificate !== undefined) this.#anchors.set(certificate.thumbprint, { certificate, verified });
  }

  #remove(thumbprint: string): void {
    this.#anchors.delete(thumbprint);
    for (const [name, { authority }] of this.#intermediates) {
      if (authority === thumbprint) this.#intermediates.delete(name);
    }
  }

  #learn(authority: string, intermediates: readonly CertificateFacts[]): void {
    for (const certificate of intermediates) {
      const { thumbprint, der } = certificate;
      if (this.#intermediates.has(thumbprint)) continue;
      this.#keep(authority, certificate);
      const kept = { authority, thumbprint, certificate: Buffer.from(der).toString('base64') };
      // Not awaited: the connection does not depend on it, and one that is lost comes again with a full handshake.
      this.#store.keepIntermediate(kept, limits.intermediatesKeptMax).catch(() => {});
    }
  }

  #keep(authority: string, certificate: CertificateFacts): void {
    for (const oldest of this.#intermediates.keys()) {
      if (this.#intermediates.size < limits.intermediatesKeptMax) break;
      this.#intermediates.delete(oldest);
    }
    this.#intermediates.set(certificate.thumbprint, { certificate, authority });
  }
}
