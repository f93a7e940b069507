import { existsSync } from 'node:fs';
import path from 'node:path';

/** The interpreter of the environment that `run.ts` makes from requirements.txt. */
export const pythonProgram = path.join(path.dirname(import.meta.dirname), '.venv', 'bin', 'python');

export const hasPython = existsSync(pythonProgram);
