/** The body of Put Block List: which blocks make the file, in order (files reference 2.1, 2.2). */
import { limits } from '../../../base/limits.ts';
import { BlobError } from '../../../core/files/blob-error.ts';

/** One element; its name says where the block is looked for, and here all are of those not committed yet. */
const ELEMENT = /\s*<(Latest|Uncommitted|Committed)>\s*([A-Za-z0-9+/=]{1,128})\s*<\/\1>/y;
/** Blanks stand in one place each: two runs of them next to each other would be tried in every way of cutting them. */
const HEAD = /^\uFEFF?\s*(?:<\?xml[^>]{0,200}\?>\s*)?<BlockList\s*(\/?)>/;
const TAIL = /\s*<\/BlockList>\s*$/y;

/**
 * The ids in order, as they were sent.
 * @throws BlobError InvalidXmlDocument, BlockCountExceedsLimit, InvalidBlockList (a block of the file as it is now is named:
 *   its blocks are not kept apart)
 */
export function readBlockList(xml: string): readonly string[] {
  const head = HEAD.exec(xml);
  if (head === null) throw new BlobError('InvalidXmlDocument');
  const ids: string[] = [];
  if (head[1] === '/') return ids;
  ELEMENT.lastIndex = head[0].length;
  for (;;) {
    const at = ELEMENT.lastIndex;
    const element = ELEMENT.exec(xml);
    if (element === null) {
      TAIL.lastIndex = at;
      if (!TAIL.test(xml)) throw new BlobError('InvalidXmlDocument');
      return ids;
    }
    if (element[1] === 'Committed') throw new BlobError('InvalidBlockList');
    ids.push(element[2]);
    if (ids.length > limits.fileBlocksMax) throw new BlobError('BlockCountExceedsLimit');
  }
}

/** @throws BlobError InvalidQueryParameterValue: not base64 of 1 to 64 bytes */
export function checkBlockId(id: string | null): string {
  const isBase64 = id !== null && /^[A-Za-z0-9+/]{1,88}={0,2}$/.test(id) && id.length % 4 === 0;
  const bytes = isBase64 ? Buffer.from(id, 'base64').length : 0;
  if (!isBase64 || bytes < 1 || bytes > limits.fileBlockIdBytesMax) throw new BlobError('InvalidQueryParameterValue');
  return id;
}
