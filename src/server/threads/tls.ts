import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';
import type { TlsIdentity, TlsSource } from '../../protocols/shared/listener.ts';
import type { ThreadLink } from './calls.ts';

/** `TlsIdentity` as it crosses: a buffer arrives as plain bytes. */
export type SentTls = Omit<TlsIdentity, 'ticketKeys'> & { readonly ticketKeys: Uint8Array };

const TICKET_KEYS_BYTES = 48;

/**
 * The certificate with ticket keys of the hub's own, the same for all threads: a client resumes its session on whichever
 * thread it meets. The keys change once a day, because an attacker who learns them can read what was said under them; a
 * session from before is then not resumed, and the client says who it is in a full handshake.
 */
export class SharedTls implements TlsSource {
  readonly #inner: TlsSource;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #listeners = new Set<{ readonly call: () => void }>();
  readonly #unwatch: () => void;
  #ticketKeys: Buffer;
  #cancel: Cancel = () => {};

  constructor(inner: TlsSource, { clock, random }: { readonly clock: Clock; readonly random: Random }) {
    this.#inner = inner;
    this.#clock = clock;
    this.#random = random;
    this.#ticketKeys = random.bytes(TICKET_KEYS_BYTES);
    this.#unwatch = inner.watch(() => this.#tell());
    this.#plan();
  }

  current(): TlsIdentity & { readonly ticketKeys: Buffer } {
    return { ...this.#inner.current(), ticketKeys: this.#ticketKeys };
  }

  watch(listener: () => void): () => void {
    const entry = { call: listener };
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  /** Keeps one thread informed; the returned function ends it. */
  serve(link: ThreadLink): () => void {
    return this.watch(() => link.tell('tls', this.current() satisfies SentTls));
  }

  close(): void {
    this.#cancel();
    this.#unwatch();
  }

  #plan(): void {
    this.#cancel = this.#clock.after(limits.ticketKeysMs, () => {
      this.#ticketKeys = this.#random.bytes(TICKET_KEYS_BYTES);
      this.#tell();
      this.#plan();
    });
  }

  #tell(): void {
    for (const { call } of this.#listeners) call();
  }
}

/** The same as a listener thread sees it. */
export function tlsStandIn(link: ThreadLink, start: SentTls): TlsSource {
  let current = start;
  const listeners = new Set<{ readonly call: () => void }>();
  link.on('tls', (now: SentTls) => {
    current = now;
    for (const { call } of listeners) call();
  });
  return {
    current: () => ({ ...current, ticketKeys: Buffer.from(current.ticketKeys) }),
    watch(listener) {
      const entry = { call: listener };
      listeners.add(entry);
      return () => listeners.delete(entry);
    },
  };
}
