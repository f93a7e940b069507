/** The methods of one job that are under way on this node, and whose turn is next. */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import { identityName } from '../identity/permissions.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { MethodRequest, MethodResult } from '../methods/types.ts';
import type { Pace } from './pace.ts';
import type { Hold, JobStore, SettledDevice } from './ports.ts';
import { afterRefusal, outcomeUnknown } from './rules.ts';
import type { Job } from './types.ts';

export interface MethodMeans {
  /** As `Methods.invoke`, in the hub's own name. */
  readonly invoke: (key: IdentityKey, request: MethodRequest, signal: AbortSignal) => Promise<MethodResult>;
  readonly isConnected: (key: IdentityKey) => Promise<boolean>;
  readonly clock: Clock;
}

interface Call {
  readonly key: IdentityKey;
  readonly abort: AbortController;
  readonly over: Promise<void>;
}

export class MethodCalls {
  readonly #request: MethodRequest;
  readonly #jobId: string;
  readonly #means: MethodMeans;
  readonly #wake: () => void;
  readonly #calls = new Map<string, Call>();
  #ended: SettledDevice[] = [];
  /** Behind which device the next look begins; undefined = at the first. */
  #after: IdentityKey | undefined;
  /** Devices that have just connected: they come first. */
  readonly #arrived = new Map<string, IdentityKey>();
  /** Until when a device that was connected and did not take its method is left alone. */
  readonly #rests = new Map<string, number>();
  /** Not before then the devices are looked at from the first on again. */
  #nextRound = 0;
  #isAbandoned = false;

  constructor(job: Job, means: MethodMeans, wake: () => void) {
    if (job.work.kind !== 'scheduleDeviceMethod') throw new TypeError('a job of methods');
    // Waiting for the device is the job's, which asks nobody that is not there.
    this.#request = { ...job.work.method, connectMs: 0 };
    this.#jobId = job.id;
    this.#means = means;
    this.#wake = wake;
  }

  get underWay(): number {
    return this.#calls.size + this.#ended.length;
  }

  connected(key: IdentityKey): void {
    if (this.#arrived.size >= limits.jobRestsMax) return;
    this.#rests.delete(identityName(key));
    this.#arrived.set(identityName(key), key);
    this.#wake();
  }

  /** How calls have ended, as far as that is not kept yet. */
  get ended(): readonly SettledDevice[] {
    return [...this.#ended];
  }

  /** The first `count` of those are kept. */
  settled(count: number): void {
    this.#ended.splice(0, count);
    // Perhaps that was the last one: whether anybody waits is looked at again.
    if (this.#calls.size === 0) this.#nextRound = 0;
  }

  /** Asks the next devices that are connected, at most `free`. `settled`: nobody waits, and nothing is under way. */
  async begin(store: JobStore, hold: Hold, pace: Pace, free: number): Promise<'again' | 'waits' | 'gone' | 'settled'> {
    // An answer, or the next look for jobs, goes on with it.
    if (free <= 0 || pace.waitMs() > 0) return 'waits';
    const { keys, isEnd, isEmpty } = await this.#candidates(store, free);
    if (isEmpty && this.underWay === 0) return 'settled';
    if (keys.length === 0) return isEnd ? 'waits' : 'again';
    let begun: readonly IdentityKey[] | undefined;
    try {
      begun = await store.begin(hold, keys, this.#means.clock.now());
    } catch (error) {
      // It may be kept all the same. As none of them was asked, those that are kept as such wait again.
      this.#ended.push(...keys.map((key): SettledDevice => ({ key, state: 'waiting' })));
      throw error;
    }
    if (begun === undefined) return 'gone';
    pace.take(begun.length);
    for (const key of begun) this.#ask(key);
    return isEnd ? 'waits' : 'again';
  }

  async #candidates(store: JobStore, free: number) {
    const keys: IdentityKey[] = [];
    const consider = async (key: IdentityKey): Promise<void> => {
      const name = identityName(key);
      const rest = this.#rests.get(name);
      if (rest !== undefined && rest > this.#means.clock.monotonic()) return;
      this.#rests.delete(name);
      if (this.#calls.has(name) || keys.some((other) => identityName(other) === name)) return;
      if (await this.#means.isConnected(key)) keys.push(key);
    };
    for (const [name, key] of this.#arrived) {
      if (keys.length >= free) break;
      this.#arrived.delete(name);
      await consider(key);
    }
    const isRoundOver = this.#after === undefined && this.#means.clock.monotonic() < this.#nextRound;
    if (keys.length >= free || isRoundOver) return { keys, isEnd: isRoundOver, isEmpty: false };
    const isFromFirst = this.#after === undefined;
    const found = await store.waiting(this.#jobId, this.#after, limits.jobLookRows);
    let last: IdentityKey | undefined;
    for (const key of found) {
      if (keys.length >= free) break;
      await consider(key);
      last = key;
    }
    const isEnd = found.length < limits.jobLookRows && last === found.at(-1);
    this.#after = isEnd ? undefined : last;
    if (isEnd) this.#nextRound = this.#means.clock.monotonic() + limits.jobClaimMs;
    return { keys, isEnd, isEmpty: isFromFirst && found.length === 0 };
  }

  #ask(key: IdentityKey): void {
    const name = identityName(key);
    const abort = new AbortController();
    const over = this.#means
      .invoke(key, this.#request, abort.signal)
      .then(
        ({ status, payload }): SettledDevice => ({
          ...{ key, state: 'completed' },
          result: { kind: 'answer', status, payload },
        }),
        (error) => afterRefusal(key, error),
      )
      .then((settled) => {
        this.#calls.delete(name);
        if (this.#isAbandoned) return;
        if (settled.state === 'waiting') this.#rest(name);
        this.#ended.push(settled);
        this.#wake();
      });
    this.#calls.set(name, { key, abort, over });
  }

  #rest(name: string): void {
    if (this.#rests.size >= limits.jobRestsMax) this.#rests.clear();
    this.#rests.set(name, this.#means.clock.monotonic() + limits.jobRestMs);
  }

  /** A device that has been asked may carry it out all the same. @param why The beginning of a sentence */
  stop(why: string): void {
    const reason = new HubError('GatewayTimeout', `${why} before the device had answered.`);
    for (const { abort } of this.#calls.values()) abort.abort(reason);
  }

  /** Another node's: nothing of this is told any more. */
  abandon(): void {
    this.#isAbandoned = true;
    this.#ended = [];
    for (const { abort } of this.#calls.values()) abort.abort(new HubError('ServiceUnavailable'));
  }

  /** Waits for what is under way, then gives it up. */
  async finish(withinMs: number): Promise<void> {
    const calls = [...this.#calls.values()];
    const all = Promise.all(calls.map(({ over }) => over));
    const late = new Promise<void>((resolve) => this.#means.clock.after(withinMs, resolve));
    await Promise.race([all, late]);
    for (const { abort } of this.#calls.values()) {
      abort.abort(new HubError(outcomeUnknown.code, outcomeUnknown.message));
    }
    await all;
  }
}
