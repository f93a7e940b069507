/**
 * Who a device behind an adapter is. What it has shown (key, token) is judged as at any door. What the adapter says it has seen
 * (certificate, pre-shared key, its own table) counts only for devices that the operator lets it speak for.
 */

import { signSas } from '../../api/sas.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import { identityName } from '../../core/identity/permissions.ts';
import type { DevicePrincipal, IdentityKey, PolicyPrincipal } from '../../core/identity/types.ts';
import { Bucket } from '../../core/throttling/bucket.ts';
import { certificateOf } from '../../protocols/shared/peer-certificate.ts';
import type { AdapterSettings } from '../config/adapter-settings.ts';
import type { CreatedCount } from './created-count.ts';
import type { SentProof } from './words.ts';

/** A token of a key that was shown is judged at once. */
const TOKEN_MS = 300_000;

export class Proofs {
  readonly #hub: Hub;
  readonly #settings: AdapterSettings;
  /** The adapter itself: it may speak for devices, where the settings say so. */
  readonly #adapter: PolicyPrincipal;
  readonly #creator: PolicyPrincipal;
  readonly #created: CreatedCount;
  readonly #rate: Bucket;
  /** Devices that are being made, and not in `#created` yet. */
  #making = 0;
  /** Devices whose shared keys it was given. */
  readonly #keysGiven = new Set<string>();

  constructor(hub: Hub, name: string, settings: AdapterSettings, created: CreatedCount) {
    this.#hub = hub;
    this.#settings = settings;
    this.#created = created;
    const common = {
      kind: 'policy',
      policyName: `adapter:${name}`,
      expiresAt: Number.POSITIVE_INFINITY,
      scope: [],
    } as const;
    this.#adapter = { ...common, permissions: new Set(['DeviceConnect']) };
    this.#creator = { ...common, permissions: new Set(['RegistryRead', 'RegistryWrite']) };
    this.#rate = new Bucket(limits.adapterCreatedPerSecond, 10 * limits.adapterCreatedPerSecond, hub.clock.monotonic());
  }

  /** @throws HubError */
  async judge(proof: SentProof, peer: string | undefined): Promise<DevicePrincipal> {
    const { authentication, hostNames } = this.#hub;
    const key = keyOf(proof.device);
    switch (proof.kind) {
      case 'token':
        return authentication.device(key, { kind: 'token', token: proof.token }, peer);
      case 'key': {
        const path = key.moduleId === undefined ? key.deviceId : `${key.deviceId}/modules/${key.moduleId}`;
        const expiresAt = this.#hub.clock.now() + TOKEN_MS;
        const token = await signSas({
          resource: `${hostNames.all[0]}/devices/${path}`,
          key: asKey(proof.key),
          expiresAt,
        });
        const principal = await authentication.device(key, { kind: 'token', token }, peer);
        // The key has no end; when it is replaced, the connection ends.
        return { ...principal, expiresAt: Number.POSITIVE_INFINITY };
      }
      case 'certificate': {
        this.#demand(this.#settings.certificatesOf, key, 'certificatesOf');
        const certificate = certificateOf(proof.chain.map((text) => Buffer.from(text, 'base64')));
        return authentication.device(key, certificate && { kind: 'certificate', certificate }, peer);
      }
      case 'psk': {
        if (!this.#keysGiven.has(identityName(key))) throw refused('no-shared-key-given');
        return this.#spokenFor(key);
      }
      case 'vouched':
        this.#demand(this.#settings.vouchFor, key, 'vouchFor');
        return this.#madeOnSight(key);
    }
  }

  /** @throws HubError */
  async sharedKey(device: string): Promise<Uint8Array | undefined> {
    const key = keyOf(device);
    this.#demand(this.#settings.sharedKeysOf, key, 'sharedKeysOf');
    const derived = await this.#hub.registry.deriveSharedKey(this.#adapter, key);
    const name = identityName(key);
    if (derived === undefined) this.#keysGiven.delete(name);
    else if (this.#keysGiven.size < limits.adapterSessionsMax) this.#keysGiven.add(name);
    return derived;
  }

  #spokenFor(key: IdentityKey): Promise<DevicePrincipal> {
    return this.#hub.authentication.spokenFor(this.#adapter, key);
  }

  async #madeOnSight(key: IdentityKey): Promise<DevicePrincipal> {
    const { create } = this.#settings;
    if (create === undefined || key.moduleId !== undefined || (await this.#exists(key))) return this.#spokenFor(key);
    const { max } = create;
    const current = this.#created.count + this.#making;
    if (current >= max) {
      const limit = { name: 'create.max', scope: this.#adapter.policyName, current, max };
      const text = 'The adapter has made as many devices as it may.';
      throw new HubError('IotHubQuotaExceeded', text, { reason: 'create.max', limit });
    }
    if (this.#rate.take(1, this.#hub.clock.monotonic()) > 0) {
      throw new HubError('ThrottlingException', 'The adapter makes devices faster than it may.');
    }
    this.#making++;
    try {
      // Nothing but this adapter's word lets it in.
      await this.#hub.registry.put(this.#creator, { ...key, authentication: { type: 'none' } });
      this.#created.add();
    } catch (failure) {
      if (!(failure instanceof HubError) || failure.code !== 'DeviceAlreadyExists') throw failure;
    } finally {
      this.#making--;
    }
    return this.#spokenFor(key);
  }

  /** Asked of the registry, not of the authentication, which tells of whom it does not know. */
  async #exists(key: IdentityKey): Promise<boolean> {
    try {
      await this.#hub.registry.get(this.#creator, key);
      return true;
    } catch (error) {
      if (error instanceof HubError && error.code === 'DeviceNotFound') return false;
      throw error;
    }
  }

  #demand(patterns: readonly string[], { deviceId }: IdentityKey, setting: string): void {
    const isMeant = (pattern: string): boolean =>
      pattern.endsWith('*') ? deviceId.startsWith(pattern.slice(0, -1)) : deviceId === pattern;
    if (!patterns.some(isMeant)) throw refused(`not-in-${setting}`);
  }
}

/** What is no key is judged like a wrong one, and costs the same. */
function asKey(text: unknown): string {
  const bytes = typeof text === 'string' && text.length <= 2 * limits.keyBytesMax ? Buffer.from(text, 'base64') : [];
  return bytes.length >= limits.keyBytesMin && bytes.toString('base64') === text ? text : NO_KEY;
}

const NO_KEY = Buffer.alloc(32, 0xee).toString('base64');

function refused(reason: string): HubError {
  return new HubError('IotHubUnauthorized', undefined, { reason });
}

/** @throws HubError IotHubUnauthorized */
function keyOf(device: unknown): IdentityKey {
  const [deviceId, moduleId, ...rest] = typeof device === 'string' ? device.split('/') : [''];
  if (deviceId === '' || moduleId === '' || rest.length > 0) throw refused('unknown-identity');
  return moduleId === undefined ? { deviceId } : { deviceId, moduleId };
}
