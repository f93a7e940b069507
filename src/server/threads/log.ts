import type { Log, LogFields } from '../../base/log.ts';
import { scrub, scrubText } from '../observe/log.ts';
import type { ThreadLink } from './calls.ts';

const levels = ['debug', 'info', 'warn', 'error'] as const;
type Level = (typeof levels)[number];

export interface LogStart {
  /** The setting: least important level that is written. */
  readonly level: Level | 'silent';
  /** On every line of the thread. */
  readonly fields: LogFields;
}

/** Writes the lines of a listener thread: one thread writes, so that lines do not mix. */
export function serveLog(link: ThreadLink, log: Log): void {
  link.on('log', ([level, fields, sentence]: [Level, LogFields, string]) => log[level](fields, sentence));
}

/** The log as a listener thread sees it. Secrets are hidden before a line leaves, and errors become plain data. */
export function logStandIn(link: ThreadLink, { level, fields }: LogStart): Log {
  const least = level === 'silent' ? levels.length : levels.indexOf(level);
  const face = (own: LogFields): Log => {
    const at = (each: Level) => (more: LogFields, sentence: string) => {
      if (levels.indexOf(each) < least) return;
      link.tell('log', [each, { ...own, ...scrub(more) }, scrubText(sentence)]);
    };
    return {
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      child: (more) => face({ ...own, ...scrub(more) }),
    };
  };
  return face(scrub(fields));
}
