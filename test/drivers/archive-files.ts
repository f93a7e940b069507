/** The files of an archive in a folder. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** By their whole paths; without what is still being written. */
export function filesIn(root: string): Map<string, Buffer> {
  if (!existsSync(root)) return new Map();
  const entries = readdirSync(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !entry.parentPath.includes('.staging'));
  return new Map(
    files.map(({ parentPath, name }) => [path.join(parentPath, name), readFileSync(path.join(parentPath, name))]),
  );
}
