import { limits } from '../../../base/limits.ts';
import type { DeviceConnection } from '../../../core/devices/connection.ts';
import { asHubError, type HubError } from '../../../core/errors.ts';
import type { DesiredText } from '../../../core/twins/ports.ts';
import { DesiredPushes, type DesiredWire } from '../../../core/twins/pushes.ts';
import { readReportedPatch } from '../../../core/twins/rules.ts';
import type { DesiredTold } from '../../../core/twins/types.ts';
import { Answers } from '../engine/answers.ts';
import type { Attach } from '../engine/attach.ts';
import type { Delivery, IncomingLink } from '../engine/incoming-link.ts';
import type { OutgoingLink } from '../engine/outgoing-link.ts';
import type { LinkHost } from '../link-host.ts';
import { refusalText } from '../refusals.ts';
import {
  desiredMessage,
  readTwinRequest,
  type TwinAnswer,
  type TwinRequest,
  twinAnswerMessage,
} from './twin-mapping.ts';

/** How many requests a peer may send ahead. */
const REQUEST_CREDIT = 32;

/** Bytes of a patch, which is checked value by value, that take as long as a small frame. */
const PATCH_BYTES_PER_UNIT = 128;

/**
 * The twin links of one device: requests come on one, answers and changes of desired properties leave on the other (device reference
 * 3.6). A pair names the same correlation id; a device behind a connection of many has a pair of its own.
 */
