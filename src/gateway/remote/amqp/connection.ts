import { randomUUID } from 'node:crypto';
import { isIP } from 'node:net';
import rhea, { type Connection, type ConnectionOptions, type EventContext, type Message, type Session } from 'rhea';
import { signSas } from '../../../api/sas.ts';
import type { Cancel, Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import { BatchSender } from './batch-sender.ts';
import { endingOf, failureOf, HubFailure } from './failure.ts';
import { RequestNode } from './request-node.ts';

/** Where a hub is. */
export interface HubPlace {
  /** Name by which the hub knows itself: for TLS, and in tokens. */
  readonly host: string;
  /** Where to connect to; absent = `host`. */
  readonly address?: string;
  readonly port: number;
  readonly isTls: boolean;
  /** Authority of the hub's certificate, PEM; absent = those of the system. */
  readonly ca?: string;
}

/** A policy with DeviceConnect, by its key or by a finished token for all devices. */
export type HubCredential =
  | { readonly kind: 'key'; readonly policyName: string; readonly key: string }
  | { readonly kind: 'token'; readonly token: string };

/**
 * A connection to the hub that has proved the gateway's policy, and renews it by one token for all devices. It carries batches, questions
 * about devices, and the links of devices.
 */
export class HubConnection {
  readonly batches: BatchSender;
  readonly node: RequestNode;
  /** Resolves when it is over, for whatever reason. */
  readonly ended: Promise<HubFailure>;
  readonly #connection: Connection;
  readonly #credential: HubCredential;
  readonly #place: HubPlace;
  readonly #clock: Clock;
  readonly #cbs: RequestNode;
  #end!: (failure: HubFailure) => void;
  #isOver = false;
  #cancelRenewal: Cancel = () => {};

  private constructor(place: HubPlace, credential: HubCredential, clock: Clock, idleMs: number) {
    this.#place = place;
    this.#credential = credential;
    this.#clock = clock;
    this.#connection = connectionTo(place, idleMs);
    this.ended = new Promise((resolve) => {
      this.#end = (failure) => {
        if (this.#isOver) return;
        this.#isOver = true;
        this.#cancelRenewal();
        resolve(failure);
      };
    });
    this.#watch();
    const abandon = (failure: HubFailure): void => this.abandon(failure);
    const parts = { connection: this.#connection, clock, ended: this.ended, abandon };
    this.#cbs = new RequestNode({ ...parts, address: '$cbs' });
    this.node = new RequestNode({ ...parts, address: '$gateway' });
    this.batches = new BatchSender(parts);
  }

  /**
   * @param idleMs silence after which this side takes the connection for lost; the hub sends four empty frames in it
   * @throws HubFailure
   */
  static async open(
    place: HubPlace,
    credential: HubCredential,
    clock: Clock,
    idleMs: number = limits.gatewayIdleMs,
  ): Promise<HubConnection> {
    const connection = new HubConnection(place, credential, clock, idleMs);
    const over = connection.ended.then((failure) => {
      throw failure;
    });
    let cancel: Cancel = () => {};
    const late = new Promise<never>((_, reject) => {
      cancel = clock.after(limits.gatewayOpenMs, () =>
        reject(new HubFailure('unreachable', 'The hub does not answer.')),
      );
    });
    try {
      await Promise.race([connection.#prepare(), over, late]);
      return connection;
    } catch (error) {
      const failure = error instanceof HubFailure ? error : new HubFailure('unreachable', (error as Error).message);
      connection.abandon(failure);
      throw failure;
    } finally {
      cancel();
      over.catch(() => {});
      late.catch(() => {});
    }
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Bytes of the socket so far, without those of IP and TCP. */
  get bytes(): { readonly sent: number; readonly received: number } {
    const { socket } = this.#connection as unknown as { socket?: { bytesWritten?: number; bytesRead?: number } };
    return { sent: socket?.bytesWritten ?? 0, received: socket?.bytesRead ?? 0 };
  }

  /** Of its own, for the links of some devices. */
  session(): Session {
    const session = (this.#connection as unknown as { create_session(): Session }).create_session();
    session.begin();
    return session;
  }

  /** Ends it without waiting for the hub. */
  abandon(failure: HubFailure): void {
    this.#end(failure);
    const { socket } = this.#connection;
    socket?.destroy();
    endTimers(this.#connection);
  }

  /** Ends it properly. */
  async close(): Promise<void> {
    if (!this.#isOver && this.#connection.is_open()) {
      const closed = new Promise<void>((resolve) => this.#connection.once('connection_close', () => resolve()));
      this.#connection.close();
      await Promise.race([closed, new Promise<void>((resolve) => this.#clock.after(limits.gatewayCloseMs, resolve))]);
    }
    this.abandon(new HubFailure('unreachable', 'The gateway has closed its connection.'));
  }

  async #prepare(): Promise<void> {
    await this.#authorize();
    this.#renewLater();
    await Promise.all([this.batches.open(), this.node.open()]);
  }

  async #authorize(): Promise<void> {
    const { host } = this.#place;
    const resource = `${host}/devices`;
    const credential = this.#credential;
    const token =
      credential.kind === 'token'
        ? credential.token
        : await signSas({ ...credential, resource, expiresAt: this.#clock.now() + limits.gatewayTokenMs });
    const properties = { operation: 'put-token', type: 'servicebus.windows.net:sastoken', name: resource };
    const { status, description } = await this.#cbs.request(properties, token);
    if (status >= 200 && status < 300) return;
    throw failureOf({ condition: status === 401 ? 'amqp:unauthorized-access' : '', description }, 'token');
  }

  #renewLater(): void {
    if (this.#credential.kind === 'token') return;
    this.#cancelRenewal = this.#clock.after(limits.gatewayTokenMs * RENEWED_AT, () => {
      this.#authorize().then(
        () => this.#renewLater(),
        // The next connection proves it anew, or says why not.
        (error: unknown) => this.abandon(new HubFailure('unreachable', `The token could not be renewed: ${error}`)),
      );
    });
  }

  #watch(): void {
    const connection = this.#connection;
    const { host, port } = this.#place;
    let told: HubFailure | undefined;
    connection.on('connection_error', () => {
      told = failureOf(endingOf(connection.error), 'connection');
    });
    connection.on('connection_close', () => this.#end(told ?? failureOf(endingOf(undefined), 'connection')));
    // Links of one device end with a session of theirs; that of the gateway itself is seen by its links.
    connection.on('session_error', () => {});
    connection.on('sender_error', () => {});
    connection.on('receiver_error', () => {});
    connection.on('disconnected', ({ error }: EventContext) => {
      const why = error === undefined ? '' : `: ${(error as Error).message}`;
      this.abandon(
        told ?? new HubFailure('unreachable', `The connection to ${host}:${port} failed or was lost${why}.`),
      );
    });
    const broken = (error: Error): void =>
      this.abandon(new HubFailure('unreachable', `What answers at ${host}:${port} broke off: ${error.message}.`));
    connection.on('protocol_error', broken);
    connection.on('error', broken);
  }
}

/**
 * The library leaves the timers of its empty frames behind: what it still writes into a socket that is gone begins them again, and so
 * does the end of the read in which a connection was given up.
 */
export function endTimers(connection: Connection): void {
  const inner = connection as unknown as {
    socket_ready: boolean;
    heartbeat_out?: NodeJS.Timeout;
    heartbeat_in?: NodeJS.Timeout;
  };
  inner.socket_ready = false;
  const end = (): void => {
    clearTimeout(inner.heartbeat_out);
    clearTimeout(inner.heartbeat_in);
  };
  end();
  process.nextTick(end);
}

/** Share of a token's life after which it is renewed. */
const RENEWED_AT = 0.75;

function connectionTo({ host, address = host, port, isTls, ca }: HubPlace, idleMs: number): Connection {
  // A container of its own: the default one shares handlers between connections.
  const container = rhea.create_container({ id: `mooring-gateway-${randomUUID()}` });
  container.on('error', () => {});
  const options = {
    host: address,
    port,
    hostname: host,
    transport: isTls ? 'tls' : 'tcp',
    // Names only (RFC 6066 section 3).
    servername: isIP(host) === 0 ? host : '',
    ...(ca === undefined ? {} : { ca }),
    reconnect: false,
    // The library waits for twice what it asks the hub for.
    idle_time_out: idleMs / 2,
    max_frame_size: limits.amqpFrameBytesMax,
    channel_max: limits.amqpSessionsMax - 1,
  };
  return container.connect(options as unknown as ConnectionOptions);
}

export type AmqpMessage = Message;
