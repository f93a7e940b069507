/** Foreign readers of an archive's files (`test-servers/archive`): each question is a process of Python. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

const folder = path.join(import.meta.dirname, '..', '..', 'test-servers', 'archive');
const python = path.join(folder, '.venv', 'bin', 'python');
const ANSWER_MS_MAX = 60_000;
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;

/** False: they are there. */
export const missingReaders = (): string | false =>
  existsSync(path.join(folder, '.venv', '.installed-pins'))
    ? false
    : 'NOT TESTED: pyarrow, DuckDB and fastavro are missing, run test-servers/install.sh first';

export type Reader = 'pyarrow' | 'duckdb' | 'fastavro' | 'statistics' | 'size' | 'sql';

/** Bytes are hexadecimal, times UTC milliseconds. @param asked files, or a query of `sql` */
export async function ask<Answer>(reader: Reader, ...asked: readonly string[]): Promise<Answer> {
  const { stdout } = await promisify(execFile)(python, [path.join(folder, 'read.py'), reader, ...asked], {
    timeout: ANSWER_MS_MAX,
    maxBuffer: ANSWER_BYTES_MAX,
  });
  return JSON.parse(stdout) as Answer;
}
