/** The requests of S3 that the store needs, each as one call (documentation of S3: "API Reference"). */
import { limits } from '../../../base/limits.ts';
import {
  type ByteRange,
  type Condition,
  ObjectError,
  type ObjectFacts,
  type OpenObject,
} from '../../../core/files/object-store.ts';
import {
  bodyOf,
  type RequestBody,
  type StoreAnswer,
  type StoreClient,
  type StoreRequest,
  type TextAnswer,
} from '../remote/store-client.ts';
import { elements, encoded, textIn } from '../remote/xml.ts';
import { refusal } from './refusal.ts';
import { encodedPath, encodedQuery, type S3Key, signed } from './signature.ts';

export interface S3Bucket {
  /** Without a path. */
  readonly endpoint: URL;
  readonly name: string;
  readonly key: S3Key;
  /** The bucket stands in the path; else in the host's name. */
  readonly isPathStyle: boolean;
}

export interface S3ServiceParts {
  readonly bucket: S3Bucket;
  readonly client: StoreClient;
  /** UTC milliseconds. */
  now(): number;
}

/** What an object is stored with. */
export interface S3Options {
  readonly contentType: string;
  readonly condition: Condition;
  readonly md5?: string;
  /** Tells this object from any other that was ever stored under its name. */
  readonly mark: string;
}

export interface S3Facts extends ObjectFacts {
  readonly mark: string | undefined;
}

export interface S3Listed {
  readonly path: string;
  readonly bytes: number;
}

export interface S3Upload {
  readonly path: string;
  readonly id: string;
  /** UTC milliseconds. */
  readonly initiated: number;
}

interface Call {
  readonly method: string;
  /** Of the object; undefined = the bucket itself. */
  readonly path?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  readonly isProbe?: boolean;
  readonly silenceMs?: number;
}

const TYPE = 'application/octet-stream';

/** Every call throws ObjectError only, and whatever a body throws. */
export class S3Service {
  readonly #parts: S3ServiceParts;

  constructor(parts: S3ServiceParts) {
    this.#parts = parts;
  }

  async check(): Promise<void> {
    // A list, for that needs the key, and tells what is wrong in words, which a HEAD does not.
    await this.#good({ method: 'GET', query: { 'list-type': '2', 'max-keys': '1' }, isProbe: true });
  }

  async putObject(path: string, body: RequestBody, options: S3Options): Promise<void> {
    const headers = { ...storedHeaders(options), ...conditionHeaders(options.condition) };
    await this.#good({ method: 'PUT', path, headers, body }, options.condition);
  }

  /** @returns the upload's id */
  async beginParts(path: string, options: S3Options): Promise<string> {
    const answer = await this.#good({ method: 'POST', path, query: { uploads: '' }, headers: storedHeaders(options) });
    const id = textIn(answer.text, 'UploadId');
    if (id === undefined || id === '') throw new ObjectError('unavailable', 'the store has named no upload');
    return id;
  }

