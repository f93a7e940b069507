/** The requests of the blob service that the store needs, each as one call (documentation of the service: "Blob service REST API"). */
import { limits } from '../../../base/limits.ts';
import {
  type ByteRange,
  type Condition,
  type ListedObject,
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

/** The newest version whose answers this reads. */
const VERSION = '2021-12-02';

export interface BlobServiceParts {
  /** Of the blob service, without a slash at the end. */
  readonly endpoint: string;
  readonly container: string;
  /** Headers that prove who asks; none where `query` does. */
  sign(method: string, url: URL, headers: Readonly<Record<string, string>>, bytes: number): Record<string, string>;
  /** A signature that goes with each address; absent = none. */
  readonly query?: URLSearchParams;
  readonly client: StoreClient;
  /** UTC milliseconds. */
  now(): number;
}

/** What an object is stored with. */
export interface BlobOptions {
  readonly contentType: string;
  readonly condition: Condition;
  readonly md5?: string;
}

export interface UncommittedBlock {
  readonly id: string;
  readonly bytes: number;
}

interface Call {
  readonly method: string;
  /** Of the blob; undefined = the container itself. */
  readonly path?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  readonly isProbe?: boolean;
}

/** Every call throws ObjectError only, and whatever a body throws. */
export class BlobService {
  readonly #parts: BlobServiceParts;

  constructor(parts: BlobServiceParts) {
    this.#parts = parts;
  }

  /** Makes the container where there is none. */
  async demandContainer(): Promise<void> {
    const found = await this.#send({ method: 'GET', query: { restype: 'container' } });
    if (found.status === 200) return;
    if (found.status !== 404) throw refused(found);
    const made = await this.#send({ method: 'PUT', query: { restype: 'container' } });
    if (made.status !== 201 && made.status !== 409) throw refused(made);
  }

  async check(): Promise<void> {
    const found = await this.#send({ method: 'GET', query: { restype: 'container' }, isProbe: true });
    if (found.status === 404) throw new ObjectError('denied', `there is no container ${this.#parts.container}`);
    if (found.status !== 200) throw refused(found);
  }

  async putBlob(path: string, body: RequestBody, options: BlobOptions): Promise<ObjectFacts> {
    const headers = { 'x-ms-blob-type': 'BlockBlob', ...optionHeaders(options) };
    const answer = await this.#send({ method: 'PUT', path, headers, body });
    // Of what came in one piece the service keeps a sum of its own.
    const md5 = options.md5 ?? answer.header('content-md5');
    return stored(answer, body.bytes, { ...options, ...(md5 !== undefined && { md5 }) });
  }

  async putBlock(path: string, id: string, body: RequestBody): Promise<void> {
    const answer = await this.#send({ method: 'PUT', path, query: { comp: 'block', blockid: id }, body });
    if (answer.status !== 201) throw refused(answer);
  }

  /** @param bytes of all the blocks that are named */
  async putBlockList(path: string, ids: readonly string[], bytes: number, options: BlobOptions): Promise<ObjectFacts> {
    const blocks = ids.map((id) => `<Uncommitted>${encoded(id)}</Uncommitted>`).join('');
    const xml = `<?xml version="1.0" encoding="utf-8"?><BlockList>${blocks}</BlockList>`;
    const headers = { 'Content-Type': 'application/xml', ...optionHeaders(options) };
    const body = bodyOf(Buffer.from(xml));
    return stored(
      await this.#send({ method: 'PUT', path, query: { comp: 'blocklist' }, headers, body }),
      bytes,
      options,
    );
  }

  async uncommitted(path: string): Promise<readonly UncommittedBlock[]> {
    const query = { comp: 'blocklist', blocklisttype: 'uncommitted' };
    const answer = await this.#send({ method: 'GET', path, query });
    if (answer.status === 404) return [];
    if (answer.status !== 200) throw refused(answer);
    const [list = ''] = elements(answer.text, 'UncommittedBlocks');
    return elements(list, 'Block').map((block) => ({
      id: textIn(block, 'Name') ?? '',
      bytes: Number(textIn(block, 'Size') ?? 0),
    }));
  }

  async head(path: string): Promise<ObjectFacts | undefined> {
    const answer = await this.#send({ method: 'HEAD', path });
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw refused(answer);
    return factsOf(answer, Number(answer.header('content-length')));
  }

  async read(path: string, range: ByteRange | undefined): Promise<OpenObject | undefined> {
    const headers: Readonly<Record<string, string>> =
      range === undefined ? {} : { 'x-ms-range': `bytes=${range.start}-${range.end}` };
    const answer = await this.#parts.client.open(this.#request({ method: 'GET', path, headers }));
    if (answer.status === 404) return undefined;
    if (answer.status !== 200 && answer.status !== 206) throw refused(answer);
    const whole = /\/(\d+)$/.exec(answer.header('content-range') ?? '')?.[1] ?? answer.header('content-length');
    return { facts: factsOf(answer, Number(whole)), body: answer.body };
  }

  async delete(path: string): Promise<boolean> {
    const answer = await this.#send({ method: 'DELETE', path });
    if (answer.status === 404) return false;
    if (answer.status !== 202) throw refused(answer);
    return true;
  }

  /** One page, in order; `next` leads to the one behind it. */
  async list(
    prefix: string,
    marker: string | undefined,
    limit: number,
  ): Promise<{ readonly objects: readonly ListedObject[]; readonly next: string | undefined }> {
    const query = {
      ...{ restype: 'container', comp: 'list', prefix, maxresults: String(Math.min(limit, limits.fileStorePageMax)) },
      ...(marker !== undefined && { marker }),
    };
    const answer = await this.#send({ method: 'GET', query });
    if (answer.status !== 200) throw refused(answer);
    const objects = elements(answer.text, 'Blob').map((blob): ListedObject => {
      const md5 = textIn(blob, 'Content-MD5');
      return {
        path: textIn(blob, 'Name') ?? '',
        bytes: Number(textIn(blob, 'Content-Length') ?? 0),
        etag: unquoted(textIn(blob, 'Etag')),
        lastModified: Date.parse(textIn(blob, 'Last-Modified') ?? ''),
        contentType: textIn(blob, 'Content-Type') ?? '',
        ...(md5 !== undefined && md5 !== '' && { md5 }),
      };
    });
    return { objects, next: textIn(answer.text, 'NextMarker') || undefined };
  }

  #send(call: Call): Promise<TextAnswer> {
    return this.#parts.client.send(this.#request(call));
  }

  #request({ method, path, query = {}, headers = {}, body, isProbe = false }: Call): StoreRequest {
    const { endpoint, container, query: signature, now } = this.#parts;
    const encodedPath = path === undefined ? '' : `/${path.split('/').map(encodeURIComponent).join('/')}`;
    const url = new URL(`${endpoint}/${container}${encodedPath}`);
    for (const [name, value] of signature ?? []) url.searchParams.set(name, value);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    return {
      method,
      url,
      isProbe,
      ...(body !== undefined && { body }),
      headers: () => {
        const sent = { 'x-ms-version': VERSION, 'x-ms-date': new Date(now()).toUTCString(), ...headers };
        return { ...sent, ...this.#parts.sign(method, url, sent, body?.bytes ?? 0) };
      },
    };
  }
}

