/** One adapter as a program: loads it, starts it, and does what the hub says. In a process of its own, or beside the hub's loop. */
import { builtInAdapters } from '../../adapters/built-in.ts';
import { limits } from '../../base/limits.ts';
import { loadAdapter } from '../../gateway/load.ts';
import { checkSettings } from '../../gateway/settings.ts';
import type { Adapter } from '../../gateway/types.ts';
import { ChildHost, type Link } from './child-host.ts';
import { FrameReader, readWord } from './frames.ts';
import type { ToAdapter } from './words.ts';

export interface RunningChild {
  /** Bytes of the hub. @throws FrameFault */
  received(chunk: Buffer): void;
  drained(): void;
  /** Ends what it has open, where it has no process that ends with it. */
  abandon(): void;
}

/** @param exit Called when the adapter is done, or cannot go on */
export function runChild(link: Link, exit: (code: number) => void): RunningChild {
  let host: ChildHost | undefined;
  let adapter: Adapter | undefined;
  const reader = new FrameReader(2 * limits.adapterFrameBytesMax);

  const begin = async (word: Extract<ToAdapter, { kind: 'start' }>): Promise<void> => {
    host = new ChildHost(link, word.memory, control);
    host.certificate = word.certificate;
    try {
      const definition = await loadAdapter(word.adapter, builtInAdapters, word.folder);
      const settings = await checkSettings(definition, word.settings, word.folder, process.env);
      adapter = definition.create(host.host, settings);
      await adapter.start();
      host.say({ kind: 'started' });
    } catch (error) {
      host.say({ kind: 'failed', text: (error instanceof Error ? error.message : String(error)).slice(0, 1000) });
      await host.close();
      exit(1);
    }
  };
  const stop = async (graceMs: number): Promise<void> => {
    const grace = AbortSignal.timeout(graceMs);
    const over = new Promise<void>((resolve) => grace.addEventListener('abort', () => resolve(), { once: true }));
    await host?.parts.listeners.stopAccepting();
    await Promise.race([adapter?.stop?.(grace), over]).catch(() => {});
    await host?.close();
    exit(0);
  };
  const control = (word: ToAdapter): void => {
    if (word.kind === 'ping') {
      const { numbers, gauges } = host?.parts ?? { numbers: new Map<string, number>(), gauges: new Set<string>() };
      host?.say({
        ...{ kind: 'pong', memoryBytes: process.memoryUsage.rss() },
        ...{ numbers: Object.fromEntries(numbers), gauges: [...gauges] },
      });
    } else if (word.kind === 'stop') void stop(word.graceMs);
  };
  return {
    received(chunk) {
      reader.push(chunk, (kind, bytes, start, end) => {
        // The start is the first frame; others may have come with it.
        if (host === undefined) void begin(readWord(bytes, start, end) as never);
        else host.take(kind, bytes, start, end);
      });
    },
    drained: () => host?.drained(),
    abandon: () => void host?.close(),
  };
}
