/** What can be typed at `npm run cluster`. */
import { createInterface } from 'node:readline';
import type { Scene } from './scene.ts';

interface Order {
  /** What its number names; absent = it takes none. */
  readonly of?: 'node' | 'broker';
  /** In which states of it; absent = in all but `ended`. */
  readonly when?: readonly string[];
  run(scene: Scene, say: Say, nth: number): unknown;
}

type Say = (text: string) => void;

const orders: Readonly<Record<string, Order>> = {
  status: {
    run: (scene, say) => say(scene.status().join('\n')),
  },
  kill: {
    of: 'node',
    async run(scene, say, nth) {
      await scene.killNode(nth);
      say(`node ${nth} is killed`);
    },
  },
  drain: {
    of: 'node',
    when: ['runs'],
    async run(scene, say, nth) {
      say(`node ${nth} drains ...`);
      await scene.drainNode(nth);
      say(`node ${nth} has ended`);
    },
  },
  hold: {
    of: 'node',
    when: ['runs'],
    run(scene, say, nth) {
      scene.holdNode(nth);
      say(`node ${nth} is held`);
    },
  },
  go: {
    of: 'node',
    when: ['held'],
    run(scene, say, nth) {
      scene.letNodeGo(nth);
      say(`node ${nth} goes on`);
    },
  },
  start: {
    async run(scene, say) {
      say('a node starts ...');
      const { nth, admin } = await scene.startNode();
      say(`node ${nth} is there: ${admin}`);
    },
  },
  log: {
    of: 'node',
    when: ['runs', 'held', 'ended'],
    run: (scene, say, nth) => say(scene.logOf(nth)),
  },
  'kill-broker': {
    of: 'broker',
    async run(scene, say, id) {
      await scene.killBroker(id);
      say(`broker ${id} is killed`);
    },
  },
  'start-broker': {
    of: 'broker',
    when: ['ended'],
    async run(scene, say, id) {
      say(`broker ${id} starts ...`);
      await scene.startBroker(id);
      say(`broker ${id} is there`);
    },
  },
  'hold-broker': {
    of: 'broker',
    when: ['runs'],
    run(scene, say, id) {
      scene.holdBroker(id);
      say(`broker ${id} is held`);
    },
  },
  'go-broker': {
    of: 'broker',
    when: ['held'],
    run(scene, say, id) {
      scene.letBrokerGo(id);
      say(`broker ${id} goes on`);
    },
  },
};

/** One after the other, until `quit`, the end of the input, or the signal. */
export async function obey(scene: Scene, say: Say, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const lines = createInterface({ input: process.stdin });
  const aborted = new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => {
      lines.close();
      resolve();
    });
  });
  for await (const line of lines) {
    const [word = '', text = ''] = line.trim().split(/\s+/);
    if (word === 'quit') break;
    if (word === '') continue;
    const order = Object.hasOwn(orders, word) ? orders[word] : undefined;
    if (order === undefined) {
      say(`'${word}' is none of: ${Object.keys(orders).join(', ')}, quit`);
      continue;
    }
    const refusal = refusalOf(scene, word, order, Number(text));
    if (refusal !== undefined) say(refusal);
    else await Promise.race([carryOut(order, scene, word, Number(text), say), aborted]);
    if (signal.aborted) return;
  }
}

async function carryOut(order: Order, scene: Scene, word: string, nth: number, say: Say): Promise<void> {
  try {
    await order.run(scene, say, nth);
  } catch (error) {
    say(`${word} failed: ${(error as Error).message}`);
  }
}

function refusalOf(scene: Scene, word: string, { of, when }: Order, nth: number): string | undefined {
  if (of === undefined) return undefined;
  const states = scene.states(of);
  const state = states[nth - 1];
  if (state === undefined) return `${word} which ${of}? One of 1 to ${states.length}`;
  if (when?.includes(state) ?? state !== 'ended') return undefined;
  return `${of} ${nth} ${{ runs: 'runs', held: 'is held', ended: 'has ended' }[state]}: see status`;
}