function optionHeaders({ contentType, condition: { ifMatch, ifNoneMatch }, md5 }: BlobOptions) {
  return {
    'x-ms-blob-content-type': contentType || 'application/octet-stream',
    ...(md5 !== undefined && { 'x-ms-blob-content-md5': md5 }),
    ...(ifMatch !== undefined && { 'If-Match': quoted(ifMatch) }),
    ...(ifNoneMatch !== undefined && { 'If-None-Match': quoted(ifNoneMatch) }),
  };
}

const quoted = (etag: string): string => (etag === '*' ? etag : `"${etag.replaceAll('"', '')}"`);
const unquoted = (etag: string | undefined): string => (etag ?? '').replaceAll('"', '');

function stored(answer: TextAnswer, bytes: number, { contentType, md5, condition }: BlobOptions): ObjectFacts {
  if (answer.status !== 201) throw refused(answer, condition);
  const etag = unquoted(answer.header('etag'));
  const lastModified = Date.parse(answer.header('last-modified') ?? '');
  return { bytes, etag, lastModified, contentType, ...(md5 !== undefined && { md5 }) };
}

function factsOf(answer: StoreAnswer, bytes: number): ObjectFacts {
  // Of a part the sum of the whole has another header.
  const md5 = answer.header('x-ms-blob-content-md5') ?? answer.header('content-md5');
  return {
    bytes,
    etag: unquoted(answer.header('etag')),
    lastModified: Date.parse(answer.header('last-modified') ?? ''),
    contentType: answer.header('content-type') ?? '',
    ...(md5 !== undefined && { md5 }),
  };
}

/** What a refusal of the service means. Its text may repeat what was signed, and is not told. */
function refused(answer: StoreAnswer & { readonly text?: string }, condition?: Condition): ObjectError {
  const code = answer.header('x-ms-error-code') ?? textIn(answer.text ?? '', 'Code') ?? '';
  const told = `the storage account answers with status ${answer.status} ${code.slice(0, 100)}`;
  const isNew = condition?.ifNoneMatch === '*';
  if (code === 'BlobAlreadyExists') return new ObjectError('exists', told);
  if (answer.status === 412 || answer.status === 304) return new ObjectError(isNew ? 'exists' : 'condition', told);
  if (code === 'InvalidBlockList') return new ObjectError('unknownBlock', told);
  if (code === 'InvalidBlobOrBlock') return new ObjectError('blockId', told);
  if (answer.status === 413) return new ObjectError('tooLarge', told);
  if (answer.status === 401 || answer.status === 403) return new ObjectError('denied', told);
  return new ObjectError('unavailable', told);
}
