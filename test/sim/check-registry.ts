/**
 * Each identity is one register with compare-and-set. For each, an order of all that was done is looked for in which every
 * answer is what a registry that does one thing at a time would have said, and which agrees with what was answered before
 * something else was asked (linearizability; the search is that of Wing and Gong, with the states that led nowhere kept).
 */
import type { World } from './world.ts';

export interface RegistryCall {
  readonly kind: 'create' | 'replace' | 'delete' | 'get';
  /** What the identity says from then on; names the state. */
  readonly tag: string;
  /** Of a replacement or deletion: an ETag or `*`. */
  readonly ifMatch: string;
  readonly invokedAt: number;
  answeredAt: number;
  answer: RegistryAnswer;
}

export type RegistryAnswer =
  | { readonly kind: 'identity'; readonly tag: string; readonly etag: string; readonly generationId: string }
  | { readonly kind: 'deleted' }
  | { readonly kind: 'refused'; readonly code: string }
  /** It has happened or not. */
  | { readonly kind: 'unknown' };

/** What is there; ETag and generation are not known when nobody was told of them. */
interface State {
  readonly tag: string;
  readonly etag: string | undefined;
  readonly generationId: string | undefined;
}

const STEPS_MAX = 200_000;

export class RegistryChecker {
  readonly #world: World;
  readonly #calls = new Map<string, RegistryCall[]>();

  constructor(world: World) {
    this.#world = world;
  }

  begin(id: string, call: Pick<RegistryCall, 'kind' | 'tag' | 'ifMatch'>): RegistryCall {
    const invokedAt = this.#world.scheduler.monotonic();
    const begun: RegistryCall = {
      ...call,
      invokedAt,
      answeredAt: Number.POSITIVE_INFINITY,
      answer: { kind: 'unknown' },
    };
    const calls = this.#calls.get(id) ?? [];
    calls.push(begun);
    this.#calls.set(id, calls);
    return begun;
  }

  end(call: RegistryCall, answer: RegistryAnswer): void {
    call.answer = answer;
    call.answeredAt = this.#world.scheduler.monotonic();
    if (answer.kind !== 'unknown') this.#world.counters.acknowledgements++;
  }

  verify(): void {
    for (const [id, calls] of this.#calls) {
      const problem = disorderOf(calls);
      if (problem !== undefined) this.#world.find(`the registry's answers on ${id} agree with no order: ${problem}`);
    }
  }
}

/** Undefined: there is an order. Else the calls among which there is none. */
export function disorderOf(calls: readonly RegistryCall[]): string | undefined {
  let states: readonly (State | undefined)[] = [undefined];
  for (const together of overlapping(calls)) {
    const left = statesBehind(together, states);
    if (left.length === 0) return `${JSON.stringify(together)} after ${JSON.stringify(states)}`;
    states = left;
  }
  return undefined;
}

/** Parts of which each was answered as a whole before the next one began. */
function overlapping(calls: readonly RegistryCall[]): readonly (readonly RegistryCall[])[] {
  const parts: RegistryCall[][] = [];
  let answeredAt = Number.NEGATIVE_INFINITY;
  for (const call of [...calls].sort((a, b) => a.invokedAt - b.invokedAt)) {
    if (call.invokedAt > answeredAt) parts.push([]);
    parts[parts.length - 1].push(call);
    answeredAt = Math.max(answeredAt, call.answeredAt);
  }
  return parts;
}

/** All states that some order of the calls, begun in one of `states`, may end in. */
function statesBehind(
  calls: readonly RegistryCall[],
  states: readonly (State | undefined)[],
): readonly (State | undefined)[] {
  const seen = new Set<string>();
  const ends = new Map<string, State | undefined>();
  const search = (left: readonly number[], state: State | undefined): void => {
    const name = state === undefined ? '' : `${state.tag} ${state.etag} ${state.generationId}`;
    if (left.length === 0) ends.set(name, state);
    const key = `${left.join()};${name}`;
    if (seen.has(key) || seen.size > STEPS_MAX) return;
    seen.add(key);
    // A call that was answered before another was made comes before it.
    const horizon = Math.min(...left.map((at) => calls[at].answeredAt));
    for (const at of left) {
      if (calls[at].invokedAt > horizon) continue;
      const others = left.filter((other) => other !== at);
      for (const next of after(calls[at], state)) search(others, next.state);
    }
  };
  for (const state of states) search([...calls.keys()], state);
  if (seen.size > STEPS_MAX) throw new Error(`the order of ${calls.length} calls takes too long to find`);
  return [...ends.values()];
}

/** The states in which the call, carried out on `state`, may leave the identity; none = it cannot have answered so. */
function after(call: RegistryCall, state: State | undefined): readonly { readonly state: State | undefined }[] {
  const { answer } = call;
  if (answer.kind === 'unknown') return [{ state }, ...(effect(call, state) ?? [])];
  if (answer.kind === 'refused') return isRightRefusal(call, answer.code, state) ? [{ state }] : [];
  if (call.kind === 'get') {
    if (answer.kind !== 'identity' || state?.tag !== answer.tag) return [];
    const agrees =
      (state.etag ?? answer.etag) === answer.etag &&
      (state.generationId ?? answer.generationId) === answer.generationId;
    return agrees ? [{ state: { tag: answer.tag, etag: answer.etag, generationId: answer.generationId } }] : [];
  }
  const left = effect(call, state);
  if (left === undefined) return [];
  if (call.kind === 'delete') return left;
  if (answer.kind !== 'identity' || answer.tag !== call.tag) return [];
  const keeps = call.kind !== 'replace' || (state?.generationId ?? answer.generationId) === answer.generationId;
  return keeps ? [{ state: { tag: answer.tag, etag: answer.etag, generationId: answer.generationId } }] : [];
}

/** What the write leaves when it is carried out; undefined = it would be refused. */
function effect(
  call: RegistryCall,
  state: State | undefined,
): readonly { readonly state: State | undefined }[] | undefined {
  switch (call.kind) {
    case 'get':
      return undefined;
    case 'create':
      return state === undefined ? [{ state: { tag: call.tag, etag: undefined, generationId: undefined } }] : undefined;
    case 'replace':
      if (state === undefined || (call.ifMatch !== '*' && call.ifMatch !== state.etag)) return undefined;
      return [{ state: { tag: call.tag, etag: undefined, generationId: state.generationId } }];
    case 'delete':
      if (state === undefined || (call.ifMatch !== '*' && call.ifMatch !== state.etag)) return undefined;
      return [{ state: undefined }];
  }
}

function isRightRefusal({ kind, ifMatch }: RegistryCall, code: string, state: State | undefined): boolean {
  if (code === 'DeviceNotFound') return kind !== 'create' && state === undefined;
  if (code === 'DeviceAlreadyExists') return kind === 'create' && state !== undefined;
  // With `*` it says that others changed the identity too often meanwhile.
  if (code === 'PreconditionFailed') return state !== undefined && (ifMatch === '*' || ifMatch !== state.etag);
  return false;
}
