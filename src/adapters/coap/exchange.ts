/** One request and its answer, whatever carries them: datagrams, DTLS, OSCORE, a stream. */
import type { Proof } from '../../gateway/index.ts';
import {
  type CoapMessage,
  type CoapOption,
  type Code,
  codes,
  empty,
  options,
  uintOption,
} from '../../wire/coap/messages.ts';

/** A proof, as the protection or the request has shown it. A pre-shared key is shown with the key, which may have changed since. */
export type Shown = Exclude<Proof, { kind: 'psk' }> | { kind: 'psk'; device: string; key: Uint8Array };

/** What is sent back; its token and its place in the exchange are the carrier's. */
export interface Answer {
  readonly code: Code;
  readonly options?: readonly CoapOption[];
  readonly payload?: Buffer;
}

/** What has become of a notification. `sent` = the carrier has no acknowledgements, as a stream has none. */
export type Delivery = 'acknowledged' | 'sent' | 'refused' | 'lost';

/** Who asks, as far as the protection has shown. */
export interface Caller {
  /** Names the endpoint and its protection: bodies in blocks and observations belong to one caller. */
  readonly key: string;
  /** Address of the peer without its port. */
  readonly peer: string;
  readonly via: 'udp' | 'dtls' | 'oscore' | 'stream';
  /** Whose protection it is; undefined = each request shows credentials (on a stream, the first one). */
  readonly proof: Shown | undefined;
  /** False = the address may be another's: an answer is at most three times as long as its request. */
  readonly isAddressProved: boolean;
  /** True = a notification is acknowledged by the peer. */
  readonly acknowledges: boolean;
  /** The request has shown who asks: the endpoint may be remembered. */
  proved(proof: Shown): void;
  notify(token: Buffer, answer: Answer): Promise<Delivery>;
  /** A carrier that has this member knows options again: where the same bytes come, the message has the same list of them. */
  repeated?: Repeated | undefined;
}

/** What the last telemetry of a caller was, but for its body. */
export interface Repeated {
  readonly code: Code;
  readonly options: readonly CoapOption[];
  /** @returns undefined where it no longer counts: the request is read anew */
  take(payload: Buffer): Promise<Answer> | undefined;
}

/** Answers at once what costs nothing; everything else by a promise, which never rejects. */
export type Serve = (request: CoapMessage, caller: Caller) => Answer | Promise<Answer>;

export const answer = (code: Code, payload?: Buffer, ...more: readonly CoapOption[]): Answer => ({
  code,
  options: more,
  payload,
});

/** A refusal with a sentence for the reader of the device's log (RFC 7252 section 5.5.2). */
export const refusal = (code: Code, sentence: string): Answer => ({ code, payload: Buffer.from(sentence) });

/** `Max-Age` of a refusal says when to try again (RFC 7252 section 5.9.3.4). */
export const busy = (seconds: number): Answer => ({
  code: codes.serviceUnavailable,
  options: [uintOption(options.maxAge, seconds)],
});

/** The message that carries an answer. */
export function messageOf(token: Buffer, given: Answer): CoapMessage {
  return { code: given.code, token, options: given.options ?? [], payload: given.payload ?? empty };
}
