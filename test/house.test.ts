/**
 * The house rules that a compiler does not know: which room may import which, no cycles, no input or output in core, no
 * dead files, no leftover marks. The picture is in `docs/architecture.md`.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import {
  circlesIn,
  type Import,
  importGraph,
  importsOf as readImports,
  resolveImport,
} from '../scripts/house/imports.ts';

const root = path.dirname(import.meta.dirname);
const files = globSync('src/**/*.ts', { cwd: root }).sort();
const isTest = (file: string): boolean => file.endsWith('.test.ts') || file.startsWith('src/stores/contract/');

/** Room -> rooms that it may import besides itself. The longest matching prefix decides. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  'src/base': [],
  'src/wire': ['src/base'],
  'src/api': ['src/base'],
  'src/core': ['src/base'],
  'src/records': ['src/core', 'src/wire', 'src/base'],
  'src/stores': ['src/core', 'src/base'],
  'src/stores/memory': ['src/stores/event-log', 'src/stores/objects/checked-source.ts', 'src/core', 'src/base'],
  'src/stores/tables': ['src/core', 'src/base'],
  'src/stores/cluster': ['src/stores/tables', 'src/stores/event-log', 'src/core', 'src/base'],
  'src/stores/kafka': ['src/stores/event-log', 'src/records', 'src/wire', 'src/core', 'src/base'],
  'src/stores/event-log': ['src/core', 'src/base'],
  'src/protocols/shared': ['src/core', 'src/wire', 'src/api', 'src/base'],
  'src/protocols/mqtt': ['src/protocols/shared', 'src/core', 'src/wire', 'src/api', 'src/base'],
  'src/protocols/amqp': ['src/protocols/shared', 'src/core', 'src/wire', 'src/api', 'src/base'],
  'src/protocols/http': ['src/protocols/shared', 'src/core', 'src/wire', 'src/api', 'src/base'],
  // How things are kept is known to `storage`, which opens it, and to `data`, which looks after the folder.
  'src/server': ['src/protocols', 'src/records', 'src/stores/objects', 'src/core', 'src/wire', 'src/api', 'src/base'],
  'src/server/storage': ['src/server', 'src/stores', 'src/records', 'src/core', 'src/wire', 'src/base'],
  'src/server/delivery': ['src/server', 'src/endpoints', 'src/core', 'src/base'],
  'src/server/data': [
    'src/server',
    'src/stores/embedded',
    'src/stores/event-log',
    'src/stores/tables',
    'src/core',
    'src/base',
  ],
  // From one storage into the other: it knows both.
  'src/server/export': ['src/server', 'src/stores', 'src/records', 'src/core', 'src/base'],
  'src/server/threads': ['src/server', 'src/protocols', 'src/records', 'src/stores/event-log', 'src/core', 'src/base'],
  // Places outside the hub that events go to.
  'src/endpoints': ['src/core', 'src/wire', 'src/base'],
  // The public entry of adapters and what all their hosts share; it knows no hub, and adapters know nothing else.
  'src/gateway': ['src/base'],
  'src/gateway/testing': ['src/gateway', 'src/base'],
  'src/gateway/remote': ['src/gateway', 'src/adapters/built-in.ts', 'src/api', 'src/wire', 'src/base'],
  'src/adapters': ['src/gateway', 'src/base'],
  'src/adapters/coap': ['src/gateway', 'src/wire', 'src/base'],
  'src/adapters/mqtt-topics': ['src/gateway', 'src/wire', 'src/base'],
  'src/server/adapters': [
    'src/server',
    'src/gateway',
    'src/adapters/built-in.ts',
    'src/protocols/shared',
    'src/core',
    'src/api',
    'src/base',
  ],
  'src/cli': ['src/gateway', 'src/adapters/built-in.ts', 'src/api', 'src/wire', 'src/base'],
  'src/main.ts': ['src/server', 'src/cli', 'src/base'],
};

/** Tests beside the code run it on real parts: memory stores, and the codec that events are stored with. */
const testParts = [
  'src/stores',
  'src/records',
  'src/protocols/shared',
  'src/core',
  'test/drivers/until.ts',
  'test/drivers/lorawan-samples.ts',
  'test/drivers/condition-values.ts',
  'test/drivers/proofs.ts',
  'test/drivers/delivery-rig.ts',
];

