/** The adapter coap with each of its protections, spoken by clients of the tests. */
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import coap from '../../src/adapters/coap/index.ts';
import { FakeHub, runAdapter } from '../../src/gateway/testing/index.ts';
import { type CoapMessage, codes, empty, optionOf, options, textOption } from '../../src/wire/coap/messages.ts';
import { deriveKeys, encodeOscoreOption, nonceOf, numberBytes, seal, unseal } from '../../src/wire/coap/oscore.ts';
import { encodeStream, StreamReader } from '../../src/wire/coap/stream.ts';
import { type CoapCarrier, CoapClient, type Sending, udpCarrier } from '../../test/drivers/coap.ts';
import { DtlsClient } from '../../test/drivers/dtls-client.ts';
import { until } from '../../test/drivers/until.ts';
import type { AdapterSubjects, Certificate } from './adapters.ts';
import { body, type Opened, openTls, type Subject } from './subject.ts';

const ID = 'meter-1';
const JSON_FORMAT = 50;

export async function coapSubjects({ ca, ...tls }: Certificate): Promise<AdapterSubjects> {
  const hub = new FakeHub();
  const key = hub.addDevice(ID);
  const shared = createHmac('sha256', Buffer.from(key, 'base64')).update('mooring psk').digest();
  const settings = {
    udp: { port: 0, plain: true },
    tls: { port: 0, sharedKeys: false, ...tls },
    dtls: { port: 0, experimental: true },
  };
  const adapters = await Promise.all(
    (['udp', 'tls', 'dtls'] as const).map((one) => runAdapter(coap, { [one]: settings[one] }, hub)),
  );
  const [udpPort, tlsPort, dtlsPort] = adapters.map(({ ports }) => ports[0]);
  const login = [`device=${ID}`, `key=${key}`];

  const overUdp = (client: CoapClient, close: () => Promise<void> = async () => client.close()): Opened => ({
    send: async (bytes) => accepted(await client.request('telemetry', telemetry(bytes))),
    // What keeps a way for commands open through a translator of addresses.
    async keepAlive() {
      const messageId = client.nextMessageId();
      client.send(Buffer.of(0x40, 0, messageId >> 8, messageId & 0xff));
      await client.until((one) => one.messageId === messageId);
    },
    session: () => undefined,
    close,
  });

  const subjects: Subject[] = [
    {
      ...{
        name: 'adapter coap, UDP',
        protection: 'none',
        transport: 'udp',
        port: udpPort,
        silenceSecondsMax: undefined,
      },
      open: async (port) => overUdp(await CoapClient.open(port, login)),
    },
    {
      ...{
        name: 'adapter coap, UDP',
        protection: 'OSCORE',
        transport: 'udp',
        port: udpPort,
        silenceSecondsMax: undefined,
      },
      async open(port) {
        const client = await CoapClient.open(port);
        const oscore = new OscoreClient(client, shared);
        await oscore.prove();
        return { ...overUdp(client), send: async (bytes) => accepted(await oscore.request(telemetry(bytes))) };
      },
    },
    {
      ...{
        name: 'adapter coap, UDP',
        protection: 'DTLS 1.2 PSK',
        transport: 'udp',
        port: dtlsPort,
        silenceSecondsMax: undefined,
      },
      async open(port) {
        const { carrier, dtls } = await dtlsCarrier(port, shared);
        const client = new CoapClient(carrier);
        return overUdp(client, async () => {
          dtls.close();
          client.close();
        });
      },
    },
    {
      ...{
        name: 'adapter coap, TCP',
        protection: 'TLS 1.3',
        transport: 'tcp',
        port: tlsPort,
        silenceSecondsMax: undefined,
      },
      open: (port, session) => openStream(port, ca, session, login),
    },
  ];
  return {
    subjects,
    async stop() {
      for (const adapter of adapters) await adapter.stop();
    },
  };
}

const telemetry = (bytes: number): Sending => ({ code: codes.post, payload: body(bytes), format: JSON_FORMAT });

function accepted({ code }: { readonly code: number }): void {
  if (code !== codes.changed) throw new Error(`the message was answered with ${code}`);
}

