/**
 * What a TLS client offers, out of the first bytes that it has sent (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2). The
 * runtime tells nothing of a client whose handshake fails, and an operator needs it: a device that knows only what the hub does not
 * have cannot be told apart from one that is broken.
 *
 * The bytes are a stranger's: they are bounded by the caller, each is looked at once, and what is cut short or makes no sense is left out.
 */

/** Numbers as the protocol has them, in the order sent. */
export interface ClientOffer {
  readonly versions: readonly number[];
  readonly suites: readonly number[];
  readonly groups: readonly number[];
  readonly signatures: readonly number[];
  readonly serverName: string | undefined;
}

const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const RECORD_HEADER_BYTES = 5;
const extensions = { serverName: 0, groups: 10, signatures: 13, versions: 43 } as const;
/** Bytes before the session id: type, length, version, random. */
const HELLO_FIXED_BYTES = 1 + 3 + 2 + 32;

/** @returns undefined where the bytes do not begin a ClientHello */
export function readClientHello(bytes: Buffer): ClientOffer | undefined {
  const hello = handshakeBytes(bytes);
  if (hello.length < HELLO_FIXED_BYTES || hello[0] !== CLIENT_HELLO) return undefined;
  const fields = new Fields(hello, HELLO_FIXED_BYTES);
  fields.block(1); // session id
  const suites = numbers(fields.block(2));
  fields.block(1); // compression methods
  const found = extensionsOf(fields.block(2));
  const body = (type: number): Buffer => found.get(type) ?? NO_BYTES;
  const versions = numbers(new Fields(body(extensions.versions), 0).block(1));
  return {
    versions: versions.length > 0 ? versions : [hello.readUInt16BE(4)],
    suites,
    groups: numbers(new Fields(body(extensions.groups), 0).block(2)),
    signatures: numbers(new Fields(body(extensions.signatures), 0).block(2)),
    serverName: serverNameOf(body(extensions.serverName)),
  };
}

const NO_BYTES = Buffer.alloc(0);

/** The handshake's bytes without the headers of their records: a client with little memory sends many short ones. */
function handshakeBytes(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at + RECORD_HEADER_BYTES <= bytes.length && bytes[at] === HANDSHAKE_RECORD; ) {
    const end = at + RECORD_HEADER_BYTES + bytes.readUInt16BE(at + 3);
    parts.push(bytes.subarray(at + RECORD_HEADER_BYTES, end));
    at = end;
  }
  return parts.length === 1 ? parts[0] : Buffer.concat(parts);
}

/** Length-prefixed fields; what is cut short is as much as there is. */
class Fields {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  number(): number {
    const start = this.#at;
    this.#at += 2;
    return this.#at <= this.#bytes.length ? this.#bytes.readUInt16BE(start) : 0;
  }

  /** @param prefix bytes of the length before it */
  block(prefix: 1 | 2): Buffer {
    const start = this.#at + prefix;
    if (start > this.#bytes.length) {
      this.#at = this.#bytes.length;
      return NO_BYTES;
    }
    this.#at = start + this.#bytes.readUIntBE(this.#at, prefix);
    return this.#bytes.subarray(start, this.#at);
  }
}

function extensionsOf(bytes: Buffer): ReadonlyMap<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (const fields = new Fields(bytes, 0); !fields.done; ) found.set(fields.number(), fields.block(2));
  return found;
}

function numbers(bytes: Buffer): readonly number[] {
  const found: number[] = [];
  for (let at = 0; at + 2 <= bytes.length; at += 2) found.push(bytes.readUInt16BE(at));
  // Values of this form are noise on purpose (RFC 8701).
  return found.filter((value) => (value & 0x0f0f) !== 0x0a0a || value >> 8 !== (value & 0xff));
}

/** RFC 6066 section 3: a list of which one kind, the host name, exists. */
function serverNameOf(bytes: Buffer): string | undefined {
  const list = new Fields(bytes, 0).block(2);
  const name = new Fields(list, 1).block(2).toString('latin1');
  return /^[A-Za-z0-9.-]{1,253}$/.test(name) ? name : undefined;
}

const versionNames = new Map([
  [0x0300, 'SSL 3.0'],
  [0x0301, 'TLS 1.0'],
  [0x0302, 'TLS 1.1'],
  [0x0303, 'TLS 1.2'],
  [0x0304, 'TLS 1.3'],
]);
const groupNames = new Map([
  [0x0017, 'P-256'],
  [0x0018, 'P-384'],
  [0x0019, 'P-521'],
  [0x001a, 'brainpoolP256r1'],
  [0x001b, 'brainpoolP384r1'],
  [0x001d, 'X25519'],
  [0x001e, 'X448'],
  [0x11ec, 'X25519MLKEM768'],
]);
const signatureNames = new Map([
  [0x0201, 'rsa_pkcs1_sha1'],
  [0x0203, 'ecdsa_sha1'],
  [0x0401, 'rsa_pkcs1_sha256'],
  [0x0501, 'rsa_pkcs1_sha384'],
  [0x0601, 'rsa_pkcs1_sha512'],
  [0x0403, 'ecdsa_secp256r1_sha256'],
  [0x0503, 'ecdsa_secp384r1_sha384'],
  [0x0603, 'ecdsa_secp521r1_sha512'],
  [0x0804, 'rsa_pss_rsae_sha256'],
  [0x0805, 'rsa_pss_rsae_sha384'],
  [0x0806, 'rsa_pss_rsae_sha512'],
  [0x0807, 'ed25519'],
]);

/** Values of one kind that a text shows; a client may offer thirty thousand. */
const SHOWN_MAX = 8;

/** One line for people. Suites keep their numbers, by which the documents of small stacks name them (`0xc02b`). */
export function offerText({ versions, suites, groups, signatures, serverName }: ClientOffer): string {
  const parts: readonly (readonly [name: string, text: string])[] = [
    ['versions', listed(versions, versionNames)],
    ['suites', listed(suites)],
    ['groups', listed(groups, groupNames)],
    ['signatures', listed(signatures, signatureNames)],
    ['server name', serverName ?? 'none'],
  ];
  return parts.map(([name, text]) => `${name} ${text}`).join('; ');
}

function listed(values: readonly number[], names?: ReadonlyMap<number, string>): string {
  if (values.length === 0) return 'none';
  const shown = values
    .slice(0, SHOWN_MAX)
    .map((value) => names?.get(value) ?? `0x${value.toString(16).padStart(4, '0')}`);
  const more = values.length - shown.length;
  return `${shown.join(' ')}${more > 0 ? ` and ${more} more` : ''}`;
}
