import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseStartPosition, type StartPosition } from '../events/position.ts';
import { type Login, type LoginOptions, resolveLogin } from '../login/login.ts';
import { parseDuration } from '../output/values.ts';
import type { Terminal } from '../terminal.ts';

/** Options that every command which reaches a hub has. */
export interface CommonOptions extends LoginOptions {
  readonly json?: boolean;
}

/** Adds the login options and `--json`. Keys have no flag: arguments are seen by everybody on the machine. */
export function withLogin(command: Command): Command {
  const login = (flags: string, description: string): Option => new Option(flags, description).helpGroup('Login:');
  return command
    .option('--json', 'results as JSON')
    .addOption(login('--login-file <file>', 'endpoints.json of a hub, or a file with a connection string (- = stdin)'))
    .addOption(login('--data-dir <dir>', 'data folder of a local hub (default: ./mooring-data)'))
    .addOption(login('--ca-file <file>', 'CA certificate of the hub (default: the one the login names)'));
}

export function loginFrom(options: LoginOptions, terminal: Terminal): Login {
  return resolveLogin(options, terminal);
}

/** A whole number from `min` to `max`. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

/** A duration in milliseconds. */
export function durationMs(text: string): number {
  const value = parseDuration(text);
  if (value === undefined || value <= 0) throw new InvalidArgumentError('It looks like 30s, 10m, 1h30m or 2d.');
  return value;
}

/** Where a reader of an event hub begins; `byDefault` is in the same form. */
export function fromOption(byDefault: string): Option {
  return new Option('--from <place>', 'where to begin: now, start, a time (2026-05-01T12:00Z), or how long ago (10m)')
    .argParser(startPosition)
    .default(startPosition(byDefault), byDefault);
}

function startPosition(text: string): StartPosition {
  const position = parseStartPosition(text, Date.now());
  if (position === undefined) {
    throw new InvalidArgumentError('It is now, start, a time such as 2026-05-01T12:00Z, or how long ago, such as 10m.');
  }
  return position;
}

/** Lines under the options of a command's help. */
export function examples(command: Command, lines: readonly string[]): Command {
  return command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`);
}
