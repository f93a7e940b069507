/** From a request to its answer: who asks, its whole body, its resource, and the blocks that the answer goes out in. */
import { limits } from '../../base/limits.ts';
import { type DeviceSession, type Host, Refused } from '../../gateway/index.ts';
import { blockBytes, encodeBlock } from '../../wire/coap/blocks.ts';
import { type CoapMessage, codes, empty, options } from '../../wire/coap/messages.ts';
import { Bodies, sliceOf, Uploads } from './blocks.ts';
import { type Answer, type Caller, refusal, type Serve, type Shown } from './exchange.ts';
import { FileTransfers, isFile } from './files.ts';
import { fingerprint, Link } from './links.ts';
import type { Observed, Observer } from './observers.ts';
import { isRefusal, queryOf, type Request, readRequest } from './request.ts';
import {
  discovery,
  isDiscovery,
  isMessage,
  isTelemetry,
  type Observation,
  readTelemetry,
  refusedAnswer,
  sendTelemetry,
  serveResource,
} from './resources.ts';

export interface ServerOptions {
  readonly acknowledge: 'stored' | 'hub';
  readonly idleSeconds: number;
  tag(): Buffer;
  /** The device's proofs count no more: what was kept of its protection is to go. */
  revoked(device: string): void;
}

/** A block that an address which has not proved itself gets: with its head at most three times as long as what asks for it. */
const UNPROVED_EXPONENT = 1;

export class CoapServer {
  readonly #host: Host;
  readonly #options: ServerOptions;
  readonly #links = new Map<string, Link>();
  /** Devices of whom a caller observes something, while it may end: callers by UDP do not. */
  readonly #observed = new Map<string, Set<string>>();
  readonly #uploads: Uploads;
  readonly #bodies: Bodies;
  readonly #files: FileTransfers;

  constructor(host: Host, serverOptions: ServerOptions) {
    this.#host = host;
    this.#options = serverOptions;
    this.#uploads = new Uploads(host.clock, host.limits.messageBytesMax);
    this.#bodies = new Bodies(host.clock);
    this.#files = new FileTransfers(host);
  }

  readonly serve: Serve = (message, caller) => {
    const { repeated } = caller;
    if (repeated !== undefined && repeated.options === message.options && repeated.code === message.code) {
      const taken = repeated.take(message.payload);
      if (taken !== undefined) return taken;
    }
    const request = readRequest(message);
    if (isRefusal(request)) return request;
    if (isDiscovery(request)) return this.#discovery(request, caller);
    // On behalf of another device, a request shows that device's credentials.
    const shown = shownBy(request) ?? caller.proof;
    if (shown === undefined) return refusal(codes.unauthorized, 'show device and key');
    return this.#serveDevice(message, request, caller, shown);
  };

