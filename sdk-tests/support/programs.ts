/** The programs that run the vendors' SDKs, and what of them is missing on this machine. `run.ts` installs them. */
import { existsSync } from 'node:fs';
import path from 'node:path';

const folder = path.dirname(import.meta.dirname);

/** The interpreter of the environment that `run.ts` makes from requirements.txt. */
export const pythonProgram = path.join(folder, '.venv', 'bin', 'python');

/** What Maven makes from java/pom.xml. */
const javaClasses = path.join(folder, 'java', 'target', 'classes');
const javaLibraries = path.join(folder, 'java', 'target', 'lib');

/** Environments beside the first one, each made from `requirements-{name}.txt`: old versions of Python packages, and what is compiled. */
export const pythonEnvironments = ['5.11', '5.6', 'proton'] as const;

/** The interpreter of one of `pythonEnvironments`. */
export function pythonProgramOf(name: string): string {
  return path.join(folder, `.venv-${name}`, 'bin', 'python');
}

/** What the Go and Rust compilers make. */
export const goProgram = path.join(folder, 'go', 'build', 'clients');
export const rustProgram = path.join(folder, 'rust', 'target', 'debug', 'mooring-sdk-tests');

export type Language = 'JavaScript' | 'Python' | 'Java' | 'Go' | 'Rust';

/** Why the SDKs of a language cannot run here, for a test's `skip`; undefined = they can. Says so loudly. */
export function missing(language: Language): string | undefined {
  if (language === 'Python' && !existsSync(pythonProgram)) return notTested('no Python environment');
  if (language === 'Java' && !existsSync(javaClasses)) return notTested('no compiled Java clients');
  if (language === 'Go' && !existsSync(goProgram)) return notTested('no compiled Go clients');
  if (language === 'Rust' && !existsSync(rustProgram)) return notTested('no compiled Rust client');
  return undefined;
}

/**
 * How a client is started.
 * @param script a file of clients/ (`5.6:` before it: in that one of `pythonEnvironments`); or `java:`, `go:` or
 * `rust:` and the first argument of the program
 */
export function commandOf(script: string): { readonly command: string; readonly args: readonly string[] } {
  if (script.startsWith('java:')) {
    // Many short-lived clients on few cores: the second compiler and the parallel collector would only compete.
    const options = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
    const classPath = `${javaClasses}${path.delimiter}${path.join(javaLibraries, '*')}`;
    return { command: 'java', args: [...options, '-cp', classPath, 'mooring.sdktests.Main', script.slice(5)] };
  }
  if (script.startsWith('go:')) return { command: goProgram, args: [script.slice(3)] };
  if (script.startsWith('rust:')) return { command: rustProgram, args: [script.slice(5)] };
  const own = /^([\d.]+|proton):(.+)$/.exec(script);
  if (own !== null) return { command: pythonProgramOf(own[1]), args: [path.join(folder, 'clients', own[2])] };
  const command = script.endsWith('.py') ? pythonProgram : process.execPath;
  return { command, args: [path.join(folder, 'clients', script)] };
}

function notTested(why: string): string {
  const text = `NOT TESTED: ${why} (see sdk-tests/README.md)`;
  process.stderr.write(`${text}\n`);
  return text;
}
