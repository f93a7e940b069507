/** A device that speaks CoAP, as the contract of adapters wants one: over UDP with its key in the query, or protected by OSCORE. */
import { createHmac } from 'node:crypto';
import type { ContractDriver, TestDevice } from '../../src/gateway/testing/contract.ts';
import type { JsonObject } from '../../src/gateway/types.ts';
import { decodeBlock, encodeBlock } from '../../src/wire/coap/blocks.ts';
import { type CoapMessage, codes, codeText, optionOf, options, types } from '../../src/wire/coap/messages.ts';
import { CoapClient, type Sending } from './coap.ts';
import { OscoreClient } from './oscore-client.ts';

type Opened = Omit<CoapMessage, 'token'>;

/** Sends requests, and opens what comes back; an answer that is an error rejects. */
interface Asking {
  ask(path: string, given?: Sending): Promise<Opened>;
  /** Registers for a resource. @returns its first answer, and how to wait for what comes */
  observe(path: string, query?: readonly string[]): Promise<{ first: Opened; next(): Promise<Opened> }>;
}

const fine = (answer: Opened, path: string): Opened => {
  if (answer.code >> 5 === 2) return answer;
  throw new Error(`${path}: ${codeText(answer.code)} ${answer.payload.toString()}`);
};

/** Notifications under one token, in order. */
function notifications(
  client: CoapClient,
  token: Buffer,
  open: (message: CoapMessage) => Opened,
): () => Promise<Opened> {
  let seen = 0;
  return async () => {
    const wanted = seen++;
    let at = -1;
    const message = await client.until((one) => {
      if (one.type !== types.confirmable || !one.token.equals(token)) return false;
      const place = client.received.filter((other) => other.type === types.confirmable && other.token.equals(token));
      at = place.indexOf(one);
      return at === wanted;
    });
    return open(message);
  };
}

function plainly(client: CoapClient): Asking {
  return {
    ask: async (path, given) => fine(await client.request(path, given), path),
    async observe(path, query = []) {
      const token = client.nextToken();
      const first = fine(await client.request(path, { observe: 0, query, token }), path);
      return { first, next: notifications(client, token, (message) => message) };
    },
  };
}

function sealed(client: CoapClient, oscore: OscoreClient): Asking {
  return {
    ask: async (path, given) => fine((await oscore.request(path, given)).answer, path),
    async observe(path, query = []) {
      const { answer, id, outer } = await oscore.request(path, { observe: 0, query });
      return {
        first: fine(answer, path),
        next: notifications(client, outer.token, (message) => oscore.opened(message, id)),
      };
    },
  };
}

async function deviceOf(client: CoapClient, asking: Asking): Promise<TestDevice> {
  const commands = await asking.observe('commands', ['settle=told']);
  const methods = await asking.observe('methods');
  const desired = await asking.observe('twin/desired');
  // A client has one request open at a time (RFC 7252 section 4.7), which keeps their order.
  let turn: Promise<unknown> = Promise.resolve();
  const inTurn = (path: string, given: Sending): Promise<void> => {
    const done = turn.then(async () => {
      await asking.ask(path, given);
    });
    turn = done.catch(() => undefined);
    return done;
  };
  return {
    send: (text) => inTurn('telemetry', { code: codes.post, payload: text, format: 50 }),
    async command() {
      const message = await commands.next();
      const tag = optionOf(message, options.etag)?.toString('hex') ?? '';
      return {
        text: message.payload.toString(),
        settle: (how) =>
          void inTurn(`commands/${tag}`, { code: codes.post, query: [`outcome=${how}`] }).catch(() => undefined),
      };
    },
    async method(answer) {
      const call = JSON.parse((await methods.next()).payload.toString());
      const { status, payload } = answer(call.name, call.payload);
      await inTurn(`methods/${call.id}`, {
        code: codes.post,
        payload: JSON.stringify(payload),
        query: [`status=${status}`],
      });
    },
    desired: async () => JSON.parse((await desired.next()).payload.toString()) as JsonObject,
    async fetch(name) {
      const parts: Buffer[] = [];
      for (let number = 0; ; number++) {
        const wanted = { number: options.block2, value: encodeBlock({ number, more: false, exponent: 6 }) };
        const answer = await asking.ask(`files/${name}`, number === 0 ? {} : { more: [wanted] });
        parts.push(answer.payload);
        const given = optionOf(answer, options.block2);
        if (given === undefined || !decodeBlock(given)?.more) return Buffer.concat(parts);
      }
    },
    async upload(name, bytes) {
      for (let number = 0, more = true; more; number++) {
        const payload = Buffer.from(bytes.subarray(1024 * number, 1024 * (number + 1)));
        more = 1024 * (number + 1) < bytes.length;
        const block = { number: options.block1, value: encodeBlock({ number, more, exponent: 6 }) };
        const given = { code: codes.put, payload, ...(bytes.length > 1024 && { more: [block] }) };
        const { code } = await asking.ask(`files/${name}`, given);
        if (more && code !== codes.continue) throw new Error(`block ${number} was answered with ${codeText(code)}`);
      }
    },
    report: (patch) => inTurn('twin/reported', { code: codes.ipatch, format: 52, payload: JSON.stringify(patch) }),
    async leave() {
      client.close();
    },
  };
}

const settings = { udp: { port: 0 } };

export const coapDriver: ContractDriver = {
  settings,
  async connect(port, device, key) {
    const client = await CoapClient.open(port, [`device=${device}`, `key=${key}`]);
    return deviceOf(client, plainly(client)).catch((error) => {
      client.close();
      throw error;
    });
  },
};

/** Sequence numbers of each device, which keeps them over its connections. */
const numbers = new Map<string, OscoreClient>();

export const oscoreDriver: ContractDriver = {
  settings,
  async connect(port, device, key) {
    const client = await CoapClient.open(port);
    const secret = createHmac('sha256', Buffer.from(key, 'base64')).update('mooring psk').digest();
    const name = `${device} ${key}`;
    const oscore = new OscoreClient(client, device, secret, numbers.get(name)?.number);
    numbers.set(name, oscore);
    return deviceOf(client, sealed(client, oscore)).catch((error) => {
      client.close();
      throw error;
    });
  },
};
