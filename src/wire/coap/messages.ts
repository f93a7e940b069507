/** CoAP messages as values: RFC 7252 section 3, and the codes and options that the hub knows. */

/** A code in its wire form: class in the upper three bits, detail in the lower five. `0.01` is 1, `2.05` is 69. */
export type Code = number;

export const codes = {
  empty: 0x00,
  get: 0x01,
  post: 0x02,
  put: 0x03,
  delete: 0x04,
  /** RFC 8132. */
  fetch: 0x05,
  patch: 0x06,
  ipatch: 0x07,
  created: 0x41,
  deleted: 0x42,
  valid: 0x43,
  changed: 0x44,
  content: 0x45,
  continue: 0x5f,
  badRequest: 0x80,
  unauthorized: 0x81,
  badOption: 0x82,
  forbidden: 0x83,
  notFound: 0x84,
  methodNotAllowed: 0x85,
  notAcceptable: 0x86,
  requestEntityIncomplete: 0x88,
  conflict: 0x89,
  preconditionFailed: 0x8c,
  requestEntityTooLarge: 0x8d,
  unsupportedContentFormat: 0x8f,
  /** RFC 8516. */
  tooManyRequests: 0x9d,
  internalServerError: 0xa0,
  notImplemented: 0xa1,
  badGateway: 0xa2,
  serviceUnavailable: 0xa3,
  gatewayTimeout: 0xa4,
  proxyingNotSupported: 0xa5,
  /** Signals of a stream, RFC 8323 section 5. */
  csm: 0xe1,
  ping: 0xe2,
  pong: 0xe3,
  release: 0xe4,
  abort: 0xe5,
} as const;

/** Option numbers: RFC 7252 section 5.10, RFC 7641 (Observe), 7959 (blocks), 8613 (OSCORE), 9175 (Echo, Request-Tag). */
export const options = {
  ifMatch: 1,
  uriHost: 3,
  etag: 4,
  ifNoneMatch: 5,
  observe: 6,
  uriPort: 7,
  locationPath: 8,
  oscore: 9,
  uriPath: 11,
  contentFormat: 12,
  maxAge: 14,
  uriQuery: 15,
  accept: 17,
  locationQuery: 20,
  block2: 23,
  block1: 27,
  size2: 28,
  proxyUri: 35,
  proxyScheme: 39,
  size1: 60,
  echo: 252,
  noResponse: 258,
  requestTag: 292,
} as const;

/** Message types of datagrams, RFC 7252 section 3. */
export const types = { confirmable: 0, nonConfirmable: 1, acknowledgement: 2, reset: 3 } as const;

export interface CoapOption {
  readonly number: number;
  readonly value: Buffer;
}

/** What is the same over datagrams, over streams and inside of OSCORE. Options are in ascending order of their numbers. */
export interface CoapMessage {
  readonly code: Code;
  /** 0 to 8 bytes. */
  readonly token: Buffer;
  readonly options: readonly CoapOption[];
  readonly payload: Buffer;
}

/** A message in a datagram. */
export interface CoapDatagram extends CoapMessage {
  /** One of `types`. */
  readonly type: number;
  readonly messageId: number;
}

/** A peer's bytes are no CoAP message. `reply` says whether it was a confirmable one whose id is known: it is answered by RST. */
export class MalformedCoap extends Error {
  override readonly name = 'MalformedCoap';
  readonly messageId: number | undefined;

  constructor(rule: string, messageId?: number) {
    super(rule);
    this.messageId = messageId;
  }
}

export const empty: Buffer = Buffer.alloc(0);

/** True = the code is of a request; what it asks for may still be unknown. */
export const isRequest = (code: Code): boolean => code >> 5 === 0 && code !== codes.empty;
export const isResponse = (code: Code): boolean => code >> 5 >= 2 && code >> 5 <= 5;

/** `2.05`, as the RFCs write it. */
export const codeText = (code: Code): string => `${code >> 5}.${String(code & 0x1f).padStart(2, '0')}`;

/** Odd numbers are critical: who does not know one must refuse the message (RFC 7252 section 5.4.1). */
export const isCritical = (number: number): boolean => (number & 1) === 1;

/** An unsigned number in as few bytes as it needs; 0 needs none (RFC 7252 section 3.2). */
export function uintOption(number: number, value: number): CoapOption {
  return { number, value: uintBytes(value) };
}

export function uintBytes(value: number): Buffer {
  if (value === 0) return empty;
  const bytes = Buffer.alloc(6);
  bytes.writeUIntBE(value, 0, 6);
  let at = 0;
  while (bytes[at] === 0) at++;
  return bytes.subarray(at);
}

/** @returns undefined when the option has more bytes than a number of the hub's may have */
export function uintValue(value: Buffer, bytesMax = 4): number | undefined {
  if (value.length > bytesMax) return undefined;
  return value.length === 0 ? 0 : value.readUIntBE(0, value.length);
}

export const textOption = (number: number, value: string): CoapOption => ({ number, value: Buffer.from(value) });

/** The first option of this number. */
export function optionOf(message: { readonly options: readonly CoapOption[] }, number: number): Buffer | undefined {
  for (const option of message.options) if (option.number === number) return option.value;
  return undefined;
}

/** The first option of this number as a number; undefined where there is none, or one that is too long. */
export function uintOf(message: { readonly options: readonly CoapOption[] }, number: number): number | undefined {
  const value = optionOf(message, number);
  return value === undefined ? undefined : uintValue(value);
}

/** The texts of all options of this number, in order. */
export function textsOf(message: { readonly options: readonly CoapOption[] }, number: number): readonly string[] {
  const found: string[] = [];
  for (const option of message.options) if (option.number === number) found.push(option.value.toString('utf8'));
  return found;
}
