/**
 * Batches of events to one webhook. It takes part in the handshake of its form first: CloudEvents' abuse protection (`OPTIONS` with
 * `WebHook-Request-Origin`), Event Grid's validation event. Only a receiver that has agreed gets events, since whoever may declare an
 * endpoint could otherwise aim the hub at a stranger.
 */
import { randomUUID } from 'node:crypto';
import { limits } from '../../base/limits.ts';
import type { Delivered } from '../../core/routes/ports.ts';
import type { EventView } from '../event-view.ts';
import { type WebhookAnswer, WebhookCaller } from './caller.ts';
import { contentTypes, type EventForm, eventText } from './cloud-events.ts';
import { signedHeaders } from './signature.ts';

export interface WebhookOptions {
  readonly url: URL;
  readonly form: EventForm;
  readonly hub: string;
  /** The name by which the hub asks for consent: its host. */
  readonly origin: string;
  readonly mayBePrivate: boolean;
  readonly ca?: string;
  readonly bearer?: string;
  readonly signingKey?: Uint8Array;
  /** Events in one request. */
  readonly eventsMax: number;
  /** UTC milliseconds. */
  now(): number;
}

/** Answers that concern what was sent, not the receiver: a batch is divided until the event is found. */
const ofContent = new Set([400, 413, 415, 422]);

export class WebhookDeliverer {
  readonly #options: WebhookOptions;
  readonly #caller: WebhookCaller;
  #hasConsent = false;

  constructor(options: WebhookOptions) {
    this.#options = options;
    this.#caller = new WebhookCaller(options);
  }

  /**
   * Never rejects. @param events in the order of the log @param signal ends it behind the request that is under way: of a slow receiver
   * a batch of many requests would hold up what waits for the end
   */
  async deliver(events: readonly EventView[], signal?: AbortSignal): Promise<Delivered> {
    const { form, hub, eventsMax } = this.#options;
    let taken = 0;
    try {
      const missing = this.#hasConsent ? undefined : await this.#askConsent();
      if (missing !== undefined) return missing;
      const texts = events.map((event) => eventText(form, event, hub));
      let count = runWithin(texts, 0, eventsMax);
      while (taken < texts.length) {
        if (signal?.aborted && taken > 0) return { kind: 'done', count: taken };
        const answer = await this.#post(texts.slice(taken, taken + count));
        if (isTaken(answer.status)) {
          taken += count;
          count = runWithin(texts, taken, eventsMax);
        } else if (ofContent.has(answer.status) && count > 1) {
          count = Math.ceil(count / 2);
        } else {
          return taken > 0 ? { kind: 'done', count: taken } : this.#notTaken(answer);
        }
      }
      return { kind: 'done' };
    } catch (error) {
      return taken > 0 ? { kind: 'done', count: taken } : { kind: 'retry', reason: (error as Error).message };
    }
  }

  close(): void {
    this.#caller.close();
  }

  /** What an answer means for the first event of a batch. */
  #notTaken(answer: WebhookAnswer): Delivered {
    const { status } = answer;
    if (ofContent.has(status)) return { kind: 'refused', reason: said(answer), count: 1 };
    // Asked again before the next events: it may have been exchanged for another receiver.
    if (status === 401 || status === 403 || status === 404) this.#hasConsent = false;
    // Gone, by CloudEvents' rule: no more calls. Looked at once in a long while, in case it is an operator's mistake.
    const afterMs =
      status === 410 ? limits.webhookRetryAfterMsMax : retryAfterMs(answer.header('retry-after'), this.#options.now());
    return { kind: 'retry', reason: said(answer), ...(afterMs !== undefined && { afterMs }) };
  }

