/** Files as the management API and devices by their identity have them: the blob endpoint's headers, the hub's own refusals. */
import type http from 'node:http';
import { HubError } from '../../../core/errors.ts';
import type { Content, ContentFacts } from '../../../core/files/blob.ts';
import { BlobError } from '../../../core/files/blob-error.ts';
import type { ChooseRange, OpenPart } from '../../../core/files/open-part.ts';
import type { ApiAnswer, ApiCall } from '../route.ts';
import {
  conditionOf,
  contentHeaders,
  contentTypeOf,
  isUnchanged,
  isWanted,
  lengthOf,
  rangeOf,
  sumsOf,
} from './blob-headers.ts';
import { streamedBody } from './streamed-body.ts';

/** @throws HubError ArgumentInvalid for a header that is not what it must be */
export function contentOf(
  request: http.IncomingMessage,
  headers: http.IncomingHttpHeaders,
): { readonly content: Content; readonly facts: ContentFacts } {
  return asked(() => {
    const bytes = lengthOf(headers);
    const sums = sumsOf(headers);
    return {
      content: {
        source: streamedBody(request),
        ...(bytes !== undefined && { bytes }),
        ...(sums !== undefined && { sums }),
      },
      facts: {
        contentType: contentTypeOf(headers, true),
        condition: conditionOf(headers),
        ...(sums?.md5 !== undefined && { md5: sums.md5 }),
      },
    };
  });
}

/** @throws HubError InvalidRange, PreconditionFailed, and what `open` throws */
export async function fileAnswer(
  { headers, isHead }: Pick<ApiCall<unknown, unknown>, 'headers' | 'isHead'>,
  open: (choose: ChooseRange) => Promise<OpenPart>,
): Promise<ApiAnswer> {
  let unchanged = false;
  const { facts, body, range } = await open((found) => {
    if (!isWanted(headers, found)) throw new HubError('PreconditionFailed');
    unchanged = isUnchanged(headers, found);
    return unchanged || isHead ? 'none' : asked(() => rangeOf(headers, found));
  });
  const { ETag: _etag, 'x-ms-blob-type': _type, ...rest } = contentHeaders(facts, range);
  if (unchanged) return { status: 304, etag: facts.etag };
  if (isHead) return { status: 200, etag: facts.etag, headers: Object.entries(rest) };
  return { status: range === undefined ? 200 : 206, etag: facts.etag, headers: Object.entries(rest), stream: body };
}

function asked<Result>(read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof BlobError)) throw error;
    throw new HubError(error.code === 'InvalidRange' ? 'InvalidRange' : 'ArgumentInvalid', error.message);
  }
}
