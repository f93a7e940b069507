/**
 * The live stream of a page: server-sent events (WHATWG HTML, section 9.2) of the topics that it has asked for. One for all of
 * its tabs. A page that reads slowly is written nothing for a while, and told how much that was; one that reads nothing is ended.
 */
import type { ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { limits } from '../../../../base/limits.ts';
import { HubError } from '../../../../core/errors.ts';
import { partitionOf } from '../../../../core/events/rules.ts';
import type { Hub } from '../../../../core/hub.ts';
import type { LiveEvents } from '../../monitoring-routes.ts';
import type { SessionGate } from '../session-routes.ts';
import type { Session, SessionEnd } from '../sessions.ts';
import { MonitoringFeed, OverviewFeed } from './hub-feed.ts';
import { FleetFeed, TelemetryFeed, type ToldTelemetry } from './telemetry-feed.ts';
import { parseTopics, type Topic, topicName } from './topics.ts';

export interface StreamParts {
  readonly hub: Hub;
  readonly liveEvents?: Pick<LiveEvents, 'watch'>;
  /** Of the hub, for the topic `overview`. */
  overview(): Promise<object>;
}

export interface Streams {
  close(): void;
}

const DEFAULT_GROUP = '$Default';

export function addStreamRoutes(app: FastifyInstance, gate: SessionGate, parts: StreamParts): Streams {
  const feeds = new Feeds(parts);
  app.get('/portal/stream', async (request, reply) => {
    const session = gate.demand(request.raw);
    const topics = parseTopics(topicsOf(request));
    feeds.demandPlace(session);
    reply.hijack();
    for (const [name, value] of Object.entries(reply.getHeaders())) reply.raw.setHeader(name, value ?? '');
    reply.raw.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      // Nothing comes behind the stream. A proxy is not to gather it.
      connection: 'close',
      'x-accel-buffering': 'no',
    });
    feeds.open(session, reply.raw).choose(topics);
  });
  // Before the body is read: who is unknown does not get anything parsed.
  const known = async ({ raw }: FastifyRequest): Promise<void> => void gate.demand(raw);
  app.post(
    '/portal/stream/:stream',
    { onRequest: known, bodyLimit: limits.portalTopicsBytesMax },
    async (request, reply) => {
      const session = gate.demand(request.raw);
      const { stream } = request.params as { readonly stream: string };
      const given = (request.body as { readonly topics?: unknown } | undefined)?.topics;
      if (!Array.isArray(given)) throw new HubError('ArgumentInvalid', 'The body must be {"topics": […]}.');
      const topics = parseTopics(given);
      const found = feeds.find(stream, session);
      if (found === undefined) throw new HubError('AmqpAddressNotFound', 'This session has no such stream open.');
      found.choose(topics);
      return reply.code(204).send();
    },
  );
  return feeds;
}

function topicsOf({ query }: FastifyRequest): readonly unknown[] {
  const { topic } = query as { readonly topic?: unknown };
  return topic === undefined ? [] : Array.isArray(topic) ? topic : [topic];
}

/** What all streams share. */
class Feeds implements Streams {
  readonly hub: Hub;
  readonly overview: OverviewFeed;
  readonly monitoring: MonitoringFeed;
  readonly telemetry: TelemetryFeed;
  readonly fleet: FleetFeed;
  readonly #streams = new Map<string, PageStream>();
  #cancelTick: (() => void) | undefined;
  #isClosed = false;

  constructor({ hub, liveEvents, overview }: StreamParts) {
    this.hub = hub;
    this.overview = new OverviewFeed(hub.clock, overview);
    this.monitoring = new MonitoringFeed(liveEvents);
    this.telemetry = new TelemetryFeed(hub.log);
    this.fleet = new FleetFeed(hub.log);
  }

