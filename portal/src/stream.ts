/**
 * The hub's live stream, once for all tabs: an origin has six connections, so that seven tabs with a stream each would leave none
 * for requests. One tab holds it (the one that has the lock), the others are told by a channel. A tab that holds a lock is not put to sleep.
 */
import { ask, checkSession, Refusal } from './api.ts';
import { readEvents } from './event-source.ts';
import { createStore } from './store.ts';

/** `lost`: tried again by itself. */
export type StreamState = 'waiting' | 'open' | 'lost';

export const streamState = createStore<StreamState>('waiting');

interface Told {
  /** `overview`, `monitoring`, `device:ID`. */
  readonly topic: string;
  /** `refused`: the hub does not tell of this topic, and says why. */
  readonly name: string;
  readonly data: unknown;
}

type Word =
  | ({ readonly kind: 'told' } & Told)
  | { readonly kind: 'state'; readonly state: StreamState }
  | { readonly kind: 'want'; readonly tab: string; readonly topics: readonly string[] }
  | { readonly kind: 'asks' };

export type Listener = (data: unknown, name: string) => void;

const WANT_MS = 4000;
const WANT_KEPT_MS = 15_000;
const RETRY_MS = 1000;
const RECENT_MAX = 20;

const tab = crypto.randomUUID();
const followers = new Set<{ readonly topic: string; readonly listener: Listener }>();
/** What the other tabs follow. */
const wishes = new Map<string, { readonly topics: readonly string[]; readonly at: number }>();
let channel: BroadcastChannel | undefined;
let leader: Leader | undefined;

/** Follows a topic until the returned function is called. */
export function followTopic(topic: string, listener: Listener): () => void {
  start();
  const follower = { topic, listener };
  followers.add(follower);
  // What the stream of this tab has told of the topic already, before it tells of news.
  const recent = leader?.recent(topic);
  if (recent !== undefined) queueMicrotask(() => followers.has(follower) && listener(recent, 'telemetry'));
  tellWishes();
  return () => {
    followers.delete(follower);
    tellWishes();
  };
}

/** Begins anew, with another session. */
export const restartStream = (): void => leader?.restart();

const ownTopics = (): readonly string[] => [...new Set([...followers].map(({ topic }) => topic))];
const say = (word: Word): void => channel?.postMessage(word);

function start(): void {
  if (channel !== undefined) return;
  channel = new BroadcastChannel('mooring-stream');
  channel.onmessage = ({ data }: MessageEvent<Word>) => {
    if (data.kind === 'told' && leader === undefined) hear(data);
    else if (data.kind === 'state' && leader === undefined) streamState.set(data.state);
    else if (data.kind === 'asks') tellWishes();
    else if (data.kind === 'want') {
      const before = wishes.get(data.tab)?.topics ?? [];
      wishes.set(data.tab, { topics: data.topics, at: Date.now() });
      for (const topic of data.topics) {
        const recent = before.includes(topic) ? undefined : leader?.recent(topic);
        if (recent !== undefined) say({ kind: 'told', topic, name: 'telemetry', data: recent });
      }
      leader?.update();
    }
  };
  setInterval(tellWishes, WANT_MS);
  addEventListener('pagehide', () => say({ kind: 'want', tab, topics: [] }));
  void navigator.locks.request('mooring-stream', () => {
    leader = new Leader();
    say({ kind: 'asks' });
    leader.update();
    return new Promise<never>(() => {}); // Held until the tab is closed.
  });
}

function tellWishes(): void {
  if (leader === undefined) say({ kind: 'want', tab, topics: ownTopics() });
  else leader.update();
}

function hear({ topic, name, data }: Told): void {
  for (const follower of [...followers]) if (follower.topic === topic) follower.listener(data, name);
}

/** The part of the tab that holds the stream. */
class Leader {
  #end: AbortController | undefined;
  /** As the hub calls the stream, once it is open. */
  #id: string | undefined;
  #topics: readonly string[] = [];
  #retry: ReturnType<typeof setTimeout> | undefined;
  #soon: ReturnType<typeof setTimeout> | undefined;
  /** The last message of each device that was told of: where a stream goes on after a break. */
  readonly #last = new Map<string, number>();
  /** The newest messages of each, for who begins to follow it while the stream tells of it already. */
  readonly #recent = new Map<string, readonly unknown[]>();

