/**
 * `/events` of the admin port: monitoring events as they happen, as server-sent events (WHATWG HTML, section 9.2). For
 * people and pages that look on; a consumer that must not miss one reads the monitoring event hub. A client that does not keep
 * up is told so and dropped, and costs no more than `limits.eventStreamBytesMax`.
 */
import type { ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';

/** The events that clients get. */
export interface LiveEvents {
  /** Calls `listener` with each event: its kind, its number, and itself as JSON. The returned function ends it. */
  watch(listener: (type: string, id: string, json: string) => void): () => void;
  /** Counts, for metrics. */
  opened(clients: number): void;
  dropped(): void;
}

/** How often a client hears that the stream lives, which also finds those that are gone. */
const HEARTBEAT_MS = 15_000;

export interface EventRoute {
  /** Ends the streams: a door that stops does not wait for them. */
  close(): void;
}

export function addEventRoute(
  app: FastifyInstance,
  events: LiveEvents,
  clock: Clock,
  guard: (request: FastifyRequest) => Promise<void>,
): EventRoute {
  const clients = new Set<Client>();
  let closed = false;
  app.get('/events', { onRequest: guard }, (_request, reply) => {
    if (closed) throw new HubError('ServiceUnavailable', 'The hub is stopping.');
    if (clients.size >= limits.eventStreamClientsMax) {
      const max = limits.eventStreamClientsMax;
      throw new HubError('ThrottlingException', `${max} clients follow the events already.`, {
        limit: { name: 'eventStreamClientsMax', scope: 'hub', current: clients.size, max },
      });
    }
    reply.hijack();
    reply.raw.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      // Nothing comes behind the stream.
      connection: 'close',
    });
    const client = new Client(reply.raw, events, clock);
    clients.add(client);
    events.opened(clients.size);
    reply.raw.once('close', () => {
      client.end();
      clients.delete(client);
      events.opened(clients.size);
    });
  });
  return {
    close() {
      closed = true;
      for (const client of clients) client.end('stopping', 'The hub is stopping.');
    },
  };
}

class Client {
  readonly #response: ServerResponse;
  readonly #clock: Clock;
  readonly #unwatch: () => void;
  #heartbeat: () => void = () => {};
  #ended = false;

  constructor(response: ServerResponse, events: LiveEvents, clock: Clock) {
    this.#response = response;
    this.#clock = clock;
    // The client's `open` event waits for the first bytes.
    response.write(': monitoring events\n\n');
    this.#unwatch = events.watch((type, id, json) => {
      if (this.#ended) return;
      if (response.writableLength > limits.eventStreamBytesMax) {
        events.dropped();
        this.end('dropped', 'This client did not keep up. The monitoring event hub has everything.');
      } else {
        response.write(`event: ${type}\nid: ${id}\ndata: ${json}\n\n`);
      }
    });
    const beat = (): void => {
      this.#heartbeat = clock.after(HEARTBEAT_MS, () => {
        if (response.writableLength === 0) response.write(': alive\n\n');
        beat();
      });
    };
    beat();
  }

  /** @param last the kind and text of a farewell */
  end(last?: string, text?: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#unwatch();
    this.#heartbeat();
    if (last !== undefined) this.#response.write(`event: ${last}\ndata: ${JSON.stringify({ message: text })}\n\n`);
    this.#response.end();
    // A client that does not read may not read the farewell either.
    const giveUp = this.#clock.after(limits.eventStreamLingerMs, () => this.#response.destroy());
    this.#response.once('close', giveUp);
  }
}