  /** A refusal of the handshake concerns no event. */
  #notConsent(answer: WebhookAnswer): Delivered {
    const outcome = this.#notTaken(answer);
    const { form } = this.#options;
    const reason = `${said(answer)} when it was asked whether it agrees to receive events: ${consentHints[form]}`;
    return outcome.kind === 'retry' ? { ...outcome, reason } : { kind: 'retry', reason };
  }

  #post(texts: readonly string[]): Promise<WebhookAnswer> {
    const { form, origin, signingKey, now } = this.#options;
    const body = Buffer.from(`[${texts.join(',')}]`);
    return this.#caller.call(
      'POST',
      {
        'content-type': contentTypes[form],
        ...this.#credentials(),
        ...(form === 'cloudEvents' ? { 'webhook-request-origin': origin } : { 'aeg-event-type': 'Notification' }),
        ...(signingKey !== undefined && signedHeaders(signingKey, randomUUID(), Math.floor(now() / 1000), body)),
      },
      body,
    );
  }

  #credentials(): Record<string, string> {
    const { bearer } = this.#options;
    return bearer === undefined ? {} : { authorization: `Bearer ${bearer}` };
  }

  /** @returns undefined once the receiver agrees, or what to do instead of sending */
  async #askConsent(): Promise<Delivered | undefined> {
    const answer = this.#options.form === 'cloudEvents' ? await this.#askCloudEvents() : await this.#askEventGrid();
    if (typeof answer !== 'boolean') {
      if (!isTaken(answer.status)) return this.#notConsent(answer);
      const { url, form } = this.#options;
      return { kind: 'retry', reason: `${url.host} has not agreed to receive events: ${consentHints[form]}` };
    }
    this.#hasConsent = true;
    return undefined;
  }

  /** CloudEvents, HTTP 1.1 Web Hooks for Event Delivery, 1.0.2, chapter 4. */
  async #askCloudEvents(): Promise<true | WebhookAnswer> {
    const { origin } = this.#options;
    const answer = await this.#caller.call('OPTIONS', { 'webhook-request-origin': origin, ...this.#credentials() });
    const allowed = answer.header('webhook-allowed-origin')?.trim();
    return isTaken(answer.status) && (allowed === '*' || allowed?.toLowerCase() === origin.toLowerCase())
      ? true
      : answer;
  }

  /** Event Grid's synchronous handshake: the receiver gives back the code that it was sent. */
  async #askEventGrid(): Promise<true | WebhookAnswer> {
    const { hub, now, signingKey } = this.#options;
    const validationCode = randomUUID();
    const event = {
      ...{ id: randomUUID(), topic: `/hubs/${encodeURIComponent(hub)}`, subject: '' },
      ...{ eventType: 'Microsoft.EventGrid.SubscriptionValidationEvent', eventTime: new Date(now()).toISOString() },
      ...{ data: { validationCode }, dataVersion: '1', metadataVersion: '1' },
    };
    const body = Buffer.from(JSON.stringify([event]));
    const answer = await this.#caller.call(
      'POST',
      {
        ...{ 'content-type': contentTypes.eventGrid, 'aeg-event-type': 'SubscriptionValidation' },
        ...this.#credentials(),
        ...(signingKey !== undefined && signedHeaders(signingKey, event.id, Math.floor(now() / 1000), body)),
      },
      body,
    );
    return isTaken(answer.status) && validationResponse(answer.text) === validationCode ? true : answer;
  }
}

const consentHints: Readonly<Record<EventForm, string>> = {
  cloudEvents: "it must answer OPTIONS with the header WebHook-Allowed-Origin: the hub's name, or *",
  eventGrid: 'it must answer the validation event with {"validationResponse": its data.validationCode}',
};

const isTaken = (status: number): boolean => status >= 200 && status < 300;

function said({ status, text }: WebhookAnswer): string {
  if (status >= 300 && status < 400) return `the webhook answered ${status}: a redirect is not followed`;
  const [line] = text.trim().split('\n');
  return `the webhook answered ${status}${line === '' ? '' : `: ${line.slice(0, REASON_CHARS_MAX)}`}`;
}

const REASON_CHARS_MAX = 200;

/** How many of the texts, from one on, one request holds; at least one. */
function runWithin(texts: readonly string[], from: number, countMax: number): number {
  let bytes = 2;
  let count = 0;
  while (count < countMax && from + count < texts.length) {
    bytes += Buffer.byteLength(texts[from + count]) + 1;
    if (bytes > limits.webhookBatchBytesMax && count > 0) break;
    count += 1;
  }
  return count;
}

/** RFC 9110, 10.2.3: seconds, or a date. @returns undefined if there is none, or no sense in it */
function retryAfterMs(text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined;
  const ms = /^\d{1,9}$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), limits.webhookRetryAfterMsMax) : undefined;
}

function validationResponse(text: string): unknown {
  try {
    return (JSON.parse(text) as { validationResponse?: unknown } | null)?.validationResponse;
  } catch {
    return undefined;
  }
}
