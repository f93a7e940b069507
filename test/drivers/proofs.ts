/** Identities and policies in memory, and tokens for them as each SDK writes them. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { VirtualClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/random.ts';
import { HubError } from '../../src/core/errors.ts';
import { type Authentication, createAuthentication } from '../../src/core/identity/authentication.ts';
import { hostNames } from '../../src/core/identity/host-names.ts';
import { IdentityCache } from '../../src/core/identity/identity-cache.ts';
import { ensurePolicies } from '../../src/core/identity/policies.ts';
import type { IdentityStore } from '../../src/core/identity/ports.ts';
import type { IdentityDraft } from '../../src/core/identity/registry-room.ts';
import { buildIdentity } from '../../src/core/identity/rules.ts';
import { Trust } from '../../src/core/identity/trust.ts';
import type { AuthenticationCheck, Identity, IdentityKey, Policy } from '../../src/core/identity/types.ts';
import { createMemoryAuthorityStore } from '../../src/stores/memory/authorities.ts';
import { createMemoryIdentityStore } from '../../src/stores/memory/identities.ts';
import { createMemoryPolicyStore } from '../../src/stores/memory/policies.ts';

const names = hostNames('myhub', ['myhub.example', 'localhost', '127.0.0.1']);

export interface House {
  readonly authentication: Authentication;
  readonly store: IdentityStore;
  readonly clock: VirtualClock;
  readonly policy: (name: string) => Policy;
  readonly add: (draft: IdentityDraft) => Promise<Identity>;
}

export async function house(): Promise<House> {
  const random = seededRandom(1);
  const clock = new VirtualClock();
  const store = createMemoryIdentityStore();
  const policies = await ensurePolicies(createMemoryPolicyStore(), {}, random);
  const identities = new IdentityCache(store);
  return {
    authentication: createAuthentication({
      identities,
      trust: new Trust(createMemoryAuthorityStore()),
      policies,
      hostNames: names,
      clock,
    }),
    store,
    clock,
    policy: (name) => policies.find((policy) => policy.name === name)!,
    async add(draft) {
      const identity = buildIdentity(draft, random, 0);
      const [outcome] = await store.write([{ kind: 'create', identity, countMax: 10 }]);
      assert.equal(outcome.kind, 'done');
      return identity;
    },
  };
}

export const sign = (key: Buffer | string, text: string): string =>
  createHmac('sha256', key).update(text).digest('base64');
export const decoded = (key: string): Buffer => Buffer.from(key, 'base64');
export const primary = (identity: Identity): string => identity.authentication.symmetricKey!.primaryKey;
const lowerEscapes = (text: string): string => text.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
export const python = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
/** Node leaves nothing unencoded either, but writes the escapes of `!'()*` in lower case. */
export const node = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16)}`);

/** How each SDK writes `sr` and orders its fields (the table of device reference 1.5). */
export const sdks: Readonly<
  Record<string, { sr: (host: string, key: IdentityKey) => string; order: string; encode: (sig: string) => string }>
> = {
  Node: { sr: (host, key) => node(plain(host, key, (id) => id)), order: 'sr sig skn se', encode: node },
  Python: { sr: (host, key) => python(plain(host, key, (id) => id)), order: 'sr sig se skn', encode: python },
  C: { sr: (host, key) => plain(host, key, (id) => id), order: 'sr sig se skn', encode: lowerEscapesOf(python) },
  Java: { sr: (host, key) => plain(host, key, python), order: 'sig se sr', encode: python },
  'C#': { sr: (host, key) => python(plain(host, key, python)), order: 'sr sig se skn', encode: python },
  CLI: {
    sr: (host, key) => lowerEscapes(python(plain(host, key, (id) => id))),
    order: 'sr sig se skn',
    encode: lowerEscapesOf(python),
  },
};

function lowerEscapesOf(encode: (text: string) => string): (text: string) => string {
  return (text) => lowerEscapes(encode(text));
}

function plain(host: string, { deviceId, moduleId }: IdentityKey, id: (id: string) => string): string {
  return `${host}/devices/${id(deviceId)}${moduleId === undefined ? '' : `/modules/${id(moduleId)}`}`;
}

export function token(sr: string, seconds: number, key: Buffer | string, skn?: string, sdk = sdks.Python): string {
  const fields: Record<string, string | undefined> = {
    sr,
    sig: sdk.encode(sign(key, `${sr}\n${seconds}`)),
    se: String(seconds),
    skn,
  };
  const pairs = sdk.order.split(' ').filter((name) => fields[name] !== undefined);
  if (skn !== undefined && !pairs.includes('skn')) pairs.push('skn');
  return `SharedAccessSignature ${pairs.map((name) => `${name}=${fields[name]}`).join('&')}`;
}

export const inAnHour = (clock: VirtualClock): number => Math.floor(clock.now() / 1000) + 3600;

export async function refusedFor(reason: AuthenticationCheck, attempt: Promise<unknown>): Promise<void> {
  await assert.rejects(attempt, (error: unknown) => {
    assert.ok(error instanceof HubError);
    assert.equal(error.code, 'IotHubUnauthorized');
    assert.equal(error.message, new HubError('IotHubUnauthorized').message);
    assert.equal(error.reason, reason);
    return true;
  });
}
