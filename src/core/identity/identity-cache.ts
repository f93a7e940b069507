/**
 * Identities ready for authentication, so that known ones cost no store access. One per thread.
 *
 * Fed by the store's change feed, which tells of a change before the writer hears of it; so what the cache says is never
 * older than what anybody was told. An answer that was on its way while its identity changed is not kept, but asked for
 * again. "No such identity" is remembered too, apart from the rest so that guessed ids push out nobody, and is
 * forgotten when the feed tells of a creation.
 */
import { limits } from '../../base/limits.ts';
import { ownText } from '../../base/text.ts';
import { identityName } from './permissions.ts';
import type { IdentityChange, IdentityStore } from './ports.ts';
import type { AuthenticationType, Identity, IdentityAuthentication, IdentityKey } from './types.ts';

/** As much of an identity as it takes to let it in: there is one of these for each connection. */
export type KnownIdentity = Pick<Identity, 'deviceId' | 'moduleId' | 'generationId' | 'status'> &
  IdentityAuthentication;

interface Load {
  readonly answer: Promise<KnownIdentity | undefined>;
  stale: boolean;
}

/** Loads that one question may repeat because its identity changes under it; then the last answer is used unkept. */
const LOADS_MAX = 3;

export class IdentityCache {
  readonly #store: IdentityStore;
  readonly #sizeMax: number;
  readonly #known = new Map<string, KnownIdentity>();
  /**
   * Ids under which a client was refused: known not to exist, or existing and the first refusal has cost what it costs for one
   * that does not. They leave in one order: did one kind push out only its own, what is asked for again would tell the kind.
   */
  readonly #tried = new Map<string, 'missing' | 'existing'>();
  readonly #loads = new Map<string, Load>();
  readonly #unwatch: () => void;

  constructor(store: IdentityStore, sizeMax: number = limits.identityCacheMax) {
    this.#store = store;
    this.#sizeMax = sizeMax;
    this.#unwatch = store.watchOwnWrites((change) => this.#changed(change));
  }

  /** The identity at once if it is here; `null` = known not to exist; undefined = ask `load`. */
  peek(key: IdentityKey): KnownIdentity | null | undefined {
    const name = identityName(key);
    const identity = this.#known.get(name);
    if (identity === undefined) return this.#tried.get(name) === 'missing' ? null : undefined;
    this.#moveToEnd(identity);
    return identity;
  }

  /** The identity, from here or from the store; undefined = it does not exist. */
  async load(key: IdentityKey): Promise<KnownIdentity | undefined> {
    for (let attempt = 1; ; attempt++) {
      const here = this.peek(key);
      if (here !== undefined) return here ?? undefined;
      const load = this.#loading(key);
      const identity = await load.answer;
      if (!load.stale || attempt === LOADS_MAX) return identity;
    }
  }

  /**
   * A client was refused as this identity; `wasHere` = without asking the store. The first refusal of an id that does not exist has asked the
   * store; so the first one of an id that exists does so too, and time does not tell which ids exist.
   */
  async refused(key: IdentityKey, wasHere: boolean): Promise<void> {
    const name = identityName(key);
    if (this.#tried.has(name)) return;
    this.#try(name, 'existing');
    // What comes of it is nobody's: the answer is a refusal in any case.
    if (wasHere) await this.#store.get(key).catch(() => {});
  }

  /** Changes may have been missed: everything is asked for again. */
  forgetAll(): void {
    this.#known.clear();
    this.#tried.clear();
    for (const load of this.#loads.values()) load.stale = true;
  }

  close(): void {
    this.#unwatch();
  }

  /** Many connections that ask for the same identity share one access. */
  #loading(key: IdentityKey): Load {
    const name = identityName(key);
    const running = this.#loads.get(name);
    if (running !== undefined && !running.stale) return running;
    const load: Load = {
      answer: this.#store.get(key).then((identity) => this.#loaded(name, load, identity && known(identity))),
      stale: false,
    };
    this.#loads.set(name, load);
    // A failed access is its askers' to report; here only its place is cleared.
    load.answer.catch(() => this.#ended(name, load));
    return load;
  }

  /** Keeps the answer in the same step in which it stops to be on its way: no change can slip in between. */
  #loaded(name: string, load: Load, identity: KnownIdentity | undefined): KnownIdentity | undefined {
    this.#ended(name, load);
    if (!load.stale) this.#keep(name, identity);
    return identity;
  }

  #ended(name: string, load: Load): void {
    if (this.#loads.get(name) === load) this.#loads.delete(name);
  }

  /** What other nodes tell may come twice, and in another order than it was written in: it says only that there is something new. */
  #changed({ kind, identity, isElsewhere }: IdentityChange): void {
    const name = identityName(identity);
    const load = this.#loads.get(name);
    if (load !== undefined) load.stale = true;
    if (this.#tried.get(name) === 'missing') this.#tried.delete(name);
    if (kind === 'deleted' || isElsewhere === true) this.#known.delete(name);
    else if (this.#known.has(name)) this.#known.set(name, known(identity));
  }

  #keep(name: string, identity: KnownIdentity | undefined): void {
    if (identity === undefined) {
      this.#try(name, 'missing');
      return;
    }
    // Named by the store's texts: those of a peer may be parts of a longer one.
    const own = identityName(identity);
    if (!this.#known.has(own) && this.#known.size >= this.#sizeMax) this.#known.delete(first(this.#known.keys()));
    this.#known.set(own, identity);
  }

  #try(name: string, kind: 'missing' | 'existing'): void {
    const isKept = this.#tried.has(name);
    if (!isKept && this.#tried.size >= limits.unknownIdentityCacheMax) this.#tried.delete(first(this.#tried.keys()));
    this.#tried.set(isKept ? name : ownText(name), kind);
  }

  /** The first is the one to leave. While nobody has to for long, nothing moves: each move leaves a hole in the table. */
  #moveToEnd(identity: KnownIdentity): void {
    if (this.#known.size <= this.#sizeMax / 2) return;
    const own = identityName(identity);
    this.#known.delete(own);
    this.#known.set(own, identity);
  }
}

const types: Readonly<Record<AuthenticationType, AuthenticationType>> = {
  sas: 'sas',
  selfSigned: 'selfSigned',
  certificateAuthority: 'certificateAuthority',
  none: 'none',
};

/** Every object made here, and words that many share taken from here: a store's answer has a copy of each. */
function known({ deviceId, moduleId, generationId, status, authentication }: Identity): KnownIdentity {
  const { type, symmetricKey: keys, x509Thumbprint } = authentication;
  return {
    deviceId,
    moduleId,
    generationId,
    status: status === 'disabled' ? 'disabled' : 'enabled',
    type: types[type],
    symmetricKey: keys && { primaryKey: keys.primaryKey, secondaryKey: keys.secondaryKey },
    x509Thumbprint,
  };
}

function first(names: Iterable<string>): string {
  for (const name of names) return name;
  return '';
}