async function dtlsCarrier(port: number, key: Uint8Array): Promise<{ carrier: CoapCarrier; dtls: DtlsClient }> {
  const udp = await udpCarrier(port);
  let take: (bytes: Buffer) => void = () => {};
  const dtls = new DtlsClient({ identity: ID, key, send: (datagram) => udp.send(datagram) });
  udp.onDatagram((datagram) => {
    dtls.receive(datagram);
    for (const bytes of dtls.received.splice(0)) take(bytes);
  });
  dtls.begin();
  await until('the DTLS handshake is done', () => dtls.isEstablished);
  const carrier: CoapCarrier = {
    send: (bytes) => dtls.send(bytes),
    onDatagram(taken) {
      take = taken;
    },
    close: () => udp.close(),
  };
  return { carrier, dtls };
}

/** RFC 8613 as the adapter has it: empty sender id, the device's id as context; the first request shows an Echo (appendix B.1.2). */
class OscoreClient {
  readonly #client: CoapClient;
  readonly #keys: ReturnType<typeof deriveKeys>;
  readonly #context = Buffer.from(ID);
  #number = 0;

  constructor(client: CoapClient, masterSecret: Uint8Array) {
    this.#client = client;
    const ids = { senderId: empty, recipientId: Buffer.of(1) };
    this.#keys = deriveKeys({ masterSecret, masterSalt: empty, idContext: this.#context, ...ids });
  }

  async prove(): Promise<void> {
    const challenge = await this.request(telemetry(20));
    const echo = optionOf(challenge, options.echo);
    if (echo === undefined) throw new Error(`no Echo came: ${challenge.code}`);
    accepted(await this.request({ ...telemetry(20), more: [{ number: options.echo, value: echo }] }));
  }

  async request(given: Sending): Promise<Omit<CoapMessage, 'token'>> {
    const { commonIv, senderKey, recipientKey, senderId, recipientId } = this.#keys;
    const number = numberBytes(this.#number++);
    const request = { kid: senderId, number };
    const inner = this.#client.message('telemetry', given);
    const payload = seal(senderKey, nonceOf(commonIv, senderId, number), request, inner);
    const option = {
      number: options.oscore,
      value: encodeOscoreOption({ number, kid: senderId, kidContext: this.#context }),
    };
    const answer = await this.#client.request('', { code: codes.post, payload, more: [option] });
    const value = optionOf(answer, options.oscore);
    if (value === undefined) throw new Error(`an answer without OSCORE: ${answer.code}`);
    // An answer may have a number of the adapter's own.
    const own = value.length === 0 ? undefined : value.subarray(1, 1 + (value[0] & 7));
    const nonce = own === undefined ? nonceOf(commonIv, senderId, number) : nonceOf(commonIv, recipientId, own);
    const opened = unseal(recipientKey, nonce, request, answer.payload);
    if (opened === undefined) throw new Error('the seal of an answer is broken');
    return opened;
  }
}

async function openStream(
  port: number,
  ca: string,
  session: Buffer | undefined,
  login: readonly string[],
): Promise<Opened> {
  const client = await openTls(port, ca, session, ['coap']);
  const reader = new StreamReader();
  const waiting: ((message: CoapMessage) => void)[] = [];
  client.socket.on('data', (bytes: Buffer) => {
    for (const message of reader.read(bytes)) if (message.token.length > 0) waiting.shift()?.(message);
  });
  let isKnown = false;
  const send = async (bytes: number): Promise<void> => {
    const query = isKnown ? [] : login.map((text) => textOption(options.uriQuery, text));
    const given = [
      ...[textOption(options.uriPath, 'telemetry'), { number: options.contentFormat, value: Buffer.of(JSON_FORMAT) }],
      ...query,
    ];
    const answered = new Promise<CoapMessage>((resolve) => waiting.push(resolve));
    const message = { code: codes.post, token: Buffer.of(1, 2), options: given, payload: Buffer.from(body(bytes)) };
    client.socket.write(encodeStream(message));
    accepted(await answered);
    isKnown = true;
  };
  // Capabilities first (RFC 8323, 5.3).
  client.socket.write(encodeStream({ code: 0xe1, token: empty, options: [], payload: empty }));
  await send(20);
  return {
    send,
    async keepAlive() {
      client.socket.write(encodeStream({ code: 0xe2, token: empty, options: [], payload: empty }));
      await new Promise((resolve) => setTimeout(resolve, 60));
    },
    session: client.session,
    async close() {
      const closed = once(client.socket, 'close');
      client.socket.end();
      await closed;
    },
  };
}
