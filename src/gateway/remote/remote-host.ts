import path from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { createHostParts, type HostParts, hostLimits } from '../host-parts.ts';
import type { TlsMaterial } from '../listeners.ts';
import { type OpenMemory, openMemory } from '../memory.ts';
import { Refused } from '../refused.ts';
import { HostedSession } from '../session.ts';
import type { CloseReason, ConnectOptions, DeviceSession, Handlers, Host, Log, Proof } from '../types.ts';
import type { HubConnection, HubCredential, HubPlace } from './amqp/connection.ts';
import { type DeviceEvents, DeviceLinks } from './amqp/device-links.ts';
import { SessionPool } from './amqp/session-pool.ts';
import { HubFiles } from './device-files.ts';
import { Forwarder } from './forwarder.ts';
import { HubLink } from './hub-link.ts';
import { Outcomes } from './outcomes.ts';
import { Proofs } from './proofs.ts';
import { Queue } from './queue.ts';
import type { WhenFull } from './queue-room.ts';
import { RemoteSession } from './remote-session.ts';
import { Reports } from './reports.ts';
import { GatewayStore } from './store.ts';

export interface RemoteHostOptions {
  readonly hub: HubPlace;
  readonly credential: HubCredential;
  /** Everything that must survive the gateway lies here. */
  readonly folder: string;
  /** Where the hub's HTTPS port is, for files of devices; absent = they have none. */
  readonly httpsPort?: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly queueBytesMax?: number;
  readonly whenFull?: WhenFull;
  readonly commitMs?: number;
  readonly lingerMs?: number;
  readonly idleMs?: number;
  /** Devices for which the adapter may vouch: whole ids, or beginnings with `*`; whose certificates it may say to have seen; whose shared keys it may have. */
  readonly vouchFor?: readonly string[];
  readonly certificatesOf?: readonly string[];
  readonly sharedKeysOf?: readonly string[];
  /** Makes devices that do not exist, where the adapter vouches for them; so many since the gateway has started. */
  readonly create?: { readonly max: number };
  /** What the adapter's TLS listeners show for `certificate: 'host'`. */
  readonly certificate?: () => TlsMaterial | undefined;
  /** A listener of the adapter is open. */
  readonly listening?: (where: { readonly host: string; readonly port: number }) => void;
}

/** The host of one adapter beside the devices: stores what comes, and has the hub by one connection. */
export class RemoteHost {
  readonly host: Host;
  readonly parts: HostParts;
  readonly queue: Queue;
  readonly forwarder: Forwarder;
  readonly link: HubLink;
  readonly #options: RemoteHostOptions;
  readonly #store: GatewayStore;
  readonly #memory: OpenMemory;
  readonly #proofs: Proofs;
  readonly #outcomes: Outcomes;
  readonly #reports: Reports;
  readonly #files: HubFiles | undefined;
  readonly #sessions = new Map<string, RemoteSession>();
  #pool: SessionPool | undefined;
  /** Sessions that wait for their links. */
  readonly #unattached = new Set<RemoteSession>();
  #attaching = 0;
  #isStopping = false;
  readonly counts = { connected: 0, refused: 0, dropped: 0, messagesRefused: 0 };

