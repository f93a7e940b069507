/** The adapters that ship; none is loaded, nor listens, before an operator asks for it by its name. */
import type { BuiltIns } from '../gateway/load.ts';

export const builtInAdapters: BuiltIns = {
  coap: () => import('./coap/index.ts'),
  line: () => import('./line/line.ts'),
  lorawan: () => import('./lorawan/index.ts'),
  'mqtt-topics': () => import('./mqtt-topics/index.ts'),
};
