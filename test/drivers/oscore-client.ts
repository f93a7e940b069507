/** A device that protects its requests by OSCORE, for tests: it shows each number that it likes, and each seal. */
import { encodeDatagram } from '../../src/wire/coap/datagram.ts';
import { type CoapDatagram, type CoapMessage, codes, empty, optionOf, options } from '../../src/wire/coap/messages.ts';
import {
  decodeOscoreOption,
  deriveKeys,
  encodeOscoreOption,
  nonceOf,
  numberBytes,
  type OscoreKeys,
  type RequestId,
  seal,
  unseal,
} from '../../src/wire/coap/oscore.ts';
import type { CoapClient, Sending } from './coap.ts';

export class OscoreClient {
  readonly keys: OscoreKeys;
  readonly #client: CoapClient;
  readonly #device: Buffer;
  /** Of its next request. */
  number: number;

  /** @param secret What `Host.sharedKey` answers */
  constructor(client: CoapClient, device: string, secret: Uint8Array, number = 0) {
    this.#client = client;
    this.#device = Buffer.from(device);
    this.number = number;
    const idContext = this.#device;
    const ids = { senderId: empty, recipientId: Buffer.of(1) };
    this.keys = deriveKeys({ masterSecret: secret, masterSalt: empty, idContext, ...ids });
  }

  /** The datagram of a request, and what its answers are opened with. */
  sealed(path: string, given: Sending = {}): { readonly outer: CoapDatagram; readonly id: RequestId } {
    const inner = this.#client.message(path, given);
    const number = numberBytes(this.number++);
    const id = { kid: empty, number };
    const payload = seal(this.keys.senderKey, nonceOf(this.keys.commonIv, empty, number), id, inner);
    const observe = inner.options.filter((option) => option.number === options.observe);
    const option = {
      number: options.oscore,
      value: encodeOscoreOption({ number, kid: empty, kidContext: this.#device }),
    };
    const code = observe.length === 0 ? codes.post : codes.fetch;
    return { outer: { ...inner, code, options: [...observe, option], payload }, id };
  }

  /** @throws Error where the answer is not sealed, or not for this request */
  opened(answer: CoapMessage, id: RequestId): Omit<CoapMessage, 'token'> {
    const value = optionOf(answer, options.oscore);
    if (value === undefined) throw new Error(`not sealed: ${answer.code}`);
    const { number } = decodeOscoreOption(value);
    const { commonIv, recipientId, recipientKey } = this.keys;
    const nonce = number === undefined ? nonceOf(commonIv, empty, id.number) : nonceOf(commonIv, recipientId, number);
    const inner = unseal(recipientKey, nonce, id, answer.payload);
    if (inner === undefined) throw new Error('the seal is broken');
    return inner;
  }

  /** Sends a request; answers an Echo by sending it again with it. @returns the answer, opened, and the request's id */
  async request(
    path: string,
    given: Sending = {},
  ): Promise<{ answer: Omit<CoapMessage, 'token'>; id: RequestId; outer: CoapDatagram }> {
    const { outer, id } = this.sealed(path, given);
    this.#client.send(encodeDatagram(outer));
    const answer = this.opened(await this.#client.answerTo(outer), id);
    const echo = answer.code === codes.unauthorized ? optionOf(answer, options.echo) : undefined;
    if (echo === undefined) return { answer, id, outer };
    return this.request(path, {
      ...given,
      token: undefined,
      more: [...(given.more ?? []), { number: options.echo, value: echo }],
    });
  }
}
