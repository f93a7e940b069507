/** Clients of live queries at nodes of a cluster, and what they hold. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '../../src/api/client.ts';

export const QUERY =
  'SELECT deviceId, connectionState, tags.n AS n, properties.reported.r AS r FROM devices WHERE tags.n >= 0';

/** A client that follows the query at a node, and what it holds. */
export class Follower {
  readonly rows = new Map<string, unknown>();
  readonly resets: string[] = [];
  /** When a row with that `n` was told. */
  readonly toldAt = new Map<number, number>();
  isReady = false;
  id: string | undefined;
  readonly #gone = new AbortController();
  readonly #reading: Promise<unknown>;

  constructor(api: ApiClient, after?: string) {
    this.#reading = this.#read(api, after).catch((error: unknown) => error);
  }

  async #read(api: ApiClient, after: string | undefined): Promise<void> {
    const { signal } = this.#gone;
    for await (const { event, id } of api.live.follow(QUERY, { signal, ...(after !== undefined && { after }) })) {
      this.id = id ?? this.id;
      if (event?.kind === 'reset') {
        this.resets.push(event.why);
        this.rows.clear();
        this.isReady = false;
      } else if (event?.kind === 'ready') this.isReady = true;
      else if (event?.kind === 'leave') this.rows.delete(event.deviceId);
      else if (event?.kind === 'enter' || event?.kind === 'change') {
        this.rows.set(event.deviceId, event.row);
        const n = Number(event.row.n);
        if (!this.toldAt.has(n)) this.toldAt.set(n, performance.now());
      }
    }
  }

  async leave(): Promise<void> {
    this.#gone.abort();
    await this.#reading;
  }
}

export async function answerOf(api: ApiClient): Promise<ReadonlyMap<string, unknown>> {
  const rows = new Map<string, unknown>();
  for await (const row of api.queries.rows(QUERY, { countMax: 1000 })) rows.set(String(row.deviceId), row);
  return rows;
}

const shown = (rows: ReadonlyMap<string, unknown>): string =>
  JSON.stringify([...rows].sort(([one], [other]) => (one < other ? -1 : 1)));

/** What it holds is what the query answers. @returns after how many ms */
export async function agrees(what: string, follower: Follower, api: ApiClient, withinMs: number): Promise<number> {
  const begun = performance.now();
  let answer = '';
  for (;;) {
    answer = shown(await answerOf(api));
    if (follower.isReady && shown(follower.rows) === answer) return performance.now() - begun;
    assert.ok(performance.now() - begun < withinMs, `${what}: holds ${shown(follower.rows)}, the answer is ${answer}`);
    await sleep(50);
  }
}

/** A row is in the result while its device has a tag `n`. */
export const tag = (api: ApiClient, deviceId: string, n: number | null) =>
  api.twins.update({ deviceId }, { tags: { n } });
