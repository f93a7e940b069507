/** Drives the portal of a hub as its page does: signs in by the one-time link, then sends both halves of what it was given. */
import assert from 'node:assert/strict';
import type { TestHub } from './hub.ts';

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
