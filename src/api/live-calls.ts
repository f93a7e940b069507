/** Live queries: what becomes of the rows of a query, as it comes. */
import type { z } from 'zod';
import { limits } from '../base/limits.ts';
import { checkedAnswer, UnexpectedAnswerError } from './exchange.ts';
import type { StreamTransport } from './file-calls.ts';
import { liveDataSchemas } from './queries.ts';

type Schemas = typeof liveDataSchemas;

/** What is told; what each means is said in docs/query.md. */
export type LiveEventJson = {
  [Kind in keyof Schemas]: { readonly kind: Kind } & z.output<Schemas[Kind]>;
}[keyof Schemas];

export interface LiveNews {
  /** Absent = the hub says that nothing has happened. */
  readonly event?: LiveEventJson;
  /** Where the client is: given as `after` when it comes back. */
  readonly id?: string;
}

export interface LiveCalls {
  /**
   * Follows a query until the hub ends it (`end`), the connection is lost (throws) or the iteration is ended.
   * @throws ApiError, UnexpectedAnswerError, Error of the connection
   */
  follow(query: string, options?: { readonly after?: string; readonly signal?: AbortSignal }): AsyncIterable<LiveNews>;
}

export function liveCalls(transport: StreamTransport): LiveCalls {
  return {
    async *follow(query, { after, signal } = {}) {
      const path = '/mooring/v1/query/live';
      const response = await transport({
        method: 'GET',
        path: `${path}?${new URLSearchParams({ query })}`,
        headers: { accept: 'text/event-stream', ...(after !== undefined && { 'last-event-id': after }) },
        ...(signal && { signal }),
      });
      if (response.status !== 200) {
        checkedAnswer({ ...response, body: await textOf(response.body) }, 'GET', path);
        throw new UnexpectedAnswerError(`GET ${path}: the answer is not one of a Mooring hub.`);
      }
      for await (const block of blocksOf(response.body)) {
        const news = newsOf(block);
        if (news !== undefined) yield news;
      }
    },
  };
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** What stands between two empty lines. */
async function* blocksOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    if (rest.length > limits.apiAnswerBytesMax) {
      throw new UnexpectedAnswerError('An event of the live query is larger than any of a hub.');
    }
    const blocks = rest.split('\n\n');
    rest = blocks.pop() ?? '';
    yield* blocks;
  }
}

/** Undefined = an event that this client does not know. */
function newsOf(block: string): LiveNews | undefined {
  const fields = new Map<string, string>();
  for (const line of block.split('\n')) {
    const at = line.indexOf(':');
    if (at > 0) fields.set(line.slice(0, at), line.slice(at + 1).replace(/^ /, ''));
  }
  const id = fields.get('id');
  const mark = id === undefined ? {} : { id };
  const [kind, data] = [fields.get('event'), fields.get('data')];
  if (kind === undefined || data === undefined) return mark;
  if (!Object.hasOwn(liveDataSchemas, kind)) return undefined;
  const parsed = liveDataSchemas[kind as keyof Schemas].safeParse(parseJson(data));
  if (!parsed.success)
    throw new UnexpectedAnswerError(`An event ${kind} of the live query is not one of a Mooring hub.`);
  return { event: { ...parsed.data, kind } as LiveEventJson, ...mark };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
