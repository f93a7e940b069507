/** Live queries as server-sent events (WHATWG HTML, section 9.2): what becomes of the rows of a query. */
import { liveQuerySchema } from '../../api/queries.ts';
import type { Hub } from '../../core/hub.ts';
import type { FleetPlace } from '../../core/query/ports.ts';
import type { LiveBatch, LiveEvent } from '../../core/query/room.ts';
import { type ApiRoute, route } from './route.ts';

export function liveRoutes({ queries }: Pick<Hub, 'queries'>): readonly ApiRoute[] {
  return [
    route({
      method: 'GET',
      url: '/mooring/v1/query/live',
      summary:
        'What becomes of the rows of a query, as server-sent events: reset, enter, change, leave, ready, end. ' +
        'With the Last-Event-ID of before a client goes on where it was, or is told by a reset that its rows come anew',
      tag: 'queries',
      query: liveQuerySchema,
      answers: { 200: 'bytes' },
      isLive: true,
      handle: async ({ principal, query, headers, signal }) => {
        const after = headers['last-event-id'];
        const options = typeof after === 'string' && after !== '' ? { after } : {};
        const batches = await queries.live(principal, query.query, options, signal);
        return {
          status: 200,
          stream: textOf(batches),
          headers: [
            ['content-type', 'text/event-stream; charset=utf-8'],
            ['cache-control', 'no-store'],
            ['x-content-type-options', 'nosniff'],
            // Nothing comes behind the stream.
            ['connection', 'close'],
          ],
        };
      },
    }),
  ];
}

async function* textOf(batches: AsyncIterable<LiveBatch>): AsyncGenerator<Uint8Array> {
  for await (const { events, id } of batches) {
    const texts = events.map((event) => `event: ${event.kind}\ndata: ${dataOf(event)}\n`);
    // An id stands with the last event: a client that has read less goes on behind the batch before.
    const mark = id === undefined ? '' : `id: ${id}\n`;
    yield Buffer.from(texts.length === 0 ? `${mark}: alive\n\n` : `${texts.join('\n')}${mark}\n`);
  }
}

/** JSON text has no ends of lines. */
function dataOf(event: LiveEvent): string {
  switch (event.kind) {
    case 'enter':
    case 'change':
      return `{${placeText(event.place)},"row":${event.text}}`;
    case 'leave':
      return `{${placeText(event.place)}}`;
    case 'reset':
      return JSON.stringify({ why: event.why });
    case 'ready':
      return JSON.stringify({ rows: event.count });
    case 'end':
      return JSON.stringify({ code: event.code, message: event.message });
  }
}

function placeText({ deviceId, moduleId }: FleetPlace): string {
  const module = moduleId === '' ? '' : `,"moduleId":${JSON.stringify(moduleId)}`;
  return `"deviceId":${JSON.stringify(deviceId)}${module}`;
}
