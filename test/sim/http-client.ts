import type net from 'node:net';
import { type HubHost, NoAnswer, type Running } from './hub-host.ts';
import { Connection } from './network.ts';
import type { Dice, World } from './world.ts';

export interface HttpRequest {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  readonly token: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly body?: Buffer;
}

export interface HttpAnswer {
  readonly status: number;
  /** By names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

interface Waiting {
  answered(answer: HttpAnswer): void;
  lost(): void;
}

/** No client waits longer. */
const PATIENCE_MS = 20_000;
/** What the hub has in hand for a connection that is gone is done by then, or never. */
const AFTERMATH_MS = 2000;
const HEAD_END = Buffer.from('\r\n\r\n');

/**
 * An HTTP/1.1 client with a connection that it keeps from one request to the next. Requests are put together and answers
 * taken apart by hand: clients bring timers of the machine.
 */
export class HttpClient {
  readonly #world: World;
  readonly #host: HubHost;
  readonly #name: string;
  readonly #dice: Dice;
  #connections = 0;
  #running: Running | undefined;
  #connection: Connection | undefined;
  #received = Buffer.alloc(0);
  #waiting: Waiting | undefined;

  constructor(world: World, host: HubHost, name: string) {
    this.#world = world;
    this.#host = host;
    this.#name = name;
    this.#dice = world.dice(`${name} over HTTP`);
  }

  /** One at a time. @throws NoAnswer: the hub has done it by then, or never will. */
  async request(request: HttpRequest): Promise<HttpAnswer> {
    const { scheduler, counters } = this.#world;
    await scheduler.sleep(this.#dice.wait(2));
    const connection = this.#open();
    counters.requests++;
    return new Promise((resolve, reject) => {
      const cancel = scheduler.after(PATIENCE_MS, () => this.#giveUp());
      this.#waiting = {
        answered: (answer) => {
          cancel();
          resolve(answer);
        },
        lost: () => {
          cancel();
          const error = new NoAnswer(`${request.method} ${request.path} had no answer`);
          scheduler.after(AFTERMATH_MS, () => reject(error));
        },
      };
      this.#send(connection, bytesOf(request));
    });
  }

  #open(): Connection {
    const { running } = this.#host;
    if (this.#connection !== undefined && this.#running === running) return this.#connection;
    if (running?.http === undefined) throw new NoAnswer('the hub is down');
    const { scheduler, counters } = this.#world;
    const connection = new Connection(
      scheduler,
      this.#world.dice(`${this.#name} over HTTP/${this.#connections++}`),
      running.life,
      {
        bytes: (chunk) => connection === this.#connection && this.#take(chunk),
        closed: () => connection === this.#connection && this.#lost(),
      },
    );
    counters.connections++;
    this.#running = running;
    this.#connection = connection;
    this.#received = Buffer.alloc(0);
    // The runtime holds its parser, and with it the whole hub, for as long as the connection is not closed.
    running.life.onEnd(() => connection.hubEnd.destroy());
    running.http.accept(connection.hubEnd as unknown as net.Socket);
    return connection;
  }

  /** Some requests come in two parts, and on some the connection breaks. */
  #send(connection: Connection, bytes: Buffer): void {
    const { plan, calm, counters, scheduler } = this.#world;
    const dice = this.#dice;
    const cut = dice.chance(0.2) ? dice.between(1, bytes.length) : bytes.length;
    connection.send(bytes.subarray(0, cut));
    if (cut < bytes.length) connection.send(bytes.subarray(cut));
    if (calm) return;
    if (plan.stalls && dice.chance(0.02)) {
      counters.stalledPeers++;
      connection.stall();
      scheduler.after(dice.wait(5000), () => connection.unstall());
    }
    if (plan.breakEveryMs === 0 || !dice.chance(0.05)) return;
    scheduler.after(dice.wait(10), () => {
      if (!connection.isOpen) return;
      if (dice.chance(plan.vanishRate)) {
        counters.vanishedPeers++;
        connection.vanish();
        if (connection === this.#connection) this.#lost();
      } else {
        counters.brokenConnections++;
        connection.break();
      }
    });
  }

  #take(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    const headEnd = this.#received.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const [first, ...lines] = this.#received.subarray(0, headEnd).toString('latin1').split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1]);
    const headers = new Map(lines.map((line) => pairOf(line)));
    const length = status === 204 ? 0 : Number(headers.get('content-length'));
    if (Number.isNaN(status) || Number.isNaN(length)) {
      this.#world.find(`${this.#name} received what is no answer: ${this.#received.toString('latin1')}`);
      return;
    }
    const end = headEnd + HEAD_END.length + length;
    if (this.#received.length < end) return;
    const body = this.#received.subarray(headEnd + HEAD_END.length, end);
    const waiting = this.#waiting;
    this.#world.check(waiting !== undefined && this.#received.length === end, () => {
      return `${this.#name} received more than it has asked for`;
    });
    this.#received = Buffer.alloc(0);
    this.#waiting = undefined;
    if (headers.get('connection') === 'close') this.#forget();
    waiting?.answered({ status, headers, body });
  }

  #giveUp(): void {
    const connection = this.#connection;
    this.#lost();
    connection?.break();
  }

  #lost(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#forget();
    waiting?.lost();
  }

  #forget(): void {
    this.#connection = undefined;
  }
}

function bytesOf({ method, path, token, headers = [], body }: HttpRequest): Buffer {
  const lines = [
    `${method} ${path} HTTP/1.1`,
    'Host: localhost',
    `Authorization: ${token}`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
    ...(body === undefined ? [] : [`Content-Length: ${body.length}`]),
  ];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body ?? Buffer.alloc(0)]);
}

function pairOf(line: string): readonly [string, string] {
  const colon = line.indexOf(':');
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}
