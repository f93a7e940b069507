/** Files in memory: a real store for tests and the simulation; nothing of it outlives the process. */
import { createHash } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import {
  type ByteSource,
  type CommitOptions,
  checkCondition,
  type ListedObject,
  ObjectError,
  type ObjectFacts,
  type ObjectStore,
} from '../../core/files/object-store.ts';
import { checkedSource } from '../objects/checked-source.ts';

interface Kept {
  readonly facts: ObjectFacts;
  readonly bytes: Uint8Array;
  /** Upload and ids of the list that it was made of. */
  readonly list: string | undefined;
}

interface StagedBlock {
  readonly bytes: Uint8Array;
  readonly time: number;
}

export function createMemoryObjectStore(clock: Pick<Clock, 'now'>): ObjectStore {
  const objects = new Map<string, Kept>();
  const staged = new Map<string, Map<string, StagedBlock>>();
  let count = 0;

  const keep = (
    path: string,
    bytes: Uint8Array,
    { condition, contentType, md5 }: Omit<CommitOptions, 'bytesMax'>,
    list?: string,
  ) => {
    checkCondition(condition, objects.get(path)?.facts);
    count += 1;
    const etag = createHash('sha256').update(`${path}\n${count}`).digest('hex').slice(0, 16);
    const facts = {
      bytes: bytes.length,
      etag,
      lastModified: clock.now(),
      contentType,
      ...(md5 !== undefined && { md5 }),
    };
    objects.set(path, { facts, bytes, list });
    staged.delete(path);
    return facts;
  };
  const listed = (prefix: string): readonly ListedObject[] =>
    [...objects]
      .filter(([path]) => path.startsWith(prefix))
      .map(([path, { facts }]) => ({ path, ...facts }))
      .sort((a, b) => (a.path < b.path ? -1 : 1));

  return {
    kind: 'memory',
    async put(path, source, options) {
      checkCondition(options.condition, objects.get(path)?.facts);
      return keep(path, await collected(checkedSource(source, options).source), options);
    },
    async stage(path, id, source, options) {
      const [known] = staged.get(path)?.keys() ?? [];
      if (known !== undefined && known.length !== id.length) throw new ObjectError('blockId');
      const bytes = await collected(checkedSource(source, options).source);
      const blocks = staged.get(path) ?? new Map<string, StagedBlock>();
      blocks.set(id, { bytes, time: clock.now() });
      staged.set(path, blocks);
      return { bytes: bytes.length };
    },
    async commit(path, ids, options) {
      const list = options.upload === undefined ? undefined : JSON.stringify([options.upload, ...ids]);
      const made = objects.get(path);
      if (list !== undefined && ids.length > 0 && !staged.has(path) && made?.list === list) return made.facts;
      const blocks = ids.map((id) => {
        const block = staged.get(path)?.get(id);
        if (block === undefined) throw new ObjectError('unknownBlock');
        return block.bytes;
      });
      if (blocks.reduce((sum, { length }) => sum + length, 0) > options.bytesMax) throw new ObjectError('tooLarge');
      return keep(path, Buffer.concat(blocks), options, list);
    },
    stagedBytes: async (path) => sumOf([...(staged.get(path)?.values() ?? [])].map(({ bytes }) => bytes.length)),
    head: async (path) => objects.get(path)?.facts,
    async read(path, range) {
      const kept = objects.get(path);
      if (kept === undefined) return undefined;
      const bytes = range === undefined ? kept.bytes : kept.bytes.subarray(range.start, range.end + 1);
      return { facts: kept.facts, body: once(bytes) };
    },
    async delete(path, condition = {}) {
      const found = objects.get(path);
      if (found === undefined) return false;
      checkCondition(condition, found.facts);
      return objects.delete(path);
    },
    list: async (prefix, { after, limit }) =>
      listed(prefix)
        .filter(({ path }) => after === undefined || path > after)
        .slice(0, limit),
    async deleteAll(prefix) {
      const found = listed(prefix);
      for (const { path } of found) objects.delete(path);
      for (const path of staged.keys()) if (path.startsWith(prefix)) staged.delete(path);
      return found.length;
    },
    async expire(before) {
      for (const [path, blocks] of staged) {
        if ([...blocks.values()].every(({ time }) => time < before)) staged.delete(path);
      }
    },
    async usage(prefix) {
      const device = prefix === '' ? '' : `${prefix.split('/')[0]}/`;
      const whole = listed(device);
      const blocks = [...staged].filter(([path]) => path.startsWith(device)).flatMap(([, each]) => [...each.values()]);
      return {
        bytes: sumOf([...whole, ...blocks.map(({ bytes }) => ({ bytes: bytes.length }))].map((each) => each.bytes)),
        objects: whole.length,
      };
    },
    freeBytes: async () => undefined,
    async check() {},
    async close() {},
  };
}

async function collected(source: ByteSource): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  // The source may use its memory again.
  for await (const piece of source) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, each) => sum + each, 0);
}
