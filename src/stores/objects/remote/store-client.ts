/**
 * HTTP to an object store: connections that are kept, tries again with growing pauses where another try may help, a bound on
 * silence, and bodies that stream in both directions at the pace of the slower side. What it reports never holds a URL's query
 * or a header: there are signatures in them.
 */
import http from 'node:http';
import https from 'node:https';
import type { LookupFunction } from 'node:net';
import tls from 'node:tls';
import type { Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import { type ByteSource, ObjectError } from '../../../core/files/object-store.ts';

export interface StoreRequest {
  readonly method: string;
  /** Encoded as it is to be sent. */
  readonly url: URL;
  /** Asked for each try, because a signature holds the time. `Content-Length` is not among them. */
  headers(): Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  /** Who asks wants to know how it is now. */
  readonly isProbe?: boolean;
  /** How long the store may be silent before it answers this one; default `limits.fileStoreSilenceMs`. */
  readonly silenceMs?: number;
}

export interface RequestBody {
  readonly bytes: number;
  /** Begun for each try. What it throws as an ObjectError ends the request, and is thrown. */
  open(): ByteSource;
}

export const bodyOf = (bytes: Uint8Array): RequestBody => ({
  bytes: bytes.length,
  open: async function* () {
    if (bytes.length > 0) yield bytes;
  },
});

export interface StoreAnswer {
  readonly status: number;
  header(name: string): string | undefined;
}

export interface TextAnswer extends StoreAnswer {
  readonly text: string;
}

export interface StreamAnswer extends StoreAnswer {
  /** Of a success; must be read to its end or returned. */
  readonly body: ByteSource;
  /** Of anything else. */
  readonly text: string;
}

/** What the store has made of a request, for metrics; a request that was tried three times is told three times. */
export type Outcome = 'ok' | 'refused' | 'failed';

export interface StoreClientParts {
  readonly clock: Clock;
  /** Certificate (PEM) that the store's is trusted by, beside those that the runtime trusts. */
  readonly ca: string | undefined;
  /** Finds addresses of hosts that a client has named, and refuses those that are not to be reached. Absent = the system's. */
  readonly lookup?: LookupFunction;
  /** @param seconds until the head of the answer */
  observe(outcome: Outcome, seconds: number): void;
}

/** Statuses after which the same request may succeed (both services' documentation of errors). */
const PASSING = new Set([408, 429, 500, 502, 503, 504]);

export class StoreClient {
  readonly #parts: StoreClientParts;
  #isClosed = false;
  readonly #agents: { readonly http: http.Agent; readonly https: https.Agent };

  constructor(parts: StoreClientParts) {
    this.#parts = parts;
    const options = {
      keepAlive: true,
      maxSockets: limits.fileStoreConnectionsMax,
      scheduling: 'lifo',
      ...(parts.lookup && { lookup: parts.lookup }),
    } as const;
    this.#agents = {
      http: new http.Agent(options),
      https: new https.Agent({ ...options, ...(parts.ca !== undefined && { ca: trusted(parts.ca) }) }),
    };
  }

  /** The answer with its whole text. @throws ObjectError unavailable; and what the body throws */
  async send(request: StoreRequest): Promise<TextAnswer> {
    return this.#tried(request, async (response) => ({ ...answerOf(response), text: await this.#textOf(response) }));
  }

  /** The answer's body as it comes; a break in its midst is thrown as `unavailable`. @throws ObjectError */
  async open(request: StoreRequest): Promise<StreamAnswer> {
    return this.#tried(request, async (response) => {
      const isGood = (response.statusCode ?? 0) < 300;
      const text = isGood ? '' : await this.#textOf(response);
      return { ...answerOf(response), text, body: this.#bodyOf(response) };
    });
  }

  /** Ends what is under way, too; nothing is tried again. */
  close(): void {
    this.#isClosed = true;
    this.#agents.http.destroy();
    this.#agents.https.destroy();
  }

  async #tried<Answer extends StoreAnswer>(
    request: StoreRequest,
    take: (response: http.IncomingMessage) => Promise<Answer>,
  ): Promise<Answer> {
    const triesMax = request.isProbe ? 1 : limits.fileStoreTriesMax;
    for (let nth = 1; ; nth++) {
      const begun = this.#parts.clock.monotonic();
      const observe = (outcome: Outcome): void =>
        this.#parts.observe(outcome, (this.#parts.clock.monotonic() - begun) / 1000);
      try {
        const answer = await take(await this.#once(request));
        if (!PASSING.has(answer.status)) {
          observe(answer.status < 400 ? 'ok' : 'refused');
          return answer;
        }
        throw new ObjectError('unavailable', `the store of files answers with status ${answer.status}`);
      } catch (error) {
        // What the sender of the bytes has done is not the store's fault.
        if (error instanceof ObjectError && error.kind !== 'unavailable') throw error;
        observe('failed');
        if (nth >= triesMax || this.#isClosed) throw unavailable(error);
      }
      const pauseMs = limits.fileStorePauseMs * 4 ** (nth - 1);
      await new Promise<void>((resolve) => this.#parts.clock.after(pauseMs, resolve));
    }
  }

  /** One try, until the head of the answer. */
  async #once({ method, url, headers, body, silenceMs }: StoreRequest): Promise<http.IncomingMessage> {
    const isTls = url.protocol === 'https:';
    const length = body === undefined && method !== 'PUT' && method !== 'POST' ? undefined : (body?.bytes ?? 0);
    const outgoing = (isTls ? https : http).request(url, {
      method,
      agent: isTls ? this.#agents.https : this.#agents.http,
      headers: { ...headers(), ...(length !== undefined && { 'Content-Length': String(length) }) },
    });
    let answered = false;
    const answer = new Promise<http.IncomingMessage>((resolve, reject) => {
      outgoing.once('response', (response) => {
        answered = true;
        resolve(response);
      });
      outgoing.on('error', reject);
    });
    answer.catch(() => {});
    try {
      // An answer before the end is a refusal: the rest is not sent, and the connection is of no more use.
      let isWhole = true;
      for await (const piece of body?.open() ?? []) {
        isWhole = !answered;
        if (!isWhole) break;
        // It is good until the next one is asked for.
        const left = new Promise<void>((resolve) => outgoing.write(piece, () => resolve()));
        await this.#within(Promise.race([left, answer]), outgoing);
      }
      if (isWhole) outgoing.end();
      const response = await this.#within(answer, outgoing, silenceMs);
      if (!isWhole) response.once('close', () => outgoing.destroy());
      return response;
    } catch (error) {
      outgoing.destroy();
      throw error;
    }
  }

  async #textOf(response: http.IncomingMessage): Promise<string> {
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for await (const piece of this.#bodyOf(response)) {
      bytes += piece.length;
      if (bytes > limits.fileStoreAnswerBytesMax) throw new Error('the answer is larger than any it should give');
      pieces.push(piece);
    }
    return Buffer.concat(pieces).toString('utf8');
  }

  async *#bodyOf(response: http.IncomingMessage): AsyncGenerator<Uint8Array> {
    const pieces = response[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await this.#within(pieces.next(), response);
        if (next.done) return;
        yield next.value;
      }
    } catch (error) {
      throw unavailable(error);
    } finally {
      if (!response.complete) response.destroy();
    }
  }

  /** Ends what is silent for too long. */
  async #within<Result>(
    work: Promise<Result>,
    stream: { destroy(error: Error): unknown },
    ms: number = limits.fileStoreSilenceMs,
  ): Promise<Result> {
    const cancel = this.#parts.clock.after(ms, () =>
      stream.destroy(new Error(`it was silent for ${ms / 1000} seconds`)),
    );
    try {
      return await work;
    } finally {
      cancel();
    }
  }
}

function answerOf({ statusCode = 0, headers }: http.IncomingMessage): StoreAnswer {
  return {
    status: statusCode,
    header(name) {
      const value = headers[name.toLowerCase()];
      return typeof value === 'object' ? value[0] : value;
    },
  };
}

function unavailable(error: unknown): ObjectError {
  if (error instanceof ObjectError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  return new ObjectError('unavailable', `the store of files cannot be reached: ${code ?? message}`, error);
}

/** Those of the runtime stay trusted. */
function trusted(ca: string): string[] {
  return [...tls.rootCertificates, ca];
}
