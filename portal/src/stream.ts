/**
 * The hub's live stream, once for all tabs: an origin has six connections, so that seven tabs with a stream each would leave none
 * for requests. One tab holds it (the one that has the lock), the others are told by a channel. A tab that holds a lock is not put to sleep.
 */
import { checkSession, Refusal } from './api.ts';
import { readEvents } from './event-source.ts';
import { createStore } from './store.ts';

/** `lost`: tried again by itself. */
export type StreamState = 'waiting' | 'open' | 'lost';

export const streamState = createStore<StreamState>('waiting');

interface Told {
  readonly name: string;
  readonly data: unknown;
}

type Word =
  | ({ readonly kind: 'told' } & Told)
  | { readonly kind: 'state'; readonly state: StreamState }
  | { readonly kind: 'want'; readonly tab: string; readonly topics: readonly string[] }
  | { readonly kind: 'asks' };

const WANT_MS = 4000;
const WANT_KEPT_MS = 15_000;
const RETRY_MS = 2000;

const tab = crypto.randomUUID();
const followers = new Set<{ readonly topic: string; readonly listener: (name: string, data: unknown) => void }>();
let channel: BroadcastChannel | undefined;
let leader: { update(): void } | undefined;

/** Follows a topic until the returned function is called. The listener gets the name of each event and its data. */
export function followTopic(topic: string, listener: (name: string, data: unknown) => void): () => void {
  start();
  const follower = { topic, listener };
  followers.add(follower);
  tellWishes();
  return () => {
    followers.delete(follower);
    tellWishes();
  };
}

const ownTopics = (): readonly string[] => [...new Set([...followers].map(({ topic }) => topic))];

function start(): void {
  if (channel !== undefined) return;
  channel = new BroadcastChannel('mooring-stream');
  channel.onmessage = ({ data }: MessageEvent<Word>) => {
    if (data.kind === 'told' && leader === undefined) hear(data);
    else if (data.kind === 'state' && leader === undefined) streamState.set(data.state);
    else if (data.kind === 'asks') tellWishes();
    else if (data.kind === 'want') wishes.set(data.tab, { topics: data.topics, at: Date.now() });
    if (data.kind === 'want') leader?.update();
  };
  setInterval(tellWishes, WANT_MS);
  addEventListener('pagehide', () => say({ kind: 'want', tab, topics: [] }));
  void navigator.locks.request('mooring-stream', () => {
    leader = lead();
    say({ kind: 'asks' });
    leader.update();
    return new Promise<never>(() => {}); // Held until the tab is closed.
  });
}

const say = (word: Word): void => channel?.postMessage(word);

function tellWishes(): void {
  leader?.update();
  if (leader === undefined) say({ kind: 'want', tab, topics: ownTopics() });
}

/** What the other tabs follow. */
const wishes = new Map<string, { readonly topics: readonly string[]; readonly at: number }>();

function hear({ name, data }: Told): void {
  const topic = name === 'telemetry' ? (data as { readonly topic?: string }).topic : name;
  for (const follower of [...followers]) {
    if (follower.topic === topic) follower.listener(name, data);
  }
}

function lead(): { update(): void } {
  let source: AbortController | undefined;
  let opened = '';
  let retry: ReturnType<typeof setTimeout> | undefined;
  let soon: ReturnType<typeof setTimeout> | undefined;
  const state = (next: StreamState): void => {
    streamState.set(next);
    say({ kind: 'state', state: next });
  };
  const wanted = (): readonly string[] => {
    const since = Date.now() - WANT_KEPT_MS;
    for (const [other, { at }] of wishes) if (at < since) wishes.delete(other);
    const others = [...wishes.values()].flatMap(({ topics }) => topics);
    return [...new Set([...ownTopics(), ...others])].sort();
  };
  const open = (): void => {
    clearTimeout(retry);
    source?.abort();
    const topics = wanted();
    opened = JSON.stringify(topics);
    if (topics.length === 0) {
      state('waiting');
      return;
    }
    const current = new AbortController();
    source = current;
    const query = new URLSearchParams(topics.map((topic) => ['topic', topic]));
    readEvents(`/portal/stream?${query}`, current.signal, {
      opened: () => state('open'),
      event(name, text) {
        const told: Told = { name, data: JSON.parse(text) };
        hear(told);
        if (wishes.size > 0) say({ kind: 'told', ...told });
      },
    }).then(
      () => again(current),
      (error: unknown) => {
        if (error instanceof Refusal && error.status === 401) void checkSession();
        again(current);
      },
    );
  };
  const again = (ended: AbortController): void => {
    if (source !== ended) return;
    state('lost');
    retry = setTimeout(open, RETRY_MS + Math.random() * 1000);
  };
  return {
    update() {
      clearTimeout(soon);
      soon = setTimeout(() => {
        if (JSON.stringify(wanted()) !== opened) open();
        else if (source !== undefined) say({ kind: 'state', state: streamState.get() });
      }, 60);
    },
  };
}
