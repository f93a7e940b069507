/**
 * A client of the AMQP door: the library that the vendor's own JavaScript SDKs stand on, with its events as promises,
 * and a bare socket for what no library would send.
 */
import { type EventEmitter, once } from 'node:events';
import net from 'node:net';
import rhea, {
  type Connection,
  type ConnectionOptions,
  type Delivery,
  type Message,
  type Receiver,
  type Sender,
} from 'rhea';
import { AmqpReader, type AmqpValue } from '../../src/wire/amqp/values.ts';

/** How a client's link or connection ended. */
export interface Ending {
  readonly condition: string;
  readonly description: string;
  readonly info: Readonly<Record<string, unknown>>;
}

/** As `until` waits: only a fault takes so long, however busy the machine is. */
const WAIT_MS_MAX = 25_000;

/** The promise's value, or an error that names what was waited for. */
export async function within<Value>(what: string, promise: Promise<Value>, ms = WAIT_MS_MAX): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function endingOf(error: unknown): Ending {
  const { condition, description, info } = (error ?? {}) as Partial<Ending>;
  return { condition: condition ?? '', description: description ?? '', info: info ?? {} };
}

export class AmqpDriver {
  readonly connection: Connection;
  /** How the connection was ended by the hub, or lost. */
  readonly ended: Promise<Ending>;

  private constructor(connection: Connection) {
    this.connection = connection;
    this.ended = new Promise((resolve) => {
      connection.on('connection_close', () => resolve(endingOf(connection.error)));
      connection.on('connection_error', () => resolve(endingOf(connection.error)));
      connection.on('disconnected', () => resolve({ condition: 'disconnected', description: '', info: {} }));
    });
    connection.on('error', () => {});
    connection.on('protocol_error', () => {});
  }

  /** Connects; the default is SASL ANONYMOUS. @throws if SASL is refused or the connection is not opened. */
  static async connect(
    port: number,
    options: Partial<ConnectionOptions> = { username: 'anonymous' },
  ): Promise<AmqpDriver> {
    const container = rhea.create_container();
    // An outcome that refuses makes the library emit on the container when nobody else listens.
    container.on('error', () => {});
    const connection = container.connect({
      port,
      host: '127.0.0.1',
      hostname: 'localhost',
      reconnect: false,
      ...options,
    } as ConnectionOptions);
    const driver = new AmqpDriver(connection);
    const opened = new Promise<void>((resolve) => connection.once('connection_open', () => resolve()));
    const refused = driver.ended.then((ending) => {
      throw new Error(`not connected: ${ending.condition} ${ending.description}`);
    });
    await within('the open connection', Promise.race([opened, refused]));
    return driver;
  }

  /** Attaches a receiver; resolves with how it ended if the hub detaches it at once. */
  receive(source: unknown, options: Record<string, unknown> = {}): DriverReceiver {
    return new DriverReceiver(
      this.connection.open_receiver({ source, credit_window: 0, autoaccept: true, ...options } as never),
    );
  }

  send(target: unknown, options: Record<string, unknown> = {}): DriverSender {
    return new DriverSender(this.connection.open_sender({ target, ...options } as never));
  }

  /** Begins a session beside the first one; resolves `ended` with how the hub has ended it. */
  session(): DriverSession {
    return new DriverSession((this.connection as unknown as { create_session(): RheaSession }).create_session());
  }

  /** A pair of links to a node that answers; each call of the result is one request. */
  async node(address: string): Promise<(request: Partial<Message>) => Promise<Message>> {
    const replyTo = `reply-${Math.random().toString(16).slice(2)}`;
    const answers = this.receive(address, { target: { address: replyTo }, credit_window: 50 });
    const requests = this.send(address);
    await Promise.all([answers.opened(), requests.opened()]);
    let next = 1;
    return async (request) => {
      const message = { message_id: `m${next++}`, reply_to: replyTo, ...request } as Message;
      const answer = answers.next();
      requests.link.send(message);
      return within('the answer', answer);
    };
  }

