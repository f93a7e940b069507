/** The programs that run the vendors' SDKs, and what of them is missing on this machine. `run.ts` installs them. */
import { existsSync } from 'node:fs';
import path from 'node:path';

const folder = path.dirname(import.meta.dirname);

/** The interpreter of the environment that `run.ts` makes from requirements.txt. */
export const pythonProgram = path.join(folder, '.venv', 'bin', 'python');

/** What Maven makes from java/pom.xml. */
const javaClasses = path.join(folder, 'java', 'target', 'classes');
const javaLibraries = path.join(folder, 'java', 'target', 'lib');

export type Language = 'JavaScript' | 'Python' | 'Java';

/** Why the SDKs of a language cannot run here, for a test's `skip`; undefined = they can. Says so loudly. */
export function missing(language: Language): string | undefined {
  if (language === 'Python' && !existsSync(pythonProgram)) return notTested('no Python environment');
  if (language === 'Java' && !existsSync(javaClasses)) return notTested('no compiled Java clients');
  return undefined;
}

/**
 * How a client is started.
 * @param script a file of clients/, or `java:` and the first argument of java/'s Main
 */
export function commandOf(script: string): { readonly command: string; readonly args: readonly string[] } {
  if (script.startsWith('java:')) {
    // Many short-lived clients on few cores: the second compiler and the parallel collector would only compete.
    const options = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
    const classPath = `${javaClasses}${path.delimiter}${path.join(javaLibraries, '*')}`;
    return { command: 'java', args: [...options, '-cp', classPath, 'mooring.sdktests.Main', script.slice(5)] };
  }
  const command = script.endsWith('.py') ? pythonProgram : process.execPath;
  return { command, args: [path.join(folder, 'clients', script)] };
}

function notTested(why: string): string {
  const text = `NOT TESTED: ${why} (see sdk-tests/README.md)`;
  process.stderr.write(`${text}\n`);
  return text;
}