  /** @throws GatewayStoreError */
  constructor(options: RemoteHostOptions) {
    const { folder, clock, log, hub, credential } = options;
    this.#options = options;
    const store = new GatewayStore({ folder, clock, commitMs: options.commitMs });
    this.#store = store;
    this.#memory = openMemory(path.join(folder, 'memory.db'));
    const bytesMax = options.queueBytesMax ?? limits.gatewayQueueBytesDefault;
    this.queue = new Queue({ store, bytesMax, whenFull: options.whenFull ?? 'refuse' });
    this.queue.onDropped = (count) => this.#dropped(count);
    this.queue.onBroken = (count) => {
      this.counts.dropped += count;
      log.error('the disk has given messages back broken: they are dropped', { count });
    };
    this.forwarder = new Forwarder({
      queue: this.queue,
      clock,
      lingerMs: options.lingerMs,
      refused: ({ deviceId, moduleId }, kind) => {
        this.counts.messagesRefused++;
        const device = moduleId === undefined ? deviceId : `${deviceId}/${moduleId}`;
        log.warn('the hub refuses a message, which is dropped', { device, reason: kind });
        if (kind === 'unknown') this.#endOf(device, 'deleted');
        if (kind === 'disabled') this.#endOf(device, 'disabled');
      },
    });
    this.#outcomes = new Outcomes(store, clock);
    this.#reports = new Reports(store);
    const { httpsPort } = options;
    this.#files = httpsPort === undefined ? undefined : new HubFiles({ place: hub, httpsPort, credential, clock });
    this.link = new HubLink({
      ...{ place: hub, credential, clock, log, idleMs: options.idleMs },
      linked: (connection) => this.#linked(connection),
      lost: () => this.#lost(),
    });
    this.#proofs = new Proofs({
      ...{ store, clock, hubName: hub.host, createMax: options.create?.max ?? 0 },
      may: {
        vouched: matching(options.vouchFor),
        certificate: matching(options.certificatesOf),
        psk: matching(options.sharedKeysOf),
      },
      hub: () => {
        const node = this.link.connection?.node;
        return node && ((properties, body) => node.request(properties, body));
      },
    });
    this.parts = createHostParts({
      log,
      certificate: options.certificate ?? (() => undefined),
      sharedKey: (device) => this.#proofs.sharedKey(device),
      listening: options.listening,
    });
    this.host = this.#hostOf();
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  start(): void {
    this.link.start();
  }

  /** Ends the sessions and the connection. What is on the disk stays there. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const session of [...this.#sessions.values()]) session.end('stopping');
    await this.parts.listeners.close();
    await this.link.stop();
    this.#files?.close();
    this.#store.close();
    this.#memory.close();
  }

  #hostOf(): Host {
    const { clock, log } = this.#options;
    const { link, parts } = this;
    return {
      log,
      clock,
      metrics: parts.metrics,
      limits: hostLimits,
      listeners: parts.listeners,
      memory: this.#memory,
      get hubReachable() {
        return link.connection !== undefined;
      },
      health: parts.health,
      sharedKey: (device) => this.#proofs.sharedKey(device),
      connect: (proof, handlers, options = {}) => this.#connect(proof, handlers, options),
    };
  }

  async #connect(proof: Proof, handlers: Handlers, options: ConnectOptions): Promise<DeviceSession> {
    const { clock, log } = this.#options;
    this.#demandRoom(handlers);
    let expiresAt: number;
    try {
      expiresAt = await this.#proofs.check(proof);
    } catch (error) {
      this.counts.refused++;
      throw error;
    }
    const { device } = proof;
    this.#sessions.get(device)?.end('replaced');
    const hosted: HostedSession = new HostedSession({
      ...{ device, handlers, options, clock, log },
      ended: () => cancelExpiry(),
    });
    const session = new RemoteSession({
      ...{ device, clock, end: hosted, modelId: options.modelId, address: options.address },
      files: this.#files?.of(device),
      ...{ queue: this.queue, forwarder: this.forwarder, outcomes: this.#outcomes, reports: this.#reports },
      wants: {
        commands: handlers.command === undefined ? 0 : (options.commandsAtOnce ?? 1),
        methods: handlers.method !== undefined,
        desired: handlers.desired !== undefined,
      },
      lost: () => this.#attachLater(session),
      closed: () => {
        if (this.#sessions.get(device) === session) this.#sessions.delete(device);
        this.#unattached.delete(session);
      },
    });
    const cancelExpiry =
      expiresAt === Number.POSITIVE_INFINITY
        ? () => {}
        : clock.after(Math.max(0, expiresAt - clock.now()), () => session.end('expired'));
    hosted.wire = session;
    this.#sessions.set(device, session);
    this.counts.connected++;
    if (this.#pool !== undefined) await this.#attach(session, this.#pool);
    if (hosted.signal.aborted) throw new Refused('unauthorized', `The session has ended: ${hosted.signal.reason}.`);
    return hosted;
  }

  /** @throws Refused throttled */
  #demandRoom(handlers: Handlers): void {
    if (this.#isStopping) throw new Refused('unreachable', 'The gateway is stopping.');
    const links = Object.keys(handlers).length > 0 ? DeviceLinks.linksMax : 1;
    if (this.#sessions.size * links >= limits.gatewayLinksMax || this.#sessions.size >= hostLimits.sessionsMax) {
      throw new Refused('throttled', 'The gateway has as many sessions as its connection to the hub carries.', 60);
    }
  }

  #linked(connection: HubConnection): void {
    this.#pool = new SessionPool(connection);
    this.forwarder.linked(connection.batches);
    for (const session of this.#sessions.values()) this.#unattached.add(session);
    this.#attachNext();
    void this.#tellReports(this.#pool);
  }

  /** What devices have reported that are not connected any more, one after the other. Never rejects. */
  async #tellReports(pool: SessionPool): Promise<void> {
    for (const device of this.#reports.devices) {
      if (this.#pool !== pool) return;
      const patch = this.#sessions.has(device) ? undefined : this.#reports.find(device);
      if (patch === undefined) continue;
      const links = new DeviceLinks({
        ...{ pool, clock: this.#options.clock, device, wants: { commands: 0, methods: false, desired: false } },
        events: deaf,
      });
      try {
        await links.report(patch);
        await this.#reports.done(device, patch);
      } catch (error) {
        // What the hub refuses for good waits for nothing.
        if (error instanceof Refused && !error.retry) await this.#reports.done(device, patch).catch(() => {});
      } finally {
        links.close();
      }
    }
  }

  #lost(): void {
    this.#pool = undefined;
    this.forwarder.lost();
    this.#unattached.clear();
    for (const session of this.#sessions.values()) session.detach();
  }

  /** Some at a time: their links share the connection with messages. */
  #attachNext(): void {
    const pool = this.#pool;
    if (pool === undefined || this.#attaching >= limits.gatewayAttachesAtOnce) return;
    for (const session of this.#unattached) {
      this.#unattached.delete(session);
      this.#attaching++;
      void this.#attach(session, pool).then(() => {
        this.#attaching--;
        this.#attachNext();
      });
      if (this.#attaching >= limits.gatewayAttachesAtOnce) return;
    }
  }

  /** After growing pauses: a hub that ends the links of a device again and again is not asked each second. */
  #attachLater(session: RemoteSession): void {
    const doubled = limits.gatewayPauseMsMin * 2 ** Math.min(16, Math.max(0, session.losses - 1));
    const pauseMs = Math.min(limits.gatewayPauseMsMax, doubled) * (1 + Math.random());
    this.#options.clock.after(pauseMs, () => {
      if (this.#pool === undefined || session.isClosed || session.isAttached) return;
      this.#unattached.add(session);
      this.#attachNext();
    });
  }

  /** Never rejects: a session whose links cannot be opened now gets them later. */
  async #attach(session: RemoteSession, pool: SessionPool): Promise<void> {
    let cancel = (): void => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.#options.clock.after(limits.gatewayAnswerMs, resolve);
    });
    try {
      await Promise.race([session.attach(pool), late]);
    } catch (error) {
      if (session.isClosed) return;
      this.#options.log.debug('the links of a device cannot be opened now', {
        device: session.device,
        error: error instanceof Error ? error.message : String(error),
      });
    } finally {
      cancel();
    }
  }

  #endOf(device: string, reason: CloseReason): void {
    this.#proofs.forget(device);
    this.#sessions.get(device)?.end(reason);
  }

  #dropped(count: number): void {
    if (this.counts.dropped === 0) {
      this.#options.log.error('the queue is full: its oldest messages are dropped for newer ones', { count });
    }
    this.counts.dropped += count;
  }
}

/** Of links that only tell. */
const deaf: DeviceEvents = {
  command: () => {},
  commandOver: () => {},
  method: () => {},
  methodOver: () => {},
  desired: () => {},
  ended: () => {},
};

/** @param patterns Whole ids, or beginnings with `*` */
function matching(patterns: readonly string[] = []): (device: string) => boolean {
  return (device) =>
    patterns.some((pattern) => (pattern.endsWith('*') ? device.startsWith(pattern.slice(0, -1)) : device === pattern));
}
