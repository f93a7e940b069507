/** Filters that one connection has subscribed. */
import { limits } from '../../../base/limits.ts';
import { type Outcome, outcomes } from '../dialogue.ts';
import { checkTopicShape, filterMatches, isFilter } from '../pattern.ts';

export interface Request {
  readonly filter: string;
  readonly qos: number;
  /** MQTT 5, 3.8.3.1. */
  readonly retainHandling?: number;
}

export interface Granted {
  readonly filter: string;
  /** Retained messages are to be sent. */
  readonly wantsRetained: boolean;
}

export class Subscriptions {
  readonly #granted = new Map<string, 0 | 1>();

  /** @returns what is granted, and a code for each request: the QoS, at most 1, or why not */
  add(requests: readonly Request[]): { readonly codes: number[]; readonly granted: Granted[] } {
    const codes: number[] = [];
    const granted: Granted[] = [];
    for (const { filter, qos, retainHandling = 0 } of requests) {
      const refusal = this.#refusalOf(filter);
      codes.push(refusal ?? Math.min(qos, 1));
      if (refusal !== undefined) continue;
      const isNew = !this.#granted.has(filter);
      this.#granted.set(filter, qos === 0 ? 0 : 1);
      granted.push({ filter, wantsRetained: retainHandling === 0 || (retainHandling === 1 && isNew) });
    }
    return { codes, granted };
  }

  remove(filters: readonly string[]): void {
    for (const filter of filters) this.#granted.delete(filter);
  }

  /** The best QoS of those that match; undefined = none does. */
  qosFor(topic: string): 0 | 1 | undefined {
    let best: 0 | 1 | undefined;
    for (const [filter, qos] of this.#granted) {
      if ((best === undefined || qos > best) && filterMatches(filter, topic)) best = qos;
    }
    return best;
  }

  #refusalOf(filter: string): Outcome | undefined {
    if (filter.startsWith('$share/')) return outcomes.sharedSubscriptionsNotSupported;
    try {
      checkTopicShape(filter, 'filter');
    } catch {
      return outcomes.topicFilterInvalid;
    }
    if (!isFilter(filter)) return outcomes.topicFilterInvalid;
    const known = this.#granted.has(filter);
    return known || this.#granted.size < limits.mqttTopicsSubscriptionsMax ? undefined : outcomes.quotaExceeded;
  }
}
