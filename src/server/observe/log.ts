/**
 * The hub's log: JSON lines on stderr by pino, or text where stderr is a terminal. Every line passes `scrub`, which hides
 * what looks like a secret, as the last net under the rule that secrets are never given to the log at all.
 */
import pino from 'pino';
import type { Log, LogFields } from '../../base/log.ts';
import type { Settings } from '../config/config.ts';

export interface ServerLog extends Log {
  /** Writes what is still in memory, before the process ends. */
  flush(): void;
}

export function openLog(settings: Pick<Settings, 'logLevel' | 'logFormat'>): ServerLog {
  const text = settings.logFormat === 'text' || (settings.logFormat === 'auto' && process.stderr.isTTY === true);
  const destination = pino.destination({ dest: 2, sync: false });
  // A closed stderr must not end the hub.
  destination.on('error', () => {});
  const stream = text ? { write: (line: string) => void destination.write(readable(line)) } : destination;
  const logger = pino(
    {
      level: settings.logLevel,
      base: undefined,
      timestamp: pino.stdTimeFunctions.isoTime,
      messageKey: 'message',
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
  return {
    ...face(logger),
    flush: () => {
      try {
        destination.flushSync();
      } catch {
        // Not open yet, or closed by its reader: there is nobody to tell.
      }
    },
  };
}

function face(logger: pino.Logger): Log {
  const at = (level: 'debug' | 'info' | 'warn' | 'error') => (fields: LogFields, sentence: string) => {
    if (logger.isLevelEnabled(level)) logger[level](scrub(fields), scrubText(sentence));
  };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => face(logger.child(scrub(fields))),
  };
}

const secretName =
  /^(primary|secondary|sharedaccess|private|policy|encryption)_?key$|password|secret|token|authorization|signature|^sig$/i;
const secretText = /(SharedAccessKey=|SharedAccessSignature[= ]|\bsig=|\bBearer )[^\s;&"']+/gi;
const DEPTH_MAX = 4;

/** The fields without secrets, errors as plain data. */
export function scrub(fields: LogFields, depth = 0): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      typeof value === 'string' && secretName.test(name) ? '[hidden]' : scrubValue(value, depth),
    ]),
  );
}

function scrubValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return scrubText(value);
  if (typeof value !== 'object' || value === null) return typeof value === 'bigint' ? String(value) : value;
  if (depth >= DEPTH_MAX) return '[deeper]';
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (Array.isArray(value)) return value.map((item) => scrubValue(item, depth + 1));
  if (value instanceof Error) {
    const { message, stack, cause } = value;
    return scrub({ message, stack, ...(cause === undefined ? {} : { cause }) }, depth + 1);
  }
  return scrub(value as LogFields, depth + 1);
}

export const scrubText = (text: string): string => text.replace(secretText, '$1[hidden]');

/** `12:30:05 warn   sentence   field=value …` in UTC. */
function readable(line: string): string {
  const { level, time, message, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const details = Object.entries(fields).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return `${[String(time).slice(11, 19), String(level).padEnd(5), String(message), ...details].join('  ')}\n`;
}
