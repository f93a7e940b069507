/** A device that runs in a page: JSON messages over a WebSocket of the session (docs/portal.md, "A device in a page"). */
import { csrfToken } from '../api.ts';

export interface PageDeviceEvents {
  connected(): void;
  /** The hub has stored a message. */
  stored(): void;
  command(text: string): void;
  /** @returns the payload of the answer */
  method(name: string, payload: unknown): unknown;
  desired(patch: unknown): void;
  refused(message: string): void;
  /** @param why the hub's word, empty where it said none */
  closed(why: string): void;
}

interface Word {
  readonly type: string;
  readonly id?: number;
  readonly lockToken?: string;
  readonly name?: string;
  readonly payload?: unknown;
  readonly patch?: unknown;
  readonly body?: string;
  readonly message?: string;
}

export class PageDeviceClient {
  readonly #socket: WebSocket;
  readonly #events: PageDeviceEvents;
  #nextId = 1;

  constructor(deviceId: string, events: PageDeviceEvents) {
    this.#events = events;
    const address = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/portal/device`;
    // A WebSocket of a page shows no header: our half of the session goes along as a sub-protocol.
    this.#socket = new WebSocket(`${address}?id=${encodeURIComponent(deviceId)}`, [
      'mooring-device',
      `csrf.${csrfToken()}`,
    ]);
    this.#socket.onmessage = ({ data }: MessageEvent<string>) => this.#take(JSON.parse(data) as Word);
    this.#socket.onclose = ({ reason }) => events.closed(reason);
  }

  send(body: unknown, properties: Readonly<Record<string, string>>): void {
    this.#say({ type: 'telemetry', id: this.#nextId++, body, properties });
  }

  report(patch: object): void {
    this.#say({ type: 'report', id: this.#nextId++, patch });
  }

  close(): void {
    this.#socket.close();
  }

  #take({ type, id, lockToken, name = '', payload, patch, body = '', message = '' }: Word): void {
    if (type === 'connected') this.#events.connected();
    else if (type === 'stored') this.#events.stored();
    else if (type === 'refused') this.#events.refused(message);
    else if (type === 'desired') this.#events.desired(patch);
    else if (type === 'command') {
      this.#events.command(body);
      this.#say({ type: 'settle', lockToken, how: 'complete' });
    } else if (type === 'method') {
      this.#say({ type: 'answer', id, status: 200, payload: this.#events.method(name, payload) });
    }
  }

  #say(word: object): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(word));
  }
}
