import type { AdapterSettings } from '../config/adapter-settings.ts';

/** An adapter that runs, somewhere. */
export interface AdapterProcess {
  write(bytes: Buffer): void;
  waiting(): number;
  hold(isHeld: boolean): void;
  /** At once. */
  kill(): void;
}

export interface ProcessEvents {
  received(chunk: Buffer): void;
  drained(): void;
  /** It has ended. @param words its last ones */
  ended(reason: string, words: string): void;
}

export type OpenAdapter = (settings: AdapterSettings, events: ProcessEvents) => AdapterProcess;
