import { systemClock } from '../../base/clock.ts';
import { createHostParts, hostLimits } from '../host-parts.ts';
import { checkFact, memoryFull } from '../memory.ts';
import { checkSettings } from '../settings.ts';
import type { Adapter, AdapterDefinition, Facts, Host, Memory } from '../types.ts';
import type { FakeHub } from './fake-hub.ts';

/** An adapter that runs against a `FakeHub`, with real listeners. */
export interface RunningAdapter {
  /** Of its listeners, in the order in which they were opened. */
  readonly ports: readonly number[];
  /** Lines of its log. */
  readonly lines: readonly { readonly level: string; readonly text: string; readonly facts: Facts }[];
  readonly metrics: ReadonlyMap<string, number>;
  /** What it has said last of its health. */
  health(): { readonly status: string; readonly text: string };
  stop(): Promise<void>;
}

/** Starts an adapter with settings as the operator would write them. @throws AdapterFault where they cannot be used */
export async function runAdapter<Settings>(
  definition: AdapterDefinition<Settings>,
  settings: unknown,
  hub: FakeHub,
): Promise<RunningAdapter> {
  const checked = await checkSettings(definition, settings, process.cwd(), process.env);
  const lines: { level: string; text: string; facts: Facts }[] = [];
  const ports: number[] = [];
  const say =
    (level: string) =>
    (text: string, facts: Facts = {}) =>
      void lines.push({ level, text, facts });
  const log = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') };
  const parts = createHostParts({
    log,
    certificate: () => undefined,
    sharedKey: async (identity) => hub.sharedKey(identity),
    listening: ({ port }) => void ports.push(port),
  });
  const host: Host = {
    ...{ log, clock: systemClock, limits: hostLimits, memory: memoryInMemory() },
    ...{ metrics: parts.metrics, listeners: parts.listeners, health: parts.health },
    get hubReachable() {
      return hub.isReachable;
    },
    sharedKey: async (device) => hub.sharedKey(device),
    connect: async (proof, handlers, options = {}) =>
      hub.connect(proof, handlers, options, { clock: systemClock, log }),
  };
  const adapter: Adapter = definition.create(host, checked);
  try {
    await adapter.start();
  } catch (error) {
    await parts.listeners.close();
    throw error;
  }
  return {
    ports,
    lines,
    metrics: parts.numbers,
    health: () => parts.told(),
    async stop() {
      const grace = AbortSignal.timeout(2000);
      await parts.listeners.stopAccepting();
      await adapter.stop?.(grace);
      await parts.listeners.close();
    },
  };
}

function memoryInMemory(): Memory {
  const facts = new Map<string, string>();
  return {
    async get(key) {
      const text = facts.get(key);
      return text === undefined ? undefined : JSON.parse(text);
    },
    async set(key, value) {
      const text = checkFact(key, value);
      if (!facts.has(key) && facts.size >= hostLimits.memoryKeysMax) throw memoryFull();
      facts.set(key, text);
    },
    async delete(key) {
      facts.delete(key);
    },
    list: async (prefix) =>
      [...facts]
        .filter(([key]) => key.startsWith(prefix))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, text]) => [key, JSON.parse(text)] as const),
  };
}
