/** Exit codes of every command: done, failed, or wrongly asked for. */
export const exitCodes = { ok: 0, failed: 1, usage: 2 } as const;

/**
 * Something a command cannot do, told to a person: `message` says what happened, `hint` what to do next. Both are shown
 * as they are, so neither may hold a key or a token.
 */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly exitCode: number;
  readonly hint: string | undefined;
  /** A code for programs (`--json`): one of the hub's error table, or a condition of the network. */
  readonly code: string | undefined;

  constructor(message: string, detail: { hint?: string; code?: string; usage?: boolean; cause?: unknown } = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.hint = detail.hint;
    this.code = detail.code;
    this.exitCode = detail.usage === true ? exitCodes.usage : exitCodes.failed;
  }
}

/** Node's codes for "nothing answered there" and "the peer is not who the certificate should say". */
const unreachable = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT']);
const closedByPeer = new Set(['EPIPE', 'ECONNRESET']);
const untrusted = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_SIGNATURE_FAILURE',
]);

export const wrongPort = 'Is that the right port of the hub?';

/** A network error on the way to `place` (`localhost:8883`) in words that help. */
export function networkFailure(error: unknown, place: string): Failure {
  const { code, message } = innermost(error);
  if (code !== undefined && unreachable.has(code)) {
    return new Failure(`Nothing answers at ${place} (${code}).`, {
      code,
      cause: error,
      hint: 'Is the hub running there? Start one with: mooring serve',
    });
  }
  if (code !== undefined && untrusted.has(code)) {
    return new Failure(`The certificate of ${place} is not signed by a CA that is trusted here (${code}).`, {
      code,
      cause: error,
      hint: 'Name the hub’s CA with --ca-file FILE or MOORING_CA_FILE; it lies at <data-dir>/tls of the hub.',
    });
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return new Failure(`The certificate of ${place} does not carry that name.`, {
      code,
      cause: error,
      hint: 'Start the hub with --host-name for every name under which clients reach it.',
    });
  }
  if (code === 'EPROTO' || code?.startsWith('ERR_SSL_') === true) {
    return new Failure(`What answers at ${place} does not speak TLS.`, { code, cause: error, hint: wrongPort });
  }
  // A peer that speaks another protocol answers what it did not understand and closes. Whether that answer is still read, or
  // the write behind it fails first, is a race.
  const hint = code?.startsWith('HPE_') === true || closedByPeer.has(code ?? '') ? wrongPort : undefined;
  return new Failure(`The connection to ${place} failed: ${message}`, { code, cause: error, hint });
}

/** The error that says most: `fetch` and dual-stack connects wrap it. */
function innermost(error: unknown): { readonly code: string | undefined; readonly message: string } {
  if (!(error instanceof Error)) return { code: undefined, message: String(error) };
  if (error.cause instanceof Error) return innermost(error.cause);
  if (error instanceof AggregateError && error.errors.length > 0) return innermost(error.errors[0]);
  const code = (error as NodeJS.ErrnoException).code;
  return { code: typeof code === 'string' ? code : undefined, message: error.message || (code ?? error.name) };
}
