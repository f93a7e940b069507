/** Who may talk to the hub: devices, their modules, and the policies of back ends. Plain data, no behaviour. */

/** Names a device, or a module of it. Ids are case-sensitive. */
export interface IdentityKey {
  readonly deviceId: string;
  /** Absent for the device itself. */
  readonly moduleId?: string;
}

export type IdentityStatus = 'enabled' | 'disabled';
export type AuthenticationType = 'sas' | 'selfSigned' | 'certificateAuthority' | 'none';

/** Base64 text, as connection strings carry it; 16 to 64 bytes decoded. */
export interface SymmetricKeys {
  readonly primaryKey: string;
  readonly secondaryKey: string;
}

/** Hexadecimal SHA-1 or SHA-256 of a certificate; either may be absent. */
export interface Thumbprints {
  readonly primaryThumbprint: string | null;
  readonly secondaryThumbprint: string | null;
}

export interface IdentityAuthentication {
  readonly type: AuthenticationType;
  /** Null unless `type` is `sas`. */
  readonly symmetricKey: SymmetricKeys | null;
  /** Null unless `type` is `selfSigned`. */
  readonly x509Thumbprint: Thumbprints | null;
}

/** One device or module as the registry stores it. Presence and counts are joined where it is shown. */
export interface Identity extends IdentityKey {
  /** New whenever an id is created again: what belonged to the old one is not the new one's. */
  readonly generationId: string;
  /** Changes with every change; opaque, unquoted. */
  readonly etag: string;
  /** A module is always `enabled`: it is shut out with its device. */
  readonly status: IdentityStatus;
  readonly statusReason: string | null;
  /** UTC milliseconds; 0 = never changed. */
  readonly statusUpdatedTime: number;
  readonly authentication: IdentityAuthentication;
  readonly capabilities: { readonly iotEdge: boolean };
  readonly deviceScope: string | null;
  readonly parentScopes: readonly string[];
  /** Modules only. */
  readonly managedBy: string | null;
}

/** What a policy may allow (service reference 1.5). */
export type Permission = 'RegistryRead' | 'RegistryWrite' | 'ServiceConnect' | 'DeviceConnect';

/** A named pair of keys of the hub itself, with what they allow. */
export interface Policy {
  readonly name: string;
  readonly primaryKey: string;
  readonly secondaryKey: string;
  readonly permissions: readonly Permission[];
}

/** From where a caller speaks, and how, as far as that is known. */
export interface Origin {
  /** `adapter:<name>` behind an adapter of a protocol of its own. */
  readonly protocol?: 'mqtt' | 'mqtt-ws' | 'amqp' | 'amqp-ws' | 'http' | 'portal' | `adapter:${string}`;
  readonly credential?: 'sas' | 'x509';
  /** Address without its port; masked or absent by setting where it is told. */
  readonly peer?: string;
  /** What names the device outside, behind an adapter: a Dev EUI, a topic, a path. */
  readonly address?: string;
}

/** How a peer proves who it is. */
export type Credential =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'certificate'; readonly certificate: PeerCertificate };

/** The facts of a client certificate that a decision needs, taken from the TLS layer. */
export interface PeerCertificate {
  readonly commonName: string;
  /** Lower-case hexadecimal without separators. */
  readonly sha1: string;
  readonly sha256: string;
  /** UTC milliseconds. */
  readonly validFrom: number;
  readonly validTo: number;
  /** The leaf and the intermediates as they came, DER, leaf first. */
  readonly chain: readonly Uint8Array[];
}

/** A certificate authority whose devices may connect, once its owner has proved to hold its key. */
export interface Authority {
  /** Chosen by the caller that registers it; case-sensitive. */
  readonly name: string;
  /** Changes with every change; opaque, unquoted. */
  readonly etag: string;
  /** DER in base64. */
  readonly certificate: string;
  /** SHA-256 of the certificate, lower-case hexadecimal: says which one is meant when a name is used again. */
  readonly thumbprint: string;
  readonly verified: boolean;
  /** What the proof must carry as its common name; null once it is verified. */
  readonly verificationCode: string | null;
  /** UTC milliseconds. */
  readonly createdTime: number;
  readonly updatedTime: number;
}

/** What a right lasts by: a principal, or what holds the newest of several. */
export interface Proof {
  /** UTC milliseconds. */
  readonly expiresAt: number;
}

/** A device or module that has proved who it is. */
export interface DevicePrincipal {
  readonly kind: 'device';
  readonly key: IdentityKey;
  readonly generationId: string;
  /** UTC milliseconds at which the proof ends (clock difference included): of the token, or of the certificate chain. */
  readonly expiresAt: number;
  /** `iothub-connection-auth-method` (device reference 5.1): whose key, and of which kind. */
  readonly authScope: 'hub' | 'device' | 'module';
  readonly authType: 'sas' | 'x509';
  /** Thumbprint of the authority whose chain the certificate has; absent for tokens and self-signed certificates. */
  readonly authority?: string;
  /** The identity's own credentials at the proof (`credentialsOf`); absent where a policy's key proved it. */
  readonly credentials?: string;
}

/** A back end that has proved to hold a policy's key. */
export interface PolicyPrincipal {
  readonly kind: 'policy';
  readonly policyName: string;
  readonly permissions: ReadonlySet<Permission>;
  readonly expiresAt: number;
  /** Path segments behind the host that the token is confined to; empty = the whole hub. */
  readonly scope: readonly string[];
  /** The address that it asked from, without its port, for the monitoring stream; absent where the door does not say. */
  readonly peer?: string;
  /** The session of the portal that it speaks through, for the monitoring stream. */
  readonly session?: string;
  /** What it changes is told to the monitoring stream: a caller of the REST API or the portal. */
  readonly audited?: true;
}

export type Principal = DevicePrincipal | PolicyPrincipal;

/** Why a client was refused. For the log and the monitoring stream; the peer only learns "unauthorized". */
export type AuthenticationCheck =
  | 'malformed-token'
  | 'expired-token'
  /** It lasts longer than the hub allows a token to. */
  | 'too-long-token'
  | 'wrong-host'
  | 'wrong-resource'
  | 'unknown-policy'
  | 'missing-permission'
  | 'unknown-identity'
  | 'disabled-identity'
  | 'wrong-key'
  | 'wrong-credential-kind'
  | 'wrong-certificate'
  | 'expired-certificate'
  | 'premature-certificate'
  | 'unknown-authority'
  | 'unverified-authority'
  | 'missing-credential'
  /** Too many refusals of the same address wait: nothing was looked at. */
  | 'not-judged';

/** What presence knows of an identity. Times are UTC milliseconds, 0 = never. */
export interface PresenceState {
  readonly connected: boolean;
  readonly connectionStateUpdatedTime: number;
  readonly lastActivityTime: number;
}
