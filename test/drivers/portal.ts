/** Drives the portal of a hub as its page does: signs in by the one-time link, then sends both halves of what it was given. */
import assert from 'node:assert/strict';
import type { TestHub } from './hub.ts';
import { until } from './until.ts';

export interface PortalSession {
  readonly base: string;
  readonly cookie: string;
  readonly csrf: string;
  readonly facts: Readonly<Record<string, unknown>>;
  fetch(path: string, init?: RequestInit & { json?: unknown }): Promise<Response>;
}

/** The link that the hub has printed. */
export function startLink(hub: TestHub): URL {
  const found = /^ {2}(https?:\/\/\S+#code=\S+)$/m.exec(hub.stdout());
  assert.ok(found !== null, hub.stdout());
  return new URL(found[1]);
}

export function portalBase(hub: TestHub): string {
  return `http://localhost:${hub.endpoints.ports.admin}`;
}

export async function signIn(hub: TestHub, login?: object): Promise<PortalSession> {
  const base = portalBase(hub);
  const body = login ?? { code: startLink(hub).hash.slice('#code='.length) };
  const answer = await fetch(`${base}/portal/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: base, 'sec-fetch-site': 'same-origin' },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  assert.equal(answer.status, 201, text);
  const { csrf, ...facts } = JSON.parse(text) as { csrf: string };
  const cookie = (answer.headers.get('set-cookie') ?? '').split(';')[0];
  return {
    ...{ base, cookie, csrf, facts },
    fetch: (path, { json, headers, ...init } = {}) =>
      fetch(`${base}${path}`, {
        ...init,
        ...(json !== undefined && { body: JSON.stringify(json) }),
        headers: {
          ...{ cookie, 'x-mooring-csrf': csrf, origin: base, 'sec-fetch-site': 'same-origin' },
          ...(json !== undefined && { 'content-type': 'application/json' }),
          ...(headers as Record<string, string>),
        },
      }),
  };
}

export interface StreamedEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** A live stream that is open. */
export interface OpenStream extends AsyncDisposable {
  readonly events: readonly StreamedEvent[];
  /** The first event from `from` on that matches. */
  next(matches: (event: StreamedEvent) => boolean, from?: number): Promise<StreamedEvent>;
  readonly ended: Promise<void>;
}

export async function openStream(session: PortalSession, topics: readonly string[]): Promise<OpenStream> {
  const query = topics.map((topic) => `topic=${encodeURIComponent(topic)}`).join('&');
  const abort = new AbortController();
  const answer = await session.fetch(`/portal/stream?${query}`, { signal: abort.signal });
  assert.equal(answer.status, 200);
  assert.ok(answer.body !== null);
  const events: StreamedEvent[] = [];
  const decoder = new TextDecoder();
  const read = async (body: ReadableStream<Uint8Array>): Promise<void> => {
    let rest = '';
    for await (const bytes of body) {
      rest += decoder.decode(bytes, { stream: true });
      for (let end = rest.indexOf('\n\n'); end !== -1; end = rest.indexOf('\n\n')) {
        const lines = rest.slice(0, end).split('\n');
        rest = rest.slice(end + 2);
        const event = lines.find((line) => line.startsWith('event: '))?.slice('event: '.length);
        const data = lines.find((line) => line.startsWith('data: '))?.slice('data: '.length);
        if (event !== undefined && data !== undefined) events.push({ event, data: JSON.parse(data) });
      }
    }
  };
  const ended = read(answer.body).catch(() => {});
  return {
    ...{ events, ended },
    async next(matches, from = 0) {
      await until('the stream has told', () => events.slice(from).some(matches));
      return events.slice(from).find(matches) as StreamedEvent;
    },
    async [Symbol.asyncDispose]() {
      abort.abort();
      await ended;
    },
  };
}
