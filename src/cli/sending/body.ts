import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { CommandDraft } from '../../api/commands.ts';
import { Failure } from '../failure.ts';

/** How the command line gives a command's body; at most one of them. */
export interface BodyOptions {
  readonly body?: string;
  readonly bodyFile?: string;
  readonly jsonBody?: string;
}

const STANDARD_INPUT = 0;

/** @throws Failure when the file cannot be read, or the text is not JSON. */
export function bodyOf(options: BodyOptions, cwd: string): Pick<CommandDraft, 'bodyText' | 'bodyBase64' | 'bodyJson'> {
  if (options.jsonBody !== undefined) return { bodyJson: jsonOf(options.jsonBody) };
  if (options.bodyFile !== undefined) return { bodyBase64: readBody(options.bodyFile, cwd).toString('base64') };
  return options.body === undefined ? {} : { bodyText: options.body };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Failure('What --json-body holds is not JSON.', {
      usage: true,
      hint: 'Quote it for the shell: --json-body \'{"interval": 10}\'',
    });
  }
}

function readBody(file: string, cwd: string): Buffer {
  try {
    return readFileSync(file === '-' ? STANDARD_INPUT : path.resolve(cwd, file));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Failure(`The body ${file} cannot be read (${code}).`, { code, cause: error });
  }
}
