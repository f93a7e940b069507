import type { Terminal } from '../terminal.ts';

const REDRAW_MS = 100;

/** One line that is drawn over itself while something runs: for a person only, nothing else sees it. */
export interface Progress {
  show(text: string): void;
  /** Removes the line. */
  end(): void;
}

export function progressLine(terminal: Terminal): Progress {
  const { err } = terminal;
  if (!err.isTerminal || terminal.json) return { show: () => {}, end: () => {} };
  let drawnAt = -Infinity;
  let drawn = false;
  return {
    show(text) {
      const now = performance.now();
      if (now - drawnAt < REDRAW_MS) return;
      drawnAt = now;
      drawn = true;
      err.stream.write(`\r\u001b[2K${text.slice(0, err.columns() - 1)}`);
    },
    end() {
      if (drawn) err.stream.write('\r\u001b[2K');
      drawn = false;
      drawnAt = -Infinity;
    },
  };
}
