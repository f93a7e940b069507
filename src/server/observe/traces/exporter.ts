/**
 * Hands spans to a collector, in batches, one request at a time. The hub never waits for it: what is added while too much
 * waits is dropped and counted. A batch that the collector cannot take now (no answer, 429, 502, 503, 504: OTLP's list) is
 * tried again a few times; one that it does not want is dropped at once. The log hears once when it begins and once when
 * it is over.
 */
import type { Cancel, Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import type { Log } from '../../../base/log.ts';
import type { Span } from '../../../core/monitoring/spans.ts';
import { type Resource, traceRequest } from './otlp.ts';

/** Why spans were not handed over. */
export const dropReasons = ['queue-full', 'not-taken', 'rejected', 'stopped', 'not-made'] as const;
export type DropReason = (typeof dropReasons)[number];

export interface SpanExporterParts {
  /** As the setting has it, without `/v1/traces`. */
  readonly endpoint: string;
  /** Secret: they may hold a token. */
  readonly headers: Readonly<Record<string, string>>;
  readonly resource: Resource;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** What the collector said to one request. `later`: worth another try, after that time if it named one. */
type Outcome =
  | { readonly kind: 'taken'; readonly rejected: number; readonly message: string }
  | { readonly kind: 'later' | 'refused'; readonly reason: string; readonly afterMs?: number };

const retried: ReadonlySet<number> = new Set([429, 502, 503, 504]);

export class SpanExporter {
  readonly #parts: SpanExporterParts;
  readonly #url: string;
  #waiting: Span[] = [];
  /** Spans of the batch that is being sent. */
  #sending = 0;
  #exported = 0;
  readonly #dropped = new Map<DropReason, number>(dropReasons.map((reason) => [reason, 0]));
  #problem: string | undefined;
  #cancelSend: Cancel | undefined;
  #run: Promise<void> | undefined;
  #isStopping = false;
  /** Ends the wait before another try. */
  #hurry: () => void = () => {};
  readonly #abort = new AbortController();

  constructor(parts: SpanExporterParts) {
    this.#parts = parts;
    this.#url = `${parts.endpoint.replace(/\/+$/, '')}/v1/traces`;
  }

  /** Synchronous, never throws. */
  add(span: Span): void {
    if (this.#isStopping) this.#drop('stopped', 1);
    else if (this.#waiting.length >= limits.spansPendingMax) this.#drop('queue-full', 1);
    else {
      this.#waiting.push(span);
      this.#plan();
    }
  }

  /** Something that should have become spans and did not. */
  notMade(): void {
    this.#drop('not-made', 1);
  }

  stats(): { readonly exported: number; readonly pending: number; readonly dropped: ReadonlyMap<DropReason, number> } {
    return { exported: this.#exported, pending: this.#waiting.length + this.#sending, dropped: this.#dropped };
  }

  /** Whether the collector takes spans, as of the last request. */
  health(): { readonly ok: true } | { readonly ok: false; readonly reason: string } {
    return this.#problem === undefined ? { ok: true } : { ok: false, reason: this.#problem };
  }

  /** Sends what waits, as far as `limits.collectorStopMs` allow; the rest is dropped and told. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#cancelSend?.();
    this.#hurry();
    const late = this.#parts.clock.after(limits.collectorStopMs, () => this.#abort.abort());
    await this.#run;
    await this.#sendAll();
    late();
    const left = this.#dropped.get('stopped') ?? 0;
    if (left > 0) this.#parts.log.warn({ endpoint: this.#parts.endpoint, spans: left }, 'traces were not exported');
  }

  #drop(reason: DropReason, count: number): void {
    this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + count);
  }

  /** A full batch goes at once, others wait for more. */
  #plan(): void {
    if (this.#run !== undefined || this.#isStopping) return;
    if (this.#waiting.length >= limits.spansPerRequestMax) this.#start();
    else this.#cancelSend ??= this.#parts.clock.after(limits.spansWaitMs, () => this.#start());
  }

  #start(): void {
    this.#cancelSend?.();
    this.#cancelSend = undefined;
    this.#run = this.#sendAll().finally(() => {
      this.#run = undefined;
      if (this.#waiting.length > 0) this.#plan();
    });
  }

  async #sendAll(): Promise<void> {
    do {
      const batch = this.#waiting.splice(0, limits.spansPerRequestMax);
      if (batch.length === 0) return;
      this.#sending = batch.length;
      await this.#send(batch);
      this.#sending = 0;
    } while (this.#isStopping || this.#waiting.length >= limits.spansPerRequestMax);
  }

  /** Until it is taken or given up. Never throws. */
  async #send(batch: readonly Span[]): Promise<void> {
    const { resource, version } = this.#parts;
    const body = traceRequest(batch, resource, version);
    for (let attempt = 1; ; attempt++) {
      if (this.#abort.signal.aborted) return this.#drop('stopped', batch.length);
      const outcome = await this.#post(body);
      if (outcome.kind === 'taken') {
        const rejected = Math.min(outcome.rejected, batch.length);
        this.#exported += batch.length - rejected;
        this.#drop('rejected', rejected);
        return this.#tell(rejected > 0 ? `it rejects spans: ${outcome.message}` : undefined);
      }
      this.#tell(outcome.reason);
      if (outcome.kind === 'refused') return this.#drop('not-taken', batch.length);
      if (this.#isStopping) return this.#drop('stopped', batch.length);
      if (attempt === limits.collectorAttemptsMax) return this.#drop('not-taken', batch.length);
      const waitMs = limits.collectorRetryMsMin * 2 ** (attempt - 1);
      await this.#wait(Math.min(Math.max(waitMs, outcome.afterMs ?? 0), limits.collectorRetryMsMax));
    }
  }

  async #wait(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.#parts.clock.after(ms, resolve);
      this.#hurry = () => {
        cancel();
        resolve();
      };
    });
    this.#hurry = () => {};
  }

  async #post(body: string): Promise<Outcome> {
    const late = new AbortController();
    const cancel = this.#parts.clock.after(limits.collectorAnswerMs, () => late.abort());
    try {
      const answer = await fetch(this.#url, {
        method: 'POST',
        headers: { ...this.#parts.headers, 'content-type': 'application/json' },
        body,
        // The headers are for this collector and for no other.
        redirect: 'manual',
        signal: AbortSignal.any([late.signal, this.#abort.signal]),
      });
      const text = await beginningOf(answer);
      if (answer.ok) return { kind: 'taken', ...rejectedIn(text) };
      return {
        kind: retried.has(answer.status) ? 'later' : 'refused',
        reason: `it answers ${answer.status}`,
        afterMs: retryAfterMs(answer.headers.get('retry-after')),
      };
    } catch (error) {
      if (late.signal.aborted) {
        return { kind: 'later', reason: `it has not answered within ${limits.collectorAnswerMs / 1000} s` };
      }
      return { kind: 'later', reason: causeOf(error) };
    } finally {
      cancel();
    }
  }

  #tell(problem: string | undefined): void {
    const { log, endpoint } = this.#parts;
    if (problem !== undefined && this.#problem === undefined) {
      log.warn({ endpoint, reason: problem }, 'the collector does not take traces; further ones may be dropped');
    } else if (problem === undefined && this.#problem !== undefined) {
      log.info({ endpoint }, 'the collector takes traces again');
    }
    this.#problem = problem;
  }
}

/** As much of the answer as is read, whatever comes. */
async function beginningOf(answer: Response): Promise<string> {
  const reader = answer.body?.getReader();
  if (reader === undefined) return '';
  const parts: Uint8Array[] = [];
  let bytes = 0;
  while (bytes < limits.collectorAnswerBytesMax) {
    const { done, value } = await reader.read();
    if (done) return Buffer.concat(parts).toString();
    parts.push(value);
    bytes += value.byteLength;
  }
  await reader.cancel();
  return '';
}

/** `partialSuccess` of an ExportTraceServiceResponse; anything else says nothing. */
function rejectedIn(text: string): { readonly rejected: number; readonly message: string } {
  try {
    const { partialSuccess } = JSON.parse(text);
    const rejected = Number(partialSuccess?.rejectedSpans ?? 0);
    const message = String(partialSuccess?.errorMessage ?? '').slice(0, limits.monitoringTextCharsMax);
    if (Number.isSafeInteger(rejected) && rejected > 0) return { rejected, message };
  } catch {
    // The status has said that it was taken.
  }
  return { rejected: 0, message: '' };
}

function retryAfterMs(header: string | null): number | undefined {
  return header !== null && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : undefined;
}

/** `fetch failed` says nothing; its cause does. Neither holds the headers. */
function causeOf(error: unknown): string {
  const { cause, message } = error as {
    readonly cause?: { readonly code?: string; message?: string };
    message?: string;
  };
  return cause?.code ?? cause?.message ?? message ?? String(error);
}
