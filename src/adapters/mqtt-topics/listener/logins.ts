/** User name and password of a CONNECT -> who speaks. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Proof } from '../../../gateway/index.ts';
import type { ListenSettings, UserSettings } from '../settings.ts';

/** A client that has shown a password of the operator's table, or what the hub is to judge. */
export type Login =
  | { readonly kind: 'user'; readonly user: UserSettings }
  | { readonly kind: 'proof'; readonly device: string; readonly proof: Proof };

export interface Shown {
  readonly userName: string | undefined;
  readonly password: Buffer | undefined;
  readonly clientId: string;
  /** DER, leaf first. */
  readonly certificates: readonly Uint8Array[];
}

type Users = ReadonlyMap<string, { readonly user: UserSettings; readonly digest: Buffer }>;

const TOKEN = 'SharedAccessSignature ';

export class Logins {
  readonly #deviceKeys: boolean;
  readonly #users: Users;

  constructor({ deviceKeys, users }: ListenSettings) {
    this.#deviceKeys = deviceKeys;
    this.#users = new Map(users.map((user) => [user.name, { user, digest: digestOf(user) }]));
  }

  /** Undefined = refused. */
  judge({ userName, password, clientId, certificates }: Shown): Login | undefined {
    const known = userName === undefined ? undefined : this.#users.get(userName);
    if (known !== undefined) {
      return password !== undefined && timingSafeEqual(sha256(password), known.digest)
        ? { kind: 'user', user: known.user }
        : undefined;
    }
    const device = userName ?? clientId;
    if (device === '') return undefined;
    if (password === undefined) {
      return certificates.length === 0
        ? undefined
        : { kind: 'proof', device, proof: { kind: 'certificate', device, chain: certificates } };
    }
    if (!this.#deviceKeys) return undefined;
    const text = password.toString('utf8');
    const proof: Proof = text.startsWith(TOKEN)
      ? { kind: 'token', device, token: text }
      : { kind: 'key', device, key: text };
    return { kind: 'proof', device, proof };
  }
}

function digestOf({ password = '', passwordSha256 }: UserSettings): Buffer {
  return passwordSha256 === undefined ? sha256(Buffer.from(password)) : Buffer.from(passwordSha256, 'hex');
}

/** Both sides have one length, so that comparing them tells nothing. */
function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}
