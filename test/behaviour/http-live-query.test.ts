/** Live queries over the HTTPS port, as server-sent events. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApiClient } from '../../src/api/client.ts';
import type { LiveNews } from '../../src/api/live-calls.ts';
import { openHttpHub, refusalIn } from '../drivers/http.ts';

/** Follows a query; `next` gives the kinds and rows of the events that come, as many as are asked for. */
function follow(client: ApiClient, query: string, after?: string) {
  const gone = new AbortController();
  const news = client.live.follow(query, { signal: gone.signal, ...(after !== undefined && { after }) });
  const reader = news[Symbol.asyncIterator]();
  let id: string | undefined;
  return {
    id: () => id,
    async next(count: number): Promise<readonly unknown[]> {
      const found: unknown[] = [];
      while (found.length < count) {
        const { value, done } = (await reader.next()) as IteratorResult<LiveNews>;
        if (done) break;
        id = value.id ?? id;
        if (value.event !== undefined) found.push(value.event);
      }
      return found;
    },
    async leave(): Promise<void> {
      gone.abort();
      await assert.rejects(async () => void (await reader.next()));
    },
  };
}

test('rows come first, then what becomes of them; who comes back is told what has happened meanwhile', async () => {
  await using http = await openHttpHub();
  const client = http.client();
  for (const id of ['a', 'b']) await client.devices.create(id);
  await client.modules.create('a', 'm');
  await client.twins.update({ deviceId: 'a' }, { tags: { site: 'n' } });
  const query = "SELECT deviceId, tags.v FROM devices WHERE tags.site = 'n'";
  const first = follow(client, query);
  assert.deepEqual(await first.next(3), [
    { kind: 'reset', why: 'new' },
    { kind: 'enter', deviceId: 'a', row: { deviceId: 'a' } },
    { kind: 'ready', rows: 1 },
  ]);
  await client.twins.update({ deviceId: 'a', moduleId: 'm' }, { tags: { site: 'n' } });
  await client.twins.update({ deviceId: 'b' }, { tags: { site: 'n', v: { text: 'two\nlines, ü' } } });
  const entered = { kind: 'enter', deviceId: 'b', row: { deviceId: 'b', v: { text: 'two\nlines, ü' } } };
  assert.deepEqual(await first.next(1), [entered]);
  await client.twins.update({ deviceId: 'a' }, { tags: { v: 2 } });
  assert.deepEqual(await first.next(1), [{ kind: 'change', deviceId: 'a', row: { deviceId: 'a', v: 2 } }]);
  const after = first.id();
  assert.ok(after);
  await first.leave();
  await client.devices.delete('a');
  await client.devices.create('c');
  await client.twins.update({ deviceId: 'c' }, { tags: { site: 'n' } });
  const again = follow(client, query, after);
  const told = await again.next(2);
  assert.deepEqual(
    new Set(told.map((event) => JSON.stringify(event))),
    new Set([
      JSON.stringify({ deviceId: 'a', kind: 'leave' }),
      JSON.stringify({ deviceId: 'c', row: { deviceId: 'c' }, kind: 'enter' }),
    ]),
  );
  await again.leave();
  const other = follow(client, 'SELECT moduleId FROM devices.modules', after);
  assert.deepEqual((await other.next(1))[0], { kind: 'reset', why: 'forgotten' });
  await other.leave();
});

test('a stream is marked as one, and refusals come as those of any other request', async () => {
  await using http = await openHttpHub();
  const path = (query: string) => `/mooring/v1/query/live?query=${encodeURIComponent(query)}`;
  const refused = async (url: string, headers = {}) => {
    const answer = await http.request('GET', url, { headers });
    return [answer.status, refusalIn(answer).code];
  };
  assert.deepEqual(await refused('/mooring/v1/query/live'), [400, 'ArgumentInvalid']);
  assert.deepEqual(await refused(path('SELECT COUNT() FROM devices')), [400, 'ArgumentInvalid']);
  assert.deepEqual(await refused(path('SELECT')), [400, 'ArgumentInvalid']);
  const token = await http.token('registryRead');
  assert.deepEqual(await refused(path('SELECT * FROM devices'), { authorization: token }), [
    401,
    'IotHubUnauthorizedAccess',
  ]);

  const socket = await http.connect();
  const authorization = await http.token('service');
  socket.write(
    `GET ${path('SELECT * FROM devices')} HTTP/1.1\r\nhost: localhost\r\nauthorization: ${authorization}\r\n\r\n`,
  );
  let text = '';
  for await (const chunk of socket) {
    text += String(chunk);
    if (text.includes('event: ready')) break;
  }
  assert.match(text, /^HTTP\/1\.1 200 .*\r\ncontent-type: text\/event-stream; charset=utf-8\r\n/s);
  assert.match(text, /\r\ncache-control: no-store\r\n/);
  assert.match(text, /\nevent: ready\ndata: \{"rows":0\}\nid: \S+\n\n/);
  socket.destroy();
});