export class TwinLinks {
  readonly #host: LinkHost;
  readonly #connection: DeviceConnection;
  readonly #answers = new Answers((link) => [correlationOf(link.attach), link.session, 'any']);
  /** Links whose client wants to be told of changes. */
  readonly #subscribed = new Set<IncomingLink>();
  readonly #pushes = new Map<OutgoingLink, DesiredPushes>();
  /** Links whose subscription is not answered yet. */
  readonly #unanswered = new Set<OutgoingLink>();
  /** Requests that are not answered yet, of all links. */
  #requests = 0;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(host: LinkHost, connection: DeviceConnection) {
    this.#host = host;
    this.#connection = connection;
  }

  /** Resolves when every request that was taken is answered; undefined = it is. */
  idle(): Promise<void> | undefined {
    if (this.#requests === 0) return undefined;
    this.#idle ??= Promise.withResolvers();
    return this.#idle.promise;
  }

  openAnswers(link: OutgoingLink): void {
    this.#answers.open(link);
    const sendAnswers = link.onSendable;
    link.onSendable = () => {
      sendAnswers();
      this.#pushes.get(link)?.proceed();
    };
    link.whenClosed(() => {
      this.#pushes.get(link)?.close();
      this.#pushes.delete(link);
      this.#unanswered.delete(link);
      this.#pushOnPairs();
    });
    this.#pushOnPairs();
  }

  openRequests(link: IncomingLink): void {
    this.#answers.watch(link);
    link.whenClosed(() => {
      if (this.#subscribed.delete(link)) this.#pushOnPairs();
    });
    let waiting = 0;
    let goOn: (() => void) | undefined;
    link.onMessage = (delivery) => {
      this.#connection.touch();
      if (++waiting >= REQUEST_CREDIT) goOn = link.withhold();
      this.#requests++;
      this.#take(link, delivery).then(() => {
        waiting--;
        goOn?.();
        goOn = undefined;
        if (--this.#requests === 0) this.#idle?.resolve();
      });
      // At once: clients wait for it before they look for the answer.
      link.settle(delivery, { kind: 'accepted' });
    };
    link.open({ creditMax: REQUEST_CREDIT, messageBytesMax: limits.amqpMessageBytesMax });
  }

  desiredChanged(told: DesiredTold): void {
    for (const pushes of this.#pushes.values()) pushes.note(told);
  }

  /** Never rejects. */
  async #take(link: IncomingLink, { payload }: Delivery): Promise<void> {
    let request: TwinRequest;
    try {
      request = readTwinRequest(payload);
    } catch (error) {
      link.detach(this.#host.error(error));
      return;
    }
    const answer = await this.#carryOut(link, request).catch((error: unknown) => this.#refusal(asHubError(error)));
    this.#answers.answer(link, keysOf(link), twinAnswerMessage(answer, request.correlationId));
    if (request.kind === 'subscribe') this.#answered(link);
  }

  /** Resolves when every change that is committed from then on will be told. */
  async #subscribe(link: IncomingLink): Promise<void> {
    const pair = this.#answers.find(keysOf(link));
    if (pair !== undefined && !this.#pushes.has(pair)) this.#unanswered.add(pair);
    if (link.isOpen) this.#subscribed.add(link);
    this.#pushOnPairs();
    if (pair !== undefined) await this.#pushes.get(pair)?.begun;
  }

  /** What is pushed from now on is known to be a push. */
  #answered(link: IncomingLink): void {
    const pair = this.#answers.find(keysOf(link));
    if (pair === undefined || !this.#unanswered.delete(pair)) return;
    this.#pushes.get(pair)?.proceed();
  }

  async #carryOut(link: IncomingLink, request: TwinRequest): Promise<TwinAnswer> {
    const { principal, key } = this.#connection;
    const { twins } = this.#host.hub;
    switch (request.kind) {
      case 'get':
        return { status: 200, text: await twins.readOwn(principal, key) };
      case 'patch': {
        link.session.worked(Math.floor(request.body.length / PATCH_BYTES_PER_UNIT));
        const version = await twins.report(principal, key, readReportedPatch(request.body, request.version));
        return { status: 204, version, text: '' };
      }
      case 'subscribe':
        await this.#subscribe(link);
        return { status: 200, text: '' };
      case 'unsubscribe':
        this.#subscribed.delete(link);
        this.#pushOnPairs();
        return { status: 200, text: '' };
      case 'refused':
        throw request.error;
    }
  }

  #refusal(error: HubError): TwinAnswer {
    if (error.code === 'ServerError') {
      this.#host.log.error({ identity: this.#connection.name, error: error.cause ?? error }, 'a twin request failed');
    }
    return { status: error.status, text: refusalText(error, this.#host.hub) };
  }

  /** Changes leave on the answering link of each pair that has subscribed, and on no other. */
  #pushOnPairs(): void {
    const wanted = new Set<OutgoingLink>();
    for (const link of this.#subscribed) {
      const pair = this.#answers.find(keysOf(link));
      if (pair !== undefined) wanted.add(pair);
    }
    for (const [link, pushes] of this.#pushes) {
      if (wanted.has(link)) continue;
      pushes.close();
      this.#pushes.delete(link);
    }
    for (const link of wanted) {
      if (!this.#pushes.has(link)) this.#pushes.set(link, new DesiredPushes(this.#wireOf(link)));
    }
  }

  #wireOf(link: OutgoingLink): DesiredWire {
    const connection = this.#connection;
    const host = this.#host;
    return {
      twins: host.hub.twins,
      get principal() {
        return connection.principal;
      },
      hasSpace: () => hasRoom(link, host),
      write: (patch: DesiredText) =>
        !this.#unanswered.has(link) && link.session.sendMessage(link, desiredMessage(patch)),
      failed: (error) => link.detach(host.error(error)),
    };
  }
}

/** Whether the peer takes messages on the link; else it is looked at again when it does. */
export function hasRoom(link: OutgoingLink, host: LinkHost): boolean {
  if (!link.isOpen || link.credit === 0) return false;
  if (host.unsentBytes() < limits.readerBytesMax) return true;
  link.session.awaitRoom(link);
  return false;
}

/** By what the answering link of a pair is found. */
function keysOf({ attach, session }: IncomingLink): readonly unknown[] {
  return [correlationOf(attach), session, 'any'];
}

function correlationOf({ properties }: Attach): unknown {
  return properties.get('com.microsoft:channel-correlation-id') ?? 'none';
}
