import { randomUUID } from 'node:crypto';
import rhea, { type Connection, type EventContext, type Receiver, type Sender } from 'rhea';
import { signSas } from '../../api/sas.ts';
import { limits } from '../../base/limits.ts';
import { Failure, networkFailure, wrongPort } from '../failure.ts';
import { type Login, policyCredentialOf, serverName } from '../login/login.ts';
import { AmqpFailure, amqpFailure } from './amqp-failures.ts';
import type { AmqpMessage } from './event.ts';

const TOKEN_LIFE_MS = 3600_000;
const TOKEN_RENEWAL_MS = 45 * 60_000;
/** How long the hub may take for an answer before the connection counts as dead. */
const ANSWER_MS = 30_000;
/** Silence that this side accepts; the hub sends empty frames within half of it. */
const IDLE_MS = 60_000;

/** An open AMQP connection whose token the hub has accepted, and which renews it. */
export interface EventConnection {
  /** Sends a request to a request-response node and resolves with the answer. */
  request(address: string, properties: Readonly<Record<string, string>>): Promise<AmqpMessage>;
  receive(options: ReceiveOptions): Receiver;
  /** Resolves with the reason when the connection is over, for whatever reason; never rejects. */
  readonly ended: Promise<Failure>;
  close(): void;
}

export interface ReceiveOptions {
  readonly address: string;
  readonly selector?: string;
  onEvent(message: AmqpMessage): void;
  /** The link ended; the connection may live on. */
  onEnd(failure: Failure, context: EventContext): void;
}

/**
 * Connects by TLS (or plain, where the hub serves only that), opens without SASL as the service SDKs do, and proves the
 * policy by a put-token to `$cbs` (service reference 1.2, 1.3).
 * @throws Failure when nothing answers, or the hub refuses.
 */
export async function connectEvents(login: Login): Promise<EventConnection> {
  const { key, policyName } = policyCredentialOf(login, 'service', 'eventHubs');
  const connection = open(login);
  const ended = endOf(connection, login);
  const nodes = new Map<string, RequestNode>();
  const node = (address: string): RequestNode => {
    const known = nodes.get(address) ?? requestNode(connection, address, ended);
    nodes.set(address, known);
    return known;
  };
  const authorize = async (): Promise<void> => {
    const expiresAt = Date.now() + TOKEN_LIFE_MS;
    const token = await signSas({ resource: login.hostName, key, policyName, expiresAt });
    const properties = { operation: 'put-token', type: 'servicebus.windows.net:sastoken', name: login.hostName };
    await node('$cbs').request(properties, token);
  };
  let renewal: NodeJS.Timeout | undefined;
  const close = (): void => {
    clearInterval(renewal);
    if (connection.is_open()) connection.close();
    // A peer that does not answer the close must not keep the process.
    setTimeout(() => connection.socket?.destroy(), 1000).unref();
  };
  try {
    await authorize();
  } catch (error) {
    close();
    throw error;
  }
  renewal = setInterval(() => void authorize().catch(close), TOKEN_RENEWAL_MS);
  renewal.unref();
  void ended.then(() => clearInterval(renewal));
  return {
    request: (address, properties) => node(address).request(properties, ''),
    receive: (options) => openReceiver(connection, options),
    ended,
    close,
  };
}

function placeOf(login: Login): { port: number; tls: boolean } {
  const { amqps, amqp } = login.ports;
  if (amqps !== undefined) return { port: amqps, tls: true };
  if (amqp !== undefined) return { port: amqp, tls: false };
  throw new Failure(`The hub of ${login.source} serves no AMQP port.`, { hint: 'Start it with --amqps-port 0.' });
}

function open(login: Login): Connection {
  const { port, tls } = placeOf(login);
  // A container of its own: rhea's default one would share handlers between connections.
  const connection = rhea.create_container().create_connection({
    host: login.hostName,
    port,
    transport: tls ? 'tls' : 'tcp',
    servername: serverName(login.hostName),
    ...(login.ca === undefined ? {} : { ca: login.ca.pem }),
    hostname: login.hostName,
    reconnect: false,
    idle_time_out: IDLE_MS,
    max_frame_size: limits.amqpFrameBytesMax,
  } as Parameters<ReturnType<typeof rhea.create_container>['create_connection']>[0]);
  connection.connect();
  return connection;
}