/** Inside core: the rooms know `identity`, and each other's types only; what crosses two rooms is wired in `hub.ts`. */
const coreRooms = [
  'identity',
  'events',
  'commands',
  'files',
  'presence',
  'monitoring',
  'throttling',
  'devices',
  'twins',
  'methods',
  'query',
  'registry-jobs',
  'jobs',
  'configurations',
  'routes',
  'archive',
  'nodes',
];

/** What other programs import (`exports` of package.json). */
const { exports } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
  exports: Record<string, { default: string }>;
};
const publicEntries = Object.values(exports).map((entry) =>
  entry.default.replace(/^\.\/dist\//, 'src/').replace(/\.js$/, '.ts'),
);

const importsOf = (file: string): readonly Import[] => readImports(root, file);
const resolve = resolveImport;
const roomOf = (file: string): string => {
  const room = Object.keys(mayImport)
    .filter((name) => file === name || file.startsWith(`${name}/`))
    .sort((a, b) => b.length - a.length)[0];
  assert.ok(room !== undefined, `${file} stands in no room: see docs/architecture.md`);
  return room;
};

test('a room imports only the rooms below it', () => {
  const wrong: string[] = [];
  for (const file of files) {
    const room = roomOf(file);
    for (const { specifier } of importsOf(file)) {
      if (!specifier.startsWith('.')) continue;
      const target = resolve(file, specifier);
      const real = isTest(file) ? testParts : [];
      const allowed = [room, ...mayImport[room], ...real].some(
        (name) => target === name || target.startsWith(`${name}/`),
      );
      if (!allowed) wrong.push(`${file} imports ${target}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('rooms of core know identity, and of each other only types', () => {
  const wrong: string[] = [];
  for (const file of files.filter((name) => name.startsWith('src/core/'))) {
    const room = file.split('/')[2];
    if (!coreRooms.includes(room)) continue;
    for (const { specifier, typeOnly } of importsOf(file)) {
      const other = specifier.startsWith('.') ? resolve(file, specifier).split('/')[2] : room;
      if (other === room || !coreRooms.includes(other) || other === 'identity') continue;
      if (!typeOnly && !isTest(file)) wrong.push(`${file} imports values of core/${other}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('the main thread of a hub loads no query builder, no maker of certificates and no store of files that it does not use', () => {
  const start = 'src/server/serve.ts';
  const seen = new Set([start]);
  const packages = new Set<string>();
  // What the start imports, and not what it imports later (`import()`) or starts as a thread (`new URL`).
  for (const file of seen) {
    const text = readFileSync(path.join(root, file), 'utf8');
    for (const [, type, specifier] of text.matchAll(
      /^(?:import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm,
    )) {
      if (type !== undefined) continue;
      if (specifier.startsWith('.')) seen.add(resolveImport(file, specifier));
      else packages.add(specifier);
    }
  }
  assert.ok(packages.has('fastify') && seen.has('src/stores/embedded/tables/thread.ts'));
  assert.deepEqual(
    ['kysely', 'pg', '@peculiar/x509'].filter((name) => packages.has(name)),
    [],
  );
  assert.deepEqual(
    [...seen].filter((file) => /azure-store|s3-store/.test(file)),
    [],
  );
});

/** Folder with wings -> wing -> sibling wings that it may import. */
const wings: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'src/server': {
    config: [],
    data: [],
    tls: ['data'],
    observe: ['config', 'data', 'tls', 'threads'],
    storage: ['config', 'data', 'observe', 'routes'],
    export: ['config', 'data', 'storage'],
    routes: ['config'],
    threads: ['observe', 'routes', 'tls'],
    adapters: ['config', 'data', 'observe', 'tls'],
    'registry-jobs': ['config', 'observe'],
    archive: ['config', 'observe'],
    delivery: ['config', 'observe'],
  },
  'src/protocols/amqp': { engine: [], devices: ['engine'], 'back-ends': ['engine'], gateways: ['engine'] },
};
/** These know nothing of the folder that they stand in either. */
const selfContained = ['src/server/config', 'src/server/tls', 'src/protocols/amqp/engine'];

test('a wing imports only the wings that it may know', () => {
  const wrong: string[] = [];
  for (const file of files.filter((name) => !isTest(name))) {
    const folder = Object.keys(wings).find((name) => file.startsWith(`${name}/`));
    if (folder === undefined) continue;
    const wingOf = (name: string): string | undefined =>
      Object.keys(wings[folder]).find((wing) => name.startsWith(`${folder}/${wing}/`));
    const wing = wingOf(file);
    if (wing === undefined) continue;
    for (const { specifier } of importsOf(file)) {
      const target = resolve(file, specifier);
      if (!specifier.startsWith('.') || !target.startsWith(`${folder}/`)) continue;
      const other = wingOf(target);
      const outside = other === undefined && selfContained.includes(`${folder}/${wing}`);
      const stranger = other !== undefined && other !== wing && !wings[folder][wing].includes(other);
      if (outside || stranger) wrong.push(`${file} imports ${target}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('core does no input or output and takes time and randomness as parameters', () => {
  const builtins = new Set(['node:crypto', 'node:buffer']);
  const banned = /\b(Date\.now|new Date\(\)|Math\.random|setTimeout|setInterval|setImmediate|process\.)/;
  const wrong: string[] = [];
  for (const file of files.filter((name) => name.startsWith('src/core/') && !isTest(name))) {
    for (const { specifier } of importsOf(file)) {
      if (!specifier.startsWith('.') && !builtins.has(specifier)) wrong.push(`${file} imports ${specifier}`);
    }
    const hit = banned.exec(readFileSync(path.join(root, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, ''));
    if (hit) wrong.push(`${file} uses ${hit[1]}`);
  }
  assert.deepEqual(wrong, []);
});

test('only the guard asks the permission table, so that every refusal is told', () => {
  const wrong = files.filter(
    (file) =>
      !isTest(file) &&
      !/core\/identity\/(guard|permissions)\.ts$/.test(file) &&
      /\bauthorize\b[^;]*from '[^']*permissions\.ts'/.test(readFileSync(path.join(root, file), 'utf8')),
  );
  assert.deepEqual(wrong, []);
});

test('no files import each other in a circle, not for types either', () => {
  assert.deepEqual(circlesIn(importGraph(root, files, 'all')), []);
});

test('every file of src is used from main.ts, a test, a bench or an example', () => {
  const roots = [
    'src/main.ts',
    ...publicEntries,
    ...files.filter(isTest),
    ...globSync(['test/**/*.ts', 'bench/**/*.ts', 'examples/**/*.ts', 'scripts/**/*.ts', 'sdk-tests/*.ts'], {
      cwd: root,
    }),
  ];
  const seen = new Set<string>();
  const visit = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const { specifier } of importsOf(file)) if (specifier.startsWith('.')) visit(resolve(file, specifier));
  };
  for (const file of roots) visit(file);
  assert.deepEqual(
    files.filter((file) => !seen.has(file)),
    [],
  );
});

test('no leftover marks, no skipped tests', () => {
  const marks = new RegExp(['TO' + 'DO', 'FIX' + 'ME', 'X{3}', 'HA' + 'CK', '\\.on' + 'ly\\('].join('|'));
  const wrong = [...files, ...globSync('{test,bench,scripts,examples}/**/*.ts', { cwd: root })].filter((file) =>
    marks.test(readFileSync(path.join(root, file), 'utf8')),
  );
  assert.deepEqual(wrong, []);
});

test('each fault that foreign clients showed names tests that exist', () => {
  const page = readFileSync(path.join(root, 'sdk-tests/README.md'), 'utf8');
  const rows = [...page.matchAll(/^\| (\d+) \| .* \| (.*) \|$/gm)];
  assert.deepEqual(
    [...new Set(rows.map(([, number]) => Number(number)))],
    Array.from({ length: 21 }, (_, at) => at + 1),
  );
  for (const [row, , tests] of rows) {
    const named = [...tests.matchAll(/`([^`]+\.ts)`: "([^"]+)"/g)];
    assert.ok(named.length > 0, row);
    for (const [, file, title] of named) {
      assert.ok(readFileSync(path.join(root, file), 'utf8').includes(title), `${file} has no test "${title}"`);
    }
  }
});
