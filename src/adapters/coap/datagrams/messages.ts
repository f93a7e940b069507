/**
 * The message layer of RFC 7252, section 4: acknowledgements, duplicates, resets. What an address has sent that has not proved
 * itself leaves nothing behind, but while its credentials are judged.
 */
import { addressShare } from '../../../base/address.ts';
import { limits } from '../../../base/limits.ts';
import { decodeDatagram, encodeDatagram, encodeEmpty, knownOptionsOf } from '../../../wire/coap/datagram.ts';
import {
  type CoapDatagram,
  type CoapMessage,
  codes,
  empty,
  isRequest,
  MalformedCoap,
  optionOf,
  options,
  types,
  uintOf,
} from '../../../wire/coap/messages.ts';
import { type Answer, messageOf, type Serve } from '../exchange.ts';
import { Deadlines } from './deadlines.ts';
import { type Carrier, Endpoint, type Pace, type Seen, waitingName } from './endpoint.ts';

/** Bytes that an unproved address is sent for each byte that came from it: the same bound as QUIC's (RFC 9000 section 8). */
const AMPLIFICATION_MAX = 3;

/** A request that is worked on. */
interface Exchange {
  readonly message: CoapDatagram;
  readonly bytes: number;
  readonly endpoint: Endpoint;
  readonly seen: Seen;
  /** It took so long that its acknowledgement has gone before its answer. */
  isSeparate: boolean;
}

export class MessageLayer {
  readonly #serve: Serve;
  readonly #pace: Pace;
  readonly #count: (what: string) => void;
  /** In order of their last message. */
  readonly #endpoints = new Map<string, Endpoint>();
  /** The same by device. */
  readonly #endpointsOf = new Map<string, Set<Endpoint>>();
  /** Addresses whose first credentials are being judged. */
  readonly #judged = new Map<string, Endpoint>();
  /** How many of them one address has. */
  readonly #judgedOf = new Map<string, number>();
  /** Confirmable requests that have had no acknowledgement. */
  readonly #unacknowledged: Deadlines<Exchange>;