function endOf(connection: Connection, login: Login): Promise<Failure> {
  const { port } = placeOf(login);
  return new Promise((resolve) => {
    let closeError: Failure | undefined;
    let spoken = false;
    connection.on('connection_open', () => {
      spoken = true;
    });
    connection.on('connection_error', ({ connection: { error } }: EventContext) => {
      closeError = amqpFailure(error, 'connection');
    });
    connection.on('connection_close', () => resolve(closeError ?? new Failure('The hub closed the connection.')));
    connection.on('session_error', ({ session }: EventContext) => {
      resolve(amqpFailure(session?.error, 'session'));
      connection.close();
    });
    connection.on('session_close', () => resolve(new Failure('The hub closed the session.')));
    connection.on('disconnected', ({ error }: EventContext) => {
      const lost = 'The connection to the hub was lost.';
      resolve(error ? networkFailure(error, `${login.hostName}:${port}`) : new Failure(lost));
    });
    // Without these two rhea writes the received bytes to standard error, or throws.
    connection.on('protocol_error', (error: Error) => {
      if (spoken) return resolve(amqpFailure(error, 'connection'));
      const message = `What answers at ${login.hostName}:${port} does not speak AMQP: ${error.message}.`;
      resolve(new Failure(message, { cause: error, hint: wrongPort }));
    });
    connection.on('error', (error: Error) => resolve(amqpFailure(error, 'connection')));
  });
}

function openReceiver(connection: Connection, options: ReceiveOptions): Receiver {
  const filter =
    options.selector === undefined
      ? {}
      : { filter: { [selectorName]: rhea.types.wrap_described(options.selector, selectorName) } };
  const receiver = connection.open_receiver({
    name: randomUUID(),
    source: { address: options.address, ...filter } as { address: string },
    target: { address: `mooring-cli-${randomUUID()}` },
    credit_window: 0,
  });
  let over = false;
  const end = (context: EventContext): void => {
    if (over) return;
    over = true;
    options.onEnd(amqpFailure(receiver.error, 'reading'), context);
  };
  receiver.on('message', ({ message }: EventContext) => options.onEvent(message as AmqpMessage));
  receiver.on('receiver_error', end);
  receiver.on('receiver_close', end);
  return receiver;
}

/** Service reference 5.4: the name of the source filter, and as a symbol its descriptor. */
const selectorName = 'apache.org:selector-filter:string';

interface RequestNode {
  request(properties: Readonly<Record<string, string>>, body: string): Promise<AmqpMessage>;
}

/** A sender and a receiver on one node of the hub; answers find their request by correlation id. */
function requestNode(connection: Connection, address: string, ended: Promise<Failure>): RequestNode {
  const replyTo = `mooring-cli-${randomUUID()}`;
  const waiting = new Map<string, { resolve(answer: AmqpMessage): void; reject(failure: Failure): void }>();
  let over: Failure | undefined;
  const failAll = (failure: Failure): void => {
    over ??= failure;
    for (const { reject } of waiting.values()) reject(over);
    waiting.clear();
  };
  void ended.then(failAll);
  const linkEnd = ({ sender, receiver }: EventContext): void => {
    failAll(amqpFailure((receiver ?? sender)?.error, `link to ${address}`));
  };
  const receiver = connection.open_receiver({ name: replyTo, source: { address }, target: { address: replyTo } });
  const sender: Sender = connection.open_sender({ source: { address: replyTo }, target: { address } });
  for (const [link, kind] of [
    [receiver, 'receiver'],
    [sender, 'sender'],
  ] as const) {
    link.on(`${kind}_error`, linkEnd);
    link.on(`${kind}_close`, linkEnd);
  }
  sender.on('rejected', ({ delivery }: EventContext) => {
    failAll(amqpFailure(delivery?.remote_state?.error, `request to ${address}`));
  });
  receiver.on('message', ({ message }: EventContext) => {
    const id = String(message?.correlation_id);
    const waiter = waiting.get(id);
    if (waiter === undefined || message === undefined) return;
    waiting.delete(id);
    const refusal = refusalOf(message as AmqpMessage);
    if (refusal === undefined) waiter.resolve(message as AmqpMessage);
    else waiter.reject(refusal);
  });
  return {
    request(properties, body) {
      if (over !== undefined) return Promise.reject(over);
      const id = randomUUID();
      const message = {
        message_id: id,
        to: address,
        reply_to: replyTo,
        application_properties: properties,
        body,
      };
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(id);
          reject(new Failure(`The hub gave no answer to ${address} within ${ANSWER_MS / 1000} s.`));
        }, ANSWER_MS);
        const settle =
          <T>(then: (value: T) => void) =>
          (value: T) => {
            clearTimeout(timer);
            then(value);
          };
        waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
        sender.send(message);
      });
    },
  };
}

/** Answers carry an HTTP-like status (service reference 1.3, 5.3). */
function refusalOf({ application_properties: properties }: AmqpMessage): Failure | undefined {
  const status = properties?.['status-code'];
  if (typeof status === 'number' && status >= 200 && status < 300) return undefined;
  const condition = properties?.['error-condition'] ?? (status === 401 ? 'amqp:unauthorized-access' : undefined);
  const description = properties?.['status-description'];
  const text = typeof description === 'string' ? description : `status ${status}`;
  if (condition !== undefined) return new AmqpFailure(String(condition), text);
  return new Failure(`The hub refused: ${text}.`);
}
