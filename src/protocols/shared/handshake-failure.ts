/** Why a TLS handshake came to nothing: a closed set of words, for metrics and the monitoring stream. */
export type HandshakeFailureReason =
  | 'no-shared-suite'
  | 'no-shared-version'
  | 'no-shared-group'
  | 'no-shared-signature'
  | 'refused-by-client'
  | 'not-tls'
  | 'closed-by-client'
  | 'too-slow'
  | 'broken';

export interface HandshakeFailure {
  /** The port's setting: `mqttsPort`. */
  readonly port: string;
  /** Address without its port. */
  readonly peer: string;
  readonly reason: HandshakeFailureReason;
  /** The runtime's own code, for readers who know it. */
  readonly code: string;
  /** What the client offered, as `offerText` writes it; absent = it did not begin with a ClientHello. */
  readonly offered?: string;
}

const reasons: Readonly<Record<string, HandshakeFailureReason>> = {
  ERR_SSL_NO_SHARED_CIPHER: 'no-shared-suite',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'no-shared-version',
  ERR_SSL_WRONG_SSL_VERSION: 'no-shared-version',
  ERR_SSL_NO_SUITABLE_KEY_SHARE: 'no-shared-group',
  ERR_SSL_NO_SHARED_GROUPS: 'no-shared-group',
  ERR_SSL_NO_SUITABLE_GROUPS: 'no-shared-group',
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM: 'no-shared-signature',
  ERR_SSL_NO_SHARED_SIGNATURE_ALGORITHMS: 'no-shared-signature',
  ERR_SSL_HTTP_REQUEST: 'not-tls',
  ERR_SSL_HTTPS_PROXY_REQUEST: 'not-tls',
  ERR_SSL_WRONG_VERSION_NUMBER: 'not-tls',
  ECONNRESET: 'closed-by-client',
  EPIPE: 'closed-by-client',
  ERR_TLS_HANDSHAKE_TIMEOUT: 'too-slow',
};

/** @param code of the error that the runtime reports */
export function failureReason(code: string): HandshakeFailureReason {
  // An alert that the client has sent: it does not trust the certificate, mostly.
  if (/^ERR_SSL_.*ALERT_/.test(code)) return 'refused-by-client';
  return reasons[code] ?? 'broken';
}