  /** @throws HubError ServiceUnavailable, ThrottlingException */
  demandPlace(session: Session): void {
    if (this.#isClosed) throw new HubError('ServiceUnavailable', 'The hub is stopping.');
    const own = [...this.#streams.values()].filter((stream) => stream.session === session).length;
    const full = (name: string, scope: string, current: number, max: number): HubError =>
      new HubError('ThrottlingException', `${current} live streams are open already. Close a page.`, {
        limit: { name, scope, current, max },
      });
    if (own >= limits.portalStreamsPerSessionMax) {
      throw full('portalStreamsPerSessionMax', 'session', own, limits.portalStreamsPerSessionMax);
    }
    if (this.#streams.size >= limits.portalStreamsMax) {
      throw full('portalStreamsMax', 'hub', this.#streams.size, limits.portalStreamsMax);
    }
  }

  open(session: Session, response: ServerResponse): PageStream {
    const id = this.hub.random.bytes(9).toString('base64url');
    const stream = new PageStream(this, session, response, id, () => {
      this.#streams.delete(id);
      if (this.#streams.size > 0) return;
      this.#cancelTick?.();
      this.#cancelTick = undefined;
    });
    this.#streams.set(id, stream);
    if (this.#cancelTick === undefined) this.#tick();
    return stream;
  }

  find(id: string, session: Session): PageStream | undefined {
    const found = this.#streams.get(id);
    return found?.session === session ? found : undefined;
  }

  close(): void {
    this.#isClosed = true;
    for (const stream of [...this.#streams.values()]) stream.end('stopping', 'The hub is stopping.');
  }

  #tick(): void {
    this.#cancelTick = this.hub.clock.after(limits.portalTickMs, () => this.#tick());
    this.telemetry.tick();
    this.fleet.tick();
    this.monitoring.tick();
    for (const stream of [...this.#streams.values()]) stream.look();
  }
}

class PageStream {
  readonly session: Session;
  readonly #feeds: Feeds;
  readonly #response: ServerResponse;
  readonly #left: () => void;
  readonly #topics = new Map<string, () => void>();
  readonly #release: () => void;
  #isEnded = false;
  /** Monotonic milliseconds. */
  #wroteAt: number;
  #stuckSince: number | undefined;
  /** Events that were not written because the page did not read. */
  #unwritten = 0;

  constructor(feeds: Feeds, session: Session, response: ServerResponse, id: string, left: () => void) {
    this.#feeds = feeds;
    this.session = session;
    this.#response = response;
    this.#left = left;
    this.#release = session.hold();
    this.#wroteAt = feeds.hub.clock.monotonic();
    const over = (): void => {
      const why = session.ended.reason as SessionEnd;
      this.end(why, 'The session has ended. Sign in again.');
    };
    session.ended.addEventListener('abort', over, { once: true });
    response.once('close', () => {
      session.ended.removeEventListener('abort', over);
      this.#over();
    });
    this.#write('hello', JSON.stringify({ stream: id, tickMs: limits.portalTickMs }));
  }

  /** Has these topics from now on; those that it had go on. */
  choose(wanted: ReadonlyMap<string, Topic>): void {
    for (const [name, end] of this.#topics) {
      if (wanted.has(name)) continue;
      this.#topics.delete(name);
      end();
    }
    for (const [name, topic] of wanted) {
      if (this.#topics.has(name)) continue;
      // While the right is asked for, it counts as chosen.
      let end = (): void => {};
      let isOver = false;
      this.#topics.set(name, () => {
        isOver = true;
        end();
      });
      this.#begin(topic).then(
        (begun) => {
          if (isOver || this.#isEnded) begun();
          else end = begun;
        },
        (error: unknown) => {
          this.#topics.delete(name);
          const { code, message } = error instanceof HubError ? error : new HubError('ServerError');
          this.#write('refused', JSON.stringify({ topic: topicName(topic), code, message }));
        },
      );
    }
  }

  /** Once in a tick. */
  look(): void {
    const now = this.#feeds.hub.clock.monotonic();
    if (this.#response.writableLength === 0) {
      this.#stuckSince = undefined;
      if (now - this.#wroteAt >= limits.portalHeartbeatMs) this.#raw(': alive\n\n');
    } else {
      this.#stuckSince ??= now;
      if (now - this.#stuckSince >= limits.portalStreamStuckMs)
        this.end('stuck', 'This page does not read its stream.');
    }
  }

  /** @param why a word for programs */
  end(why: string, text: string): void {
    if (this.#isEnded) return;
    this.#raw(`event: end\ndata: ${JSON.stringify({ code: why, message: text })}\n\n`);
    this.#over();
    this.#response.end();
    // A page that does not read may not read the farewell either.
    const giveUp = this.#feeds.hub.clock.after(limits.eventStreamLingerMs, () => this.#response.destroy());
    this.#response.once('close', giveUp);
  }

  #over(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    for (const end of this.#topics.values()) end();
    this.#topics.clear();
    this.#release();
    this.#left();
  }

  /** @throws HubError IotHubUnauthorizedAccess */
  async #begin(topic: Topic): Promise<() => void> {
    const { hub, overview, monitoring, telemetry, fleet } = this.#feeds;
    const { principal } = this.session;
    const reader = (eventHub: string, partition: number) =>
      hub.events.openReader(principal, { eventHub, consumerGroup: DEFAULT_GROUP, partition: String(partition) });
    switch (topic.kind) {
      case 'overview':
        hub.guard.demand(principal, 'hub.read');
        return overview.watch((data) => this.#write('overview', data));
      case 'monitoring':
        await reader(`${hub.name}-monitoring`, 0);
        return monitoring.watch((data) => this.#write('monitoring', data));
      case 'telemetry': {
        const { partitionCount } = hub.events.inspect(principal, hub.name);
        const sources = await Promise.all(Array.from({ length: partitionCount }, (_, at) => reader(hub.name, at)));
        return fleet.watch(sources, (told) => this.#tell('fleet', undefined, told));
      }
      case 'device': {
        const { partitionCount } = hub.events.inspect(principal, hub.name);
        const source = await reader(hub.name, partitionOf(topic.deviceId, partitionCount));
        const { deviceId, after } = topic;
        return telemetry.watch(source, deviceId, (told) => this.#tell('telemetry', deviceId, told), after);
      }
    }
  }

  #tell(
    kind: string,
    deviceId: string | undefined,
    { events, lastSequence, leftOut, skipped, recent }: ToldTelemetry,
  ): void {
    const head = deviceId === undefined ? '' : `"deviceId":${JSON.stringify(deviceId)},"lastSequence":${lastSequence},`;
    this.#write(kind, `{${head}"leftOut":${leftOut},"skipped":${skipped},"recent":${recent},"events":${events}}`);
  }

  #write(kind: string, data: string): void {
    if (this.#isEnded) return;
    if (this.#response.writableLength > limits.portalStreamBytesMax) {
      this.#unwritten++;
      return;
    }
    if (this.#unwritten > 0) {
      const count = this.#unwritten;
      this.#unwritten = 0;
      this.#raw(`event: behind\ndata: ${JSON.stringify({ leftOut: count })}\n\n`);
    }
    this.#raw(`event: ${kind}\ndata: ${data}\n\n`);
  }

  #raw(text: string): void {
    this.#wroteAt = this.#feeds.hub.clock.monotonic();
    this.#response.write(text);
  }
}