  /** Puts a token; resolves to the status. */
  async putToken(token: string, name = 'sb://localhost/myhub'): Promise<Message> {
    this.#cbs ??= await this.node('$cbs');
    return this.#cbs({
      application_properties: { operation: 'put-token', type: 'servicebus.windows.net:sastoken', name },
      body: token,
    });
  }
  #cbs: ((request: Partial<Message>) => Promise<Message>) | undefined;

  /** Cuts the socket, without a word to the hub. */
  async cut(): Promise<void> {
    // The library does not count on this, and would leave its timer behind.
    const { socket, heartbeat_out: timer } = this.connection as unknown as {
      socket: net.Socket;
      heartbeat_out?: NodeJS.Timeout;
    };
    clearTimeout(timer);
    socket.destroy();
    await once(socket, 'close');
  }

  async close(): Promise<void> {
    this.connection.close();
    await within('the end of the connection', this.ended);
  }
}

interface RheaSession extends EventEmitter {
  readonly error?: unknown;
  begin(): void;
  open_sender(options: object): Sender;
  open_receiver(options: object): Receiver;
}

/** A session of its own for some of a connection's links. */
export class DriverSession {
  readonly #session: RheaSession;
  /** How the hub has ended it. */
  readonly ended: Promise<Ending>;

  constructor(session: RheaSession) {
    this.#session = session;
    this.ended = new Promise((resolve) => {
      session.once('session_close', () => resolve(endingOf(session.error)));
    });
    session.on('session_error', () => {});
    session.begin();
  }

