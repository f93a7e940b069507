/** Server-sent events (WHATWG HTML, section 9.2) by `fetch`: the browser's own reader can show no header, and so not our half of the session. */
import { csrfHeader, Refusal } from './api.ts';

export interface EventReader {
  /** The hub has begun to answer. */
  opened(): void;
  /** An event by its name, and its data. */
  event(name: string, data: string): void;
}

/** Nothing for so long, not even a sign of life: the hub is gone and nobody has said so. The hub sends one every 15 s. */
const SILENCE_MS = 45_000;
const CHARS_MAX = 16 * 1024 * 1024;

/** Resolves when the stream ends. @throws Refusal, Error of the connection */
export async function readEvents(address: string, signal: AbortSignal, reader: EventReader): Promise<void> {
  const silent = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const alive = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => silent.abort(), SILENCE_MS);
  };
  try {
    alive();
    const response = await fetch(address, {
      credentials: 'same-origin',
      headers: { accept: 'text/event-stream', ...csrfHeader() },
      cache: 'no-store',
      signal: AbortSignal.any([signal, silent.signal]),
    });
    if (!response.ok || response.body === null) {
      throw new Refusal(`The stream was refused with status ${response.status}.`, {
        status: response.status,
        code: `Status${response.status}`,
      });
    }
    reader.opened();
    const decoder = new TextDecoder();
    const source = response.body.getReader();
    let rest = '';
    for (;;) {
      const { done, value } = await source.read();
      if (done) return;
      alive();
      rest += decoder.decode(value, { stream: true });
      const blocks = rest.split('\n\n');
      rest = blocks.pop() ?? '';
      if (rest.length > CHARS_MAX) throw new Error('An event of the stream is larger than any of a hub.');
      for (const block of blocks) tell(block, reader);
    }
  } finally {
    clearTimeout(timer);
  }
}

function tell(block: string, reader: EventReader): void {
  let [name, data] = ['message', ''];
  for (const line of block.split('\n')) {
    if (line.startsWith('event: ')) name = line.slice(7);
    else if (line.startsWith('data: ')) data += line.slice(6);
  }
  if (data !== '') reader.event(name, data);
}