  /** A caller is gone: what it observed goes with it. */
  ended(callerKey: string): void {
    for (const device of this.#observed.get(callerKey) ?? []) this.#links.get(device)?.observers.removeOf(callerKey);
    this.#observed.delete(callerKey);
  }

  sweep(): void {
    this.#uploads.sweep();
    this.#bodies.sweep();
    this.#files.sweep();
    for (const [device, link] of this.#links) if (link.sweep()) this.#links.delete(device);
    for (const [caller, devices] of this.#observed)
      if (![...devices].some((device) => this.#links.get(device)?.observers.size)) this.#observed.delete(caller);
    this.#host.metrics.gauge('devices', this.#links.size);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#links.values()].map((link) => link.close()));
    this.#links.clear();
  }

  #discovery(request: Request, caller: Caller): Answer {
    const given = discovery(request);
    const asked = request.block2?.exponent ?? limits.coapBlockExponentMax;
    const exponent = caller.isAddressProved ? asked : Math.min(asked, UNPROVED_EXPONENT);
    const number =
      request.block2 === undefined ? 0 : (request.block2.number * blockBytes(asked)) / blockBytes(exponent);
    return (given.payload?.length ?? 0) > blockBytes(exponent) ? sliceOf(given, number, exponent) : given;
  }

  async #serveDevice(message: CoapMessage, request: Request, caller: Caller, shown: Shown): Promise<Answer> {
    const link = this.#linkOf(shown.device);
    link.users++;
    try {
      const print = fingerprint(shown);
      const session = link.known(print) ?? (await link.session(shown, caller.peer));
      caller.proved(shown);
      link.usedAt = this.#host.clock.monotonic();
      this.#remember(message, request, caller, link, session, print);
      return await this.#serveLink(message, request, caller, link, session);
    } catch (error) {
      return this.#failed(error);
    } finally {
      link.users--;
      if (link.isUnused && this.#links.get(link.device) === link) this.#links.delete(link.device);
    }
  }

  readonly #failed = (error: unknown): Answer => {
    if (error instanceof Refused) return refusedAnswer(error);
    this.#host.log.error('a request failed', { error: String(error) });
    return { code: codes.internalServerError };
  };

  /** A device sends most of its messages with the same options: those are neither read nor judged again while its session lasts. */
  #remember(
    { code, options: list }: CoapMessage,
    request: Request,
    caller: Caller,
    link: Link,
    session: DeviceSession,
    print: string,
  ): void {
    if (!('repeated' in caller)) return;
    caller.repeated = undefined;
    if (!isTelemetry(request) || request.block1 !== undefined || request.block2 !== undefined) return;
    const message = readTelemetry(request);
    if (!isMessage(message)) return;
    caller.repeated = {
      code,
      options: list,
      take: (body) => {
        if (link.known(print) !== session) return undefined;
        link.usedAt = this.#host.clock.monotonic();
        return sendTelemetry(session, { ...message, body }, this.#options.acknowledge).catch(this.#failed);
      },
    };
  }

  #linkOf(device: string): Link {
    const known = this.#links.get(device);
    if (known !== undefined) return known;
    const link = new Link(device, {
      host: this.#host,
      idleSeconds: this.#options.idleSeconds,
      tag: this.#options.tag,
      revoked: this.#options.revoked,
      sliced: (owner, observer, given, onRead) =>
        this.#bodies.first(owner, observer.bodyKey, given, observer.exponentMax, onRead),
    });
    this.#links.set(device, link);
    return link;
  }

  async #serveLink(
    message: CoapMessage,
    request: Request,
    caller: Caller,
    link: Link,
    session: Awaited<ReturnType<Link['session']>>,
  ): Promise<Answer> {
    if (isFile(request)) return this.#files.serve(request, link.device, caller.key, session);
    const place = `${caller.key} ${request.code} ${pathKey(message)}`;
    if (request.block2 !== undefined && request.block2.number > 0)
      return this.#bodies.next(place, request.block2) ?? refusal(codes.requestEntityIncomplete, 'begin with block 0');
    const body = this.#uploads.take(link.device, `${place} ${request.requestTag}`, request);
    if (!Buffer.isBuffer(body)) return body;
    const exponentMax = Math.min(request.block2?.exponent ?? limits.coapBlockExponentMax, limits.coapBlockExponentMax);
    const given = await serveResource({
      request,
      body,
      caller,
      link,
      session,
      acknowledge: this.#options.acknowledge,
      observe: (resource) => this.#observe(resource, request, caller, link, place, exponentMax),
    });
    const sliced =
      (given.payload ?? empty).length === 0 ? given : this.#bodies.first(link.device, place, given, exponentMax);
    if (request.block1 === undefined) return sliced;
    const taken = { number: options.block1, value: encodeBlock(request.block1) };
    return { ...sliced, options: [...(sliced.options ?? []), taken] };
  }

  async #observe(
    resource: Observed,
    request: Request,
    caller: Caller,
    link: Link,
    bodyKey: string,
    exponentMax: number,
  ): Promise<Observation> {
    const observer: Observer = {
      resource,
      caller,
      token: Buffer.from(request.token),
      bodyKey,
      settlesByAcknowledgement: caller.acknowledges && queryOf(request, 'settle') !== 'told',
      exponentMax,
    };
    await link.want(resource);
    const isRegistered = link.observers.add(observer);
    if (caller.via === 'dtls' || caller.via === 'stream')
      this.#observed.set(caller.key, (this.#observed.get(caller.key) ?? new Set()).add(link.device));
    return { isRegistered, begin: () => isRegistered && setImmediate(() => link.inbox.observed(observer)) };
  }
}

/** What a request without protection shows of its device. */
function shownBy(request: Request): Shown | undefined {
  const device = queryOf(request, 'device');
  const key = queryOf(request, 'key');
  const token = queryOf(request, 'token');
  if (device === undefined || device === '') return undefined;
  if (key !== undefined) return { kind: 'key', device, key };
  return token === undefined ? undefined : { kind: 'token', device, token };
}

/** The path and the query of a request: what its blocks have in common. */
function pathKey(message: CoapMessage): string {
  let key = '';
  for (const { number, value } of message.options)
    if (number === options.uriPath || number === options.uriQuery) key += `${number}:${value.toString('base64')},`;
  return key;
}