  send(target: unknown): DriverSender {
    return new DriverSender(this.#session.open_sender({ target }));
  }

  receive(source: unknown): DriverReceiver {
    return new DriverReceiver(this.#session.open_receiver({ source, credit_window: 0, autoaccept: true }));
  }

  ending(): Promise<Ending> {
    return within('the end of the session', this.ended);
  }
}

abstract class DriverLink<Link extends Sender | Receiver> {
  readonly link: Link;
  readonly #opened: Promise<void>;
  /** How the hub has detached it. */
  readonly detached: Promise<Ending>;

  constructor(link: Link, kind: 'sender' | 'receiver') {
    this.link = link;
    this.#opened = once(link, `${kind}_open`).then(() => {});
    this.detached = new Promise((resolve) => {
      link.once(`${kind}_close`, () => resolve(endingOf(link.error)));
    });
    link.on(`${kind}_error`, () => {});
  }

  opened(): Promise<void> {
    return within('the attach', this.#opened);
  }

  ending(): Promise<Ending> {
    return within('the detach', this.detached);
  }
}

/** What became of a message that was sent: `accepted`, or the condition of the error. */
export type Outcome = 'accepted' | 'released' | 'modified' | Ending;

export class DriverSender extends DriverLink<Sender> {
  readonly #waiting = new Map<unknown, (outcome: Outcome) => void>();

  constructor(link: Sender) {
    super(link, 'sender');
    for (const kind of ['accepted', 'released', 'modified'] as const) {
      link.on(kind, ({ delivery }) => this.#waiting.get(delivery)?.(kind));
    }
    link.on('rejected', ({ delivery }) =>
      this.#waiting.get(delivery)?.(endingOf((delivery?.remote_state as { error?: unknown })?.error)),
    );
  }

  /** Sends and waits for the hub's word. Bytes are sent as they are, with their message format. */
  async outcome(message: Partial<Message> | Buffer, format = 0): Promise<Outcome> {
    const given = Buffer.isBuffer(message) ? format : undefined;
    const delivery = this.link.send(message as Message, undefined as never, given);
    return within('the outcome', new Promise<Outcome>((resolve) => this.#waiting.set(delivery, resolve)));
  }
}

export class DriverReceiver extends DriverLink<Receiver> {
  readonly messages: Message[] = [];
  /** The deliveries that brought the messages, to be settled where the link does not accept by itself. */
  readonly deliveries: Delivery[] = [];
  #wanted: { readonly count: number; readonly resolve: () => void }[] = [];
  #taken = 0;

  constructor(link: Receiver) {
    super(link, 'receiver');
    link.on('message', ({ message, delivery }) => {
      this.messages.push(message as Message);
      this.deliveries.push(delivery as Delivery);
      const met = this.#wanted.filter(({ count }) => this.messages.length >= count);
      this.#wanted = this.#wanted.filter((wanted) => !met.includes(wanted));
      for (const { resolve } of met) resolve();
    });
  }

  /** Waits until `count` messages have come in all. */
  async received(count: number): Promise<readonly Message[]> {
    if (this.messages.length < count) {
      const met = new Promise<void>((resolve) => this.#wanted.push({ count, resolve }));
      await within(`message ${count} (there are ${this.messages.length})`, met);
    }
    return this.messages;
  }

  /** The next message that nobody has taken yet. */
  async next(): Promise<Message> {
    const at = this.#taken++;
    await this.received(at + 1);
    return this.messages[at];
  }

  credit(count: number): void {
    this.link.add_credit(count);
  }
}

/** The text of a message's body. */
export function bodyText(message: Message): string {
  return message.body.content.toString('utf8');
}

/** A socket that sends what it is told and notes what comes. */
export class RawAmqp {
  readonly socket: net.Socket;
  #received = Buffer.alloc(0);
  readonly ended: Promise<void>;
  #frames: { readonly code: number; readonly fields: readonly AmqpValue[] }[] = [];
  #readTo = 0;
  #wake: () => void = () => {};

  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    socket.on('error', () => {});
    this.ended = new Promise((resolve) => {
      socket.once('close', () => {
        this.#wake();
        resolve();
      });
    });
  }

  get received(): Buffer {
    return this.#received;
  }

  /** What has come is forgotten, or replaced. */
  set received(bytes: Buffer<ArrayBuffer>) {
    this.#received = bytes;
    this.#frames = [];
    this.#readTo = 0;
  }

  static async connect(port: number): Promise<RawAmqp> {
    const socket = net.connect(port, '127.0.0.1');
    const raw = new RawAmqp(socket);
    await once(socket, 'connect');
    return raw;
  }

  write(...parts: (string | Uint8Array)[]): void {
    for (const part of parts) this.socket.write(part);
  }

  /** Waits until the hub has ended the connection. */
  end(): Promise<void> {
    return within('the end of the socket', this.ended);
  }

  /** Waits until so many frames with this performative have come; the fields of the last of them. */
  async frame(code: number, count = 1): Promise<readonly AmqpValue[]> {
    const find = async (): Promise<readonly AmqpValue[]> => {
      for (;;) {
        const found = this.frames().filter((frame) => frame.code === code)[count - 1];
        if (found !== undefined) return found.fields;
        if (this.socket.destroyed) throw new Error(`the socket ended without performative ${code.toString(16)}`);
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    };
    return within(`performative ${code.toString(16)}`, find());
  }

  /** Complete frames so far; protocol headers are left out. */
  frames(): readonly { readonly code: number; readonly fields: readonly AmqpValue[] }[] {
    const { received } = this;
    // What was read before is not read again: a test may wait for the last of thousands.
    for (let at = this.#readTo; at + 8 <= received.length; at = this.#readTo) {
      const isHeader = received.toString('latin1', at, at + 4) === 'AMQP';
      const end = at + (isHeader ? 8 : received.readUInt32BE(at));
      if (end > received.length) break;
      if (!isHeader && end > at + 8) {
        const reader = new AmqpReader(received, at + 8, end);
        this.#frames.push({ code: Number(reader.descriptor()), fields: reader.list().values });
      }
      this.#readTo = end;
    }
    return this.#frames;
  }
}