  /** Has the hub tell of what is wanted now; soon, because a screen ends and begins several topics at a time. */
  update(): void {
    clearTimeout(this.#soon);
    this.#soon = setTimeout(() => this.#choose(this.#wanted()), 40);
  }

  /** As the hub tells of what came before. */
  recent(topic: string): object | undefined {
    const events = this.#recent.get(topic);
    return events && { events, leftOut: 0, skipped: false, recent: true };
  }

  restart(): void {
    this.#last.clear();
    this.#recent.clear();
    this.#open();
  }

  #wanted(): readonly string[] {
    const since = Date.now() - WANT_KEPT_MS;
    for (const [other, { at }] of wishes) if (at < since) wishes.delete(other);
    return [...new Set([...ownTopics(), ...[...wishes.values()].flatMap(({ topics }) => topics)])].sort();
  }

  #choose(topics: readonly string[]): void {
    if (JSON.stringify(topics) === JSON.stringify(this.#topics)) {
      if (wishes.size > 0) say({ kind: 'state', state: streamState.get() });
      return;
    }
    const dropped = this.#topics.filter((topic) => !topics.includes(topic));
    for (const topic of dropped) {
      this.#last.delete(topic);
      this.#recent.delete(topic);
    }
    this.#topics = topics;
    if (this.#end === undefined) this.#open();
    else if (topics.length === 0) this.#close();
    else if (this.#id !== undefined) {
      // A stream that has ended meanwhile is opened again with these topics.
      ask('POST', `/portal/stream/${this.#id}`, { body: { topics } }).catch(() => {});
    }
  }

  #close(): void {
    clearTimeout(this.#retry);
    this.#end?.abort();
    this.#end = undefined;
    this.#id = undefined;
    this.#state('waiting');
  }

  #open(): void {
    this.#close();
    if (this.#topics.length === 0) return;
    const end = new AbortController();
    this.#end = end;
    const asked = this.#topics;
    const query = new URLSearchParams(asked.map((topic) => ['topic', this.#from(topic)]));
    readEvents(`/portal/stream?${query}`, end.signal, {
      opened: () => this.#state('open'),
      event: (name, text) => this.#take(name, JSON.parse(text), asked),
    }).then(
      () => this.#again(end),
      (error: unknown) => {
        if (error instanceof Refusal && error.status === 401) void checkSession();
        this.#again(end);
      },
    );
  }

  #from(topic: string): string {
    const last = this.#last.get(topic);
    return last === undefined ? topic : topic.replace(/^device:/, `device@${last}:`);
  }

  #take(name: string, data: { readonly [field: string]: unknown }, asked: readonly string[]): void {
    if (name === 'hello') {
      this.#id = String(data.stream);
      // What was wanted while it was being opened.
      if (asked !== this.#topics)
        ask('POST', `/portal/stream/${this.#id}`, { body: { topics: this.#topics } }).catch(() => {});
      return;
    }
    const topic = name === 'telemetry' ? `device:${data.deviceId}` : name === 'refused' ? String(data.topic) : name;
    if (name === 'telemetry') {
      this.#last.set(topic, Number(data.lastSequence));
      const events = [...(this.#recent.get(topic) ?? []), ...(data.events as readonly unknown[])];
      this.#recent.set(topic, events.slice(-RECENT_MAX));
    }
    const told: Told = { topic, name, data };
    hear(told);
    if (wishes.size > 0) say({ kind: 'told', ...told });
  }

  #again(ended: AbortController): void {
    if (this.#end !== ended) return;
    this.#id = undefined;
    this.#state('lost');
    this.#retry = setTimeout(() => this.#open(), RETRY_MS + Math.random() * RETRY_MS);
  }

  #state(state: StreamState): void {
    streamState.set(state);
    say({ kind: 'state', state });
  }
}