  constructor(serve: Serve, pace: Pace, count: (what: string) => void) {
    this.#serve = serve;
    this.#pace = pace;
    this.#count = count;
    this.#unacknowledged = new Deadlines(pace.clock, limits.coapSeparateMs, (exchange) => {
      const { endpoint, seen, message } = exchange;
      exchange.isSeparate = true;
      seen.sent = encodeEmpty(types.acknowledgement, message.messageId);
      endpoint.carrier.send(seen.sent);
    });
  }

  get size(): number {
    return this.#endpoints.size;
  }

  receive(carrier: Carrier, bytes: Buffer): void {
    const kept = this.#endpoints.get(carrier.key);
    let message: CoapDatagram | undefined;
    try {
      message = decodeDatagram(bytes, kept?.known);
    } catch (error) {
      if (!(error instanceof MalformedCoap)) throw error;
      this.#count('malformed');
      if (error.messageId !== undefined) carrier.send(encodeEmpty(types.reset, error.messageId));
      return;
    }
    if (message === undefined) this.#count('malformed');
    else this.#take(carrier, kept, message, bytes);
  }

  /** Forgets endpoints that have been silent for as long as an exchange may take. */
  sweep(): void {
    const now = this.#pace.clock.monotonic();
    for (const endpoint of this.#endpoints.values()) if (endpoint.isIdle(now)) this.#forget(endpoint);
  }

  /** A carrier has ended: nothing more reaches its peer. */
  forget(key: string): void {
    const endpoint = this.#endpoints.get(key);
    if (endpoint === undefined) return;
    endpoint.lost();
    this.#forget(endpoint);
  }

  #forget(endpoint: Endpoint): void {
    this.#endpoints.delete(endpoint.key);
    const own = this.#endpointsOf.get(endpoint.device);
    own?.delete(endpoint);
    if (own?.size === 0) this.#endpointsOf.delete(endpoint.device);
  }

  #take(carrier: Carrier, kept: Endpoint | undefined, message: CoapDatagram, bytes: Buffer): void {
    const { type, messageId } = message;
    const known = kept ?? this.#judged.get(carrier.key);
    if (known !== undefined) known.heardAt = this.#pace.clock.monotonic();
    if (type === types.acknowledgement || type === types.reset) {
      // What nobody waits for is ignored.
      const waiting = this.#pace.unacknowledged.get(waitingName(carrier, messageId));
      waiting?.settle(type === types.reset ? 'refused' : 'acknowledged');
    } else if (isRequest(message.code)) {
      if (kept !== undefined && kept.known?.options !== message.options)
        kept.known = bytes.length > limits.coapKeptRequestBytesMax ? undefined : knownOptionsOf(bytes, message);
      this.#request(message, bytes.length, known ?? new Endpoint(carrier, this.#pace), kept === undefined);
    }
    // An empty confirmable message is a ping; a response to nothing, and codes of no class, are refused alike (4.2, 4.3).
    else if (type === types.confirmable) carrier.send(encodeEmpty(types.reset, messageId));
  }

  #request(request: CoapDatagram, bytes: number, endpoint: Endpoint, isUnkept: boolean): void {
    const now = this.#pace.clock.monotonic();
    const { messageId } = request;
    const before = endpoint.seen(messageId, now);
    if (before !== undefined) {
      this.#count('duplicates');
      if (before.sent !== undefined && request.type === types.confirmable) endpoint.carrier.send(before.sent);
      return;
    }
    const isNew = isUnkept && !this.#judged.has(endpoint.key);
    const isTooMuch = isNew && !endpoint.isAddressProved && !this.#hasRoomToJudge(endpoint, request);
    if (isTooMuch || endpoint.working >= limits.coapWorkingPerEndpointMax) {
      this.#count('dropped');
      return;
    }
    const given = this.#serve(request, endpoint);
    if (!(given instanceof Promise)) {
      if (endpoint.isAddressProved) this.#keep(endpoint);
      this.#answer(request, bytes, endpoint, undefined, given);
      return;
    }
    if (endpoint.isAddressProved) this.#keep(endpoint);
    else if (isNew) this.#judge(endpoint);
    endpoint.working++;
    void this.#work(
      { message: request, bytes, endpoint, seen: endpoint.see(messageId, now), isSeparate: false },
      given,
    );
  }

  async #work(exchange: Exchange, given: Promise<Answer>): Promise<void> {
    const { message, bytes, endpoint, seen } = exchange;
    if (message.type === types.confirmable) this.#unacknowledged.add(exchange);
    try {
      const answer = await given;
      const { isSeparate } = exchange;
      if (endpoint.isAddressProved) this.#keep(endpoint);
      // Behind an empty acknowledgement the answer is a message of its own, which the peer acknowledges (5.2.2).
      // To an address that may be another's it goes once.
      if (isSeparate && endpoint.isAddressProved) void endpoint.confirmed(messageOf(message.token, answer));
      else if (isSeparate) this.#answer({ ...message, type: types.nonConfirmable }, bytes, endpoint, undefined, answer);
      else this.#answer(message, bytes, endpoint, seen, answer);
    } finally {
      this.#unacknowledged.delete(exchange);
      endpoint.working--;
      if (endpoint.working === 0) this.#isJudged(endpoint);
    }
  }

  #answer(request: CoapDatagram, from: number, endpoint: Endpoint, seen: Seen | undefined, answer: Answer): void {
    const isConfirmable = request.type === types.confirmable;
    let bytes: Buffer;
    if (isSuppressed(request, answer)) {
      if (!isConfirmable) return;
      bytes = encodeEmpty(types.acknowledgement, request.messageId);
    } else {
      const message: CoapDatagram = {
        ...messageOf(request.token, answer),
        type: isConfirmable ? types.acknowledgement : types.nonConfirmable,
        messageId: isConfirmable ? request.messageId : endpoint.nextMessageId(),
      };
      bytes = encodeDatagram(message);
      // What an address is sent that may not have asked for it is small: an error goes without its sentence.
      if (!endpoint.isAddressProved && bytes.length > AMPLIFICATION_MAX * from)
        bytes = encodeDatagram({ ...message, options: [], payload: empty });
    }
    if (seen !== undefined) {
      seen.sent = bytes;
      // To read again costs less than to keep what was read.
      if (request.code === codes.get && bytes.length > limits.coapKeptAnswerBytesMax) endpoint.unsee(request.messageId);
    }
    endpoint.carrier.send(bytes);
  }

  #hasRoomToJudge({ peer }: Endpoint, request: CoapMessage): boolean {
    const ofOne = this.#judgedOf.get(addressShare(peer)) ?? 0;
    const max = optionOf(request, options.oscore) === undefined ? limits.coapJudgedPlainMax : limits.coapJudgedMax;
    return this.#judged.size < max && ofOne < limits.coapJudgedPerAddressMax;
  }

  #judge(endpoint: Endpoint): void {
    const share = addressShare(endpoint.peer);
    this.#judged.set(endpoint.key, endpoint);
    this.#judgedOf.set(share, (this.#judgedOf.get(share) ?? 0) + 1);
  }

  #isJudged(endpoint: Endpoint): void {
    if (this.#judged.get(endpoint.key) !== endpoint) return;
    this.#judged.delete(endpoint.key);
    const share = addressShare(endpoint.peer);
    const left = (this.#judgedOf.get(share) ?? 1) - 1;
    if (left === 0) this.#judgedOf.delete(share);
    else this.#judgedOf.set(share, left);
  }

  /** Keeps an endpoint that has proved itself, as the one that was heard last; the one that was heard first makes room. */
  #keep(endpoint: Endpoint): void {
    this.#isJudged(endpoint);
    const known = this.#endpoints.get(endpoint.key);
    if (known === endpoint && this.#endpoints.size < limits.coapEndpointsMax) return;
    if (known !== undefined) this.#forget(known);
    this.#endpoints.set(endpoint.key, endpoint);
    const own = this.#endpointsOf.get(endpoint.device) ?? new Set();
    this.#endpointsOf.set(endpoint.device, own.add(endpoint));
    const isOneTooMany = own.size > limits.coapEndpointsPerDeviceMax;
    if (!isOneTooMany && this.#endpoints.size <= limits.coapEndpointsMax) return;
    // Of a device that has too many, its own oldest one.
    const [oldest] = isOneTooMany ? own : this.#endpoints.values();
    this.forget(oldest.key);
  }
}

/** The client asks for no answer of this class (RFC 7967); it still gets an acknowledgement. */
function isSuppressed(request: CoapMessage, answer: Answer): boolean {
  const classes = uintOf(request, options.noResponse);
  return classes !== undefined && (classes & (1 << ((answer.code >> 5) - 1))) !== 0;
}
