import { type ByteRange, letGo, type ObjectFacts, type ObjectStore, type OpenObject } from './object-store.ts';

/** Which part of a file is wanted, once its facts are known; undefined = all of it, `none` = its facts are enough. */
export type ChooseRange = (facts: ObjectFacts) => ByteRange | 'none' | undefined;

export interface OpenPart extends OpenObject {
  /** Undefined = all of it, or nothing. */
  readonly range: ByteRange | undefined;
}

/** Opens what is wanted of an object; undefined = there is none. @throws ObjectError, and what `choose` throws */
export async function openPart(
  store: Pick<ObjectStore, 'head' | 'read'>,
  path: string,
  choose: ChooseRange,
): Promise<OpenPart | undefined> {
  // An object that is replaced between the two is looked at again: its range may be another.
  for (;;) {
    const facts = await store.head(path);
    const range = facts && choose(facts);
    if (facts === undefined) return undefined;
    if (range === 'none') return { facts, body: nothing(), range: undefined };
    const opened = await store.read(path, range);
    if (opened === undefined) return undefined;
    if (opened.facts.etag === facts.etag) return { ...opened, range };
    await letGo(opened.body);
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
