/**
 * The authority behind the hub's own certificate, and its replacement in stages: a new one is made and offered beside the
 * current one, clients take both, and only then the certificate is signed by the new one. No connection ends by it.
 */
export interface ServerAuthority {
  status(): ServerAuthorityStatus;
  /** Makes a new authority and offers both; the offered one stays when there is one already. */
  offer(): Promise<ServerAuthorityStatus>;
  /** Signs the hub's certificate by the offered authority, which takes the current one's place. */
  switchOver(): Promise<ServerAuthorityStatus>;
  /** Takes the offer back. */
  withdraw(): Promise<ServerAuthorityStatus>;
}

export interface ServerAuthorityStatus {
  readonly current: AuthorityFacts;
  readonly offered: (AuthorityFacts & { readonly since: number }) | undefined;
  /** What clients are to trust now: one certificate, or both. PEM. */
  readonly bundle: string;
}

export interface AuthorityFacts {
  readonly subject: string;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
  /** UTC milliseconds. */
  readonly validTo: number;
}
