/**
 * Counts the house: rooms (folders of src that hold files), arrows (one room imports another, types included) and circles
 * (files that import each other in a circle). `node scripts/house.ts [--arrows]`; compare two revisions with it.
 */
import { globSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { circlesIn, importGraph } from './house/imports.ts';

const { values } = parseArgs({ options: { arrows: { type: 'boolean' }, root: { type: 'string' } } });
const root = path.resolve(values.root ?? path.dirname(import.meta.dirname));
const files = globSync('src/**/*.ts', { cwd: root }).sort();
const own = files.filter((file) => !file.endsWith('.test.ts') && !file.startsWith('src/stores/contract/'));

const graph = importGraph(root, own, 'all');
const arrows = new Set<string>();
for (const [file, targets] of graph) {
  for (const target of targets) {
    if (path.dirname(file) !== path.dirname(target)) arrows.add(`${path.dirname(file)} -> ${path.dirname(target)}`);
  }
}
const lines = (under: string, depth: number): string => {
  const inside = (name: string): string | undefined =>
    name.startsWith(`${under}/`) ? name.split('/').slice(0, depth).join('/') : undefined;
  const rooms = new Set<string>();
  const found = new Set<string>();
  for (const [file, targets] of graph) {
    const from = inside(file);
    if (from === undefined) continue;
    rooms.add(from);
    for (const target of targets) {
      const to = inside(target);
      if (to !== undefined && to !== from) found.add(`${from} -> ${to}`);
    }
  }
  return `${under}: ${rooms.size} rooms or files at its top, ${found.size} arrows between them`;
};
const circles = circlesIn(graph);
console.log(
  `${own.length} files, ${new Set(own.map((file) => path.dirname(file))).size} folders, ${arrows.size} arrows`,
);
for (const folder of ['src/server', 'src/protocols/amqp']) console.log(lines(folder, folder.split('/').length + 1));
console.log(`${circles.length} circles of files, types included: ${circles.flat().length} files`);
const folders = new Map<string, string[]>();
for (const arrow of arrows) {
  const [from, to] = arrow.split(' -> ');
  folders.set(from, [...(folders.get(from) ?? []), to]);
}
for (const circle of circles) console.log(`  ${circle.join(' ')}`);
console.log('circles of folders, types included:');
for (const circle of circlesIn(folders)) console.log(`  ${circle.join(' ')}`);
if (values.arrows === true) for (const arrow of [...arrows].sort()) console.log(arrow);
