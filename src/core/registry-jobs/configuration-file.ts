/** Configurations beside the identities: a file of their own, a line of JSON each. There are few of them. */
import { limits } from '../../base/limits.ts';
import { errorTable, HubError } from '../errors.ts';
import { type Line, linesOf } from './lines.ts';
import type { JobContainer } from './ports.ts';
import { blockId, JobFailed } from './work.ts';

/** Configurations as lines, to and from the room of them. */
export interface ConfigurationLines {
  /** Each without its line feed. */
  all(): Promise<readonly string[]>;
  /** Creates or changes one. `same`: it is there just so. @throws HubError */
  take(line: Uint8Array): Promise<'taken' | 'same'>;
}

export async function writeConfigurations(
  container: JobContainer,
  name: string,
  configurations: ConfigurationLines,
): Promise<void> {
  const lines = await configurations.all();
  // Of nothing at all no store makes a file.
  const bytes = Buffer.from(lines.length === 0 ? '\n' : lines.map((line) => `${line}\n`).join(''));
  await container.stage(name, blockId(0), bytes);
  await container.commit(name, [blockId(0)], bytes.length);
}

export interface TakenConfigurations {
  readonly done: number;
  readonly unchanged: number;
  readonly failed: number;
  /** Lines of `importErrors.log`. */
  readonly errors: string;
}

/** Takes all of a file; what was taken already is the same the next time. @throws JobFailed, ObjectError */
export async function takeConfigurations(
  container: JobContainer,
  name: string,
  configurations: ConfigurationLines,
  goOn: () => Promise<void>,
): Promise<TakenConfigurations> {
  const file = await container.read(name, 0);
  if (file === undefined) throw new JobFailed(`There is no file ${name} in the container.`);
  if (file.bytes > limits.registryJobConfigurationsBytesMax) {
    throw new JobFailed(`${name} is larger than ${limits.registryJobConfigurationsBytesMax} bytes.`);
  }
  let [done, unchanged, failed, errors] = [0, 0, 0, ''];
  for await (const lines of linesOf(file.body, { offset: 0, line: 1 }, limits.registryJobLineBytesMax)) {
    for (const line of lines) {
      if (done >= limits.registryJobConfigurationsMax) {
        throw new JobFailed(`${name} has more than ${limits.registryJobConfigurationsMax} lines.`);
      }
      const outcome = await taken(line, configurations);
      done++;
      if (outcome === 'same') unchanged++;
      if (!(outcome instanceof HubError)) continue;
      failed++;
      const { number: errorCode } = errorTable[outcome.code];
      errors += `${JSON.stringify({ file: name, line: line.number, errorCode, errorStatus: outcome.message })}\n`;
    }
    await goOn();
  }
  return { done, unchanged, failed, errors };
}

async function taken({ bytes }: Line, configurations: ConfigurationLines): Promise<'taken' | 'same' | HubError> {
  if (bytes === undefined) {
    return new HubError('ArgumentInvalid', `The line is longer than ${limits.registryJobLineBytesMax} bytes.`);
  }
  try {
    return await configurations.take(bytes);
  } catch (error) {
    if (error instanceof HubError && error.code !== 'ServiceUnavailable') return error;
    throw error;
  }
}
