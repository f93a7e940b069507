/** Who imports whom, read from the text of the files. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

export interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
}

/** File -> the files that it imports, as paths from the root. */
export type ImportGraph = ReadonlyMap<string, readonly string[]>;

export function importsOf(root: string, file: string): readonly Import[] {
  const text = readFileSync(path.join(root, file), 'utf8');
  const found: Import[] = [];
  for (const match of text.matchAll(/^(?:import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm)) {
    found.push({ typeOnly: match[1] !== undefined, specifier: match[2] });
  }
  for (const match of text.matchAll(/\bimport\(\s*'([^']+)'\s*\)/g))
    found.push({ typeOnly: false, specifier: match[1] });
  for (const match of text.matchAll(/new URL\(\s*'(\.[^']+\.ts)'/g))
    found.push({ typeOnly: false, specifier: match[1] });
  return found;
}

export const resolveImport = (file: string, specifier: string): string => path.join(path.dirname(file), specifier);

/** @param which `values`: without what vanishes when types are stripped; `all`: with it */
export function importGraph(root: string, files: readonly string[], which: 'values' | 'all'): ImportGraph {
  const known = new Set(files);
  return new Map(
    files.map((file) => [
      file,
      importsOf(root, file)
        .filter(({ specifier, typeOnly }) => specifier.startsWith('.') && (which === 'all' || !typeOnly))
        .map(({ specifier }) => resolveImport(file, specifier))
        .filter((target) => known.has(target)),
    ]),
  );
}

/** Groups of nodes of which each reaches each other (strongly connected, by Tarjan's algorithm). */
export function circlesIn(graph: ImportGraph): readonly (readonly string[])[] {
  const index = new Map<string, number>();
  const stack: string[] = [];
  const circles: string[][] = [];
  const visit = (node: string): number => {
    const at = index.size;
    index.set(node, at);
    let lowest = at;
    stack.push(node);
    for (const next of graph.get(node) ?? []) {
      if (!index.has(next)) lowest = Math.min(lowest, visit(next));
      else if (stack.includes(next)) lowest = Math.min(lowest, index.get(next) ?? lowest);
    }
    if (lowest === at) {
      const group = stack.splice(stack.indexOf(node));
      if (group.length > 1 || (graph.get(node) ?? []).includes(node)) circles.push(group.sort());
    }
    return lowest;
  };
  for (const node of graph.keys()) if (!index.has(node)) visit(node);
  return circles.sort((a, b) => a[0].localeCompare(b[0]));
}