  /** @param nth from 1 on @returns its ETag, as the store wrote it */
  async putPart(path: string, uploadId: string, nth: number, body: RequestBody): Promise<string> {
    const query = { uploadId, partNumber: String(nth) };
    return (await this.#good({ method: 'PUT', path, query, body })).header('etag') ?? '';
  }

  async completeParts(path: string, uploadId: string, etags: readonly string[], condition: Condition): Promise<void> {
    const parts = etags.map(
      (etag, nth) => `<Part><PartNumber>${nth + 1}</PartNumber><ETag>${encoded(etag)}</ETag></Part>`,
    );
    const body = bodyOf(Buffer.from(`<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`));
    const headers = { 'Content-Type': 'application/xml', ...conditionHeaders(condition) };
    const call = { method: 'POST', path, query: { uploadId }, headers, body };
    const answer = await this.#good({ ...call, silenceMs: limits.fileStoreJoinMs }, condition);
    // A long work begins its answer with 200 before it knows its end.
    if (elements(answer.text, 'Error').length > 0) throw refusal(answer, condition);
  }

  async abortParts(path: string, uploadId: string): Promise<void> {
    const answer = await this.#send({ method: 'DELETE', path, query: { uploadId } });
    if (answer.status !== 404 && answer.status >= 300) throw refusal(answer);
  }

  /** Uploads in parts that are neither completed nor aborted; `next` leads to the page behind it. */
  async uploads(
    after: { readonly key: string; readonly id: string } | undefined,
  ): Promise<{ readonly uploads: readonly S3Upload[]; readonly next: { key: string; id: string } | undefined }> {
    const query = {
      ...{ uploads: '', 'max-uploads': String(limits.fileStorePageMax) },
      ...(after !== undefined && { 'key-marker': after.key, 'upload-id-marker': after.id }),
    };
    const { text } = await this.#good({ method: 'GET', query });
    const uploads = elements(text, 'Upload').map((upload) => ({
      path: textIn(upload, 'Key') ?? '',
      id: textIn(upload, 'UploadId') ?? '',
      initiated: Date.parse(textIn(upload, 'Initiated') ?? ''),
    }));
    const key = textIn(text, 'NextKeyMarker');
    const isMore = textIn(text, 'IsTruncated') === 'true' && key !== undefined && key !== '';
    return { uploads, next: isMore ? { key, id: textIn(text, 'NextUploadIdMarker') ?? '' } : undefined };
  }

  async head(path: string): Promise<S3Facts | undefined> {
    const answer = await this.#send({ method: 'HEAD', path });
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw refusal(answer);
    return factsOf(answer, Number(answer.header('content-length')));
  }

  async read(path: string, range: ByteRange | undefined): Promise<OpenObject | undefined> {
    const headers: Readonly<Record<string, string>> =
      range === undefined ? {} : { Range: `bytes=${range.start}-${range.end}` };
    const answer = await this.#parts.client.open(this.#request({ method: 'GET', path, headers }));
    if (answer.status === 404 && textIn(answer.text, 'Code') !== 'NoSuchBucket') return undefined;
    if (answer.status !== 200 && answer.status !== 206) throw refusal(answer);
    const whole = /\/(\d+)$/.exec(answer.header('content-range') ?? '')?.[1] ?? answer.header('content-length');
    const { mark: _, ...facts } = factsOf(answer, Number(whole));
    return { facts, body: answer.body };
  }

  async delete(path: string): Promise<void> {
    const answer = await this.#send({ method: 'DELETE', path });
    if (answer.status !== 404 && answer.status >= 300) throw refusal(answer);
  }

  /** One page in the order of the paths' bytes in UTF-8. */
  async list(
    prefix: string,
    after: string | undefined,
    limit: number,
  ): Promise<{ readonly objects: readonly S3Listed[]; readonly isLast: boolean }> {
    const query = {
      ...{ 'list-type': '2', prefix, 'encoding-type': 'url' },
      'max-keys': String(Math.min(limit, limits.fileStorePageMax)),
      ...(after !== undefined && { 'start-after': after }),
    };
    const { text } = await this.#good({ method: 'GET', query });
    const isEncoded = textIn(text, 'EncodingType') === 'url';
    const objects = elements(text, 'Contents').map((object) => {
      const key = textIn(object, 'Key') ?? '';
      const path = isEncoded ? decodeURIComponent(key.replaceAll('+', ' ')) : key;
      return { path, bytes: Number(textIn(object, 'Size') ?? 0) };
    });
    return { objects, isLast: textIn(text, 'IsTruncated') !== 'true' || objects.length === 0 };
  }

  #send(call: Call): Promise<TextAnswer> {
    return this.#parts.client.send(this.#request(call));
  }

  /** @throws ObjectError for any answer but a success */
  async #good(call: Call, condition?: Condition): Promise<TextAnswer> {
    const answer = await this.#send(call);
    if (answer.status >= 300) throw refusal(answer, condition);
    return answer;
  }

  #request({ method, path, query = {}, headers = {}, body, isProbe, silenceMs }: Call): StoreRequest {
    const { bucket, now } = this.#parts;
    const { protocol, host } = bucket.endpoint;
    const base = bucket.isPathStyle ? `${protocol}//${host}/${bucket.name}` : `${protocol}//${bucket.name}.${host}`;
    const url = new URL(`${base}/${path === undefined ? '' : encodedPath(path)}${encodedQuery(query)}`);
    return {
      ...{ method, url },
      ...(body !== undefined && { body }),
      ...(isProbe !== undefined && { isProbe }),
      ...(silenceMs !== undefined && { silenceMs }),
      headers: () => signed(bucket.key, { method, url, headers, now: now() }),
    };
  }
}

function storedHeaders({ contentType, md5, mark }: S3Options): Readonly<Record<string, string>> {
  return {
    'Content-Type': contentType || TYPE,
    'x-amz-meta-mooring': mark,
    ...(md5 !== undefined && { 'x-amz-meta-md5': md5 }),
  };
}

function conditionHeaders({ ifMatch, ifNoneMatch }: Condition): Readonly<Record<string, string>> {
  return {
    ...(ifMatch !== undefined && ifMatch !== '*' && { 'If-Match': `"${ifMatch.replaceAll('"', '')}"` }),
    // That something is there, or that it is not this very one, S3 cannot be asked while it stores: the store looks before.
    ...(ifNoneMatch === '*' && { 'If-None-Match': '*' }),
  };
}

function factsOf(answer: StoreAnswer, bytes: number): S3Facts {
  const md5 = answer.header('x-amz-meta-md5');
  return {
    bytes,
    etag: (answer.header('etag') ?? '').replaceAll('"', ''),
    lastModified: Date.parse(answer.header('last-modified') ?? ''),
    contentType: answer.header('content-type') ?? TYPE,
    mark: answer.header('x-amz-meta-mooring'),
    ...(md5 !== undefined && { md5 }),
  };
}
