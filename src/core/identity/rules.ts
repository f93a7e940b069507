import { limits } from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';
import { HubError } from '../errors.ts';
import { scopesFor } from './edge-scopes.ts';
import type { IdentityDraft } from './registry-room.ts';
import type {
  AuthenticationType,
  Identity,
  IdentityAuthentication,
  IdentityKey,
  IdentityStatus,
  SymmetricKeys,
  Thumbprints,
} from './types.ts';

/** What an identity may look like (service reference 2.3, device reference 5.2). Pure; refusals are `ArgumentInvalid`. */

const ID = new RegExp(`^[A-Za-z0-9\\-:.+%_#*?!(),=@;$']{1,${limits.identityIdCharsMax}}$`);
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
const THUMBPRINT = /^(?:[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$/;
const statuses: readonly IdentityStatus[] = ['enabled', 'disabled'];
const authenticationTypes: readonly AuthenticationType[] = ['sas', 'selfSigned', 'certificateAuthority', 'none'];

/** Whether `id` may name a device or a module. */
export function isIdentityId(id: string): boolean {
  return ID.test(id);
}

/** @throws HubError ArgumentInvalid */
export function checkIdentityKey(key: IdentityKey): void {
  for (const [name, id] of Object.entries({ deviceId: key.deviceId, moduleId: key.moduleId })) {
    if (id === undefined && name === 'moduleId') continue;
    if (typeof id !== 'string' || !isIdentityId(id)) {
      throw invalid(
        `${name} must have 1 to ${limits.identityIdCharsMax} characters out of letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ '`,
      );
    }
  }
}

/** A key as connection strings carry it: base64 of 16 to 64 bytes. */
export function isSymmetricKey(key: string): boolean {
  if (key.length > limits.keyBytesMax * 2 || key.length % 4 !== 0 || !BASE64.test(key)) return false;
  const size = Buffer.byteLength(key, 'base64');
  return size >= limits.keyBytesMin && size <= limits.keyBytesMax;
}

/** A fresh key in base64. */
export function generateKey(random: Random): string {
  return random.bytes(limits.keyBytesGenerated).toString('base64');
}

/** An opaque ETag in the service's form, base64 of a decimal number; random, so that it never comes back. */
export function generateEtag(random: Random): string {
  return Buffer.from(random.bytes(8).readBigUInt64BE().toString()).toString('base64');
}

/** Eighteen decimal digits, as the service's look; random, so that no re-creation ever meets an old one. */
export function generateGenerationId(random: Random): string {
  const first = 10n ** 17n;
  return (first + (random.bytes(8).readBigUInt64BE() % (9n * first))).toString();
}

/**
 * The identity that `draft` asks for, with a new ETag, and a new generation id where there is no `current`. Without an `authentication` in the draft,
 * `current` lends its own (a status change must not cost a device its keys); without `current` keys are made.
 * @param statusUpdatedTime UTC milliseconds; 0 for a new identity, else now: the store keeps the old time where the
 *   status stays.
 * @throws HubError ArgumentInvalid
 */
export function buildIdentity(
  draft: IdentityDraft,
  random: Random,
  statusUpdatedTime: number,
  current?: Identity,
): Identity {
  checkIdentityKey(draft);
  const isModule = draft.moduleId !== undefined;
  const parentScopes = draft.parentScopes ?? [];
  if (parentScopes.length > limits.parentScopesMax) {
    throw invalid(`parentScopes may hold ${limits.parentScopesMax} scope at most`);
  }
  for (const scope of parentScopes) text('parentScopes', scope, limits.scopeCharsMax);
  text('deviceScope', draft.deviceScope, limits.scopeCharsMax);
  const generationId = current?.generationId ?? generateGenerationId(random);
  return {
    deviceId: draft.deviceId,
    ...(isModule ? { moduleId: draft.moduleId } : {}),
    generationId,
    etag: generateEtag(random),
    status: isModule ? 'enabled' : oneOf('status', draft.status ?? 'enabled', statuses),
    statusReason: isModule ? null : text('statusReason', draft.statusReason, limits.statusReasonCharsMax),
    statusUpdatedTime,
    authentication:
      draft.authentication === undefined && current !== undefined
        ? current.authentication
        : buildAuthentication(draft.authentication ?? {}, random),
    capabilities: { iotEdge: draft.capabilities?.iotEdge === true },
    ...(isModule ? { deviceScope: null, parentScopes: [] } : scopesFor(draft, generationId, current)),
    managedBy: isModule ? text('managedBy', draft.managedBy, limits.identityIdCharsMax) : null,
  };
}

function buildAuthentication(
  draft: NonNullable<IdentityDraft['authentication']>,
  random: Random,
): IdentityAuthentication {
  const primaryThumbprint = thumbprint('primaryThumbprint', draft.x509Thumbprint?.primaryThumbprint);
  const secondaryThumbprint = thumbprint('secondaryThumbprint', draft.x509Thumbprint?.secondaryThumbprint);
  const thumbprints: Thumbprints | null =
    primaryThumbprint === null && secondaryThumbprint === null ? null : { primaryThumbprint, secondaryThumbprint };
  const type = oneOf(
    'authentication.type',
    draft.type ?? (thumbprints === null ? 'sas' : 'selfSigned'),
    authenticationTypes,
  );
  if (type === 'selfSigned' && thumbprints === null) {
    throw invalid('authentication of type selfSigned needs a primary or a secondary thumbprint');
  }
  return {
    type,
    symmetricKey: type === 'sas' ? symmetricKeys(draft.symmetricKey, random) : null,
    x509Thumbprint: type === 'selfSigned' ? thumbprints : null,
  };
}

function symmetricKeys(
  draft: NonNullable<IdentityDraft['authentication']>['symmetricKey'],
  random: Random,
): SymmetricKeys {
  return {
    primaryKey: symmetricKey('primaryKey', draft?.primaryKey, random),
    secondaryKey: symmetricKey('secondaryKey', draft?.secondaryKey, random),
  };
}

/** The value itself never enters the message: it may be a key with one wrong letter. */
function symmetricKey(name: string, value: string | null | undefined, random: Random): string {
  if (value === undefined || value === null || value === '') return generateKey(random);
  if (typeof value !== 'string' || !isSymmetricKey(value)) {
    throw invalid(`${name} must be base64 of ${limits.keyBytesMin} to ${limits.keyBytesMax} bytes`);
  }
  return value;
}

/** Tools print thumbprints with colons; they are kept without. */
function thumbprint(name: string, value: string | null | undefined): string | null {
  if (value === undefined || value === null || value === '') return null;
  const hex = typeof value === 'string' && value.length <= 128 ? value.replaceAll(':', '') : '';
  if (!THUMBPRINT.test(hex)) throw invalid(`${name} must be the SHA-1 or SHA-256 of a certificate, in hexadecimal`);
  return hex;
}

function text(name: string, value: string | null | undefined, charsMax: number): string | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== 'string' || value.length > charsMax) {
    throw invalid(`${name} must be a text of at most ${charsMax} characters`);
  }
  return value;
}

function oneOf<T extends string>(name: string, value: T, allowed: readonly T[]): T {
  if (!allowed.includes(value)) throw invalid(`${name} must be one of ${allowed.join(', ')}`);
  return value;
}

function invalid(message: string): HubError {
  return new HubError('ArgumentInvalid', message);
}
