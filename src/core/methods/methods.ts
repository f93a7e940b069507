/**
 * The way of a method: checked, counted, handed to the connection of the device wherever it is, and answered once. A call that may
 * have reached a device is never tried again; one that certainly has not waits for the device for as long as its caller wants.
 */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { Shares } from '../../base/shares.ts';
import { asHubError, HubError } from '../errors.ts';
import type { Guard, Guarded } from '../identity/guard.ts';
import { identityName } from '../identity/permissions.ts';
import { shareName } from '../identity/share-name.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { Presence } from '../presence/ports.ts';
import { methodCalls } from './calls.ts';
import type { Methods } from './room.ts';
import { checkMethod, noAnswer } from './rules.ts';
import { METHOD, type MethodCall, type MethodRequest, type MethodResult } from './types.ts';

export interface MethodsParts {
  readonly guard: Guard;
  readonly identities: { get(key: IdentityKey): Promise<object | undefined> };
  readonly presence: Pick<Presence, 'invoke'>;
  /** How often it is looked whether an identity that is waited for has connected elsewhere; absent = `connected` is called for each. */
  readonly arrivalLookMs?: number;
  readonly clock: Clock;
}

export interface MethodsRoom {
  readonly methods: Guarded<Methods>;
  /** To be called when an identity has its place: calls may wait for it. */
  connected(key: IdentityKey): void;
  /** The hub stops: who waits for a device to connect is answered, and nobody waits any more. */
  close(): void;
  readonly totals: MethodTotals;
}

/** Calls that are under way, and those that have ended since the start by what they ended with: `answered` or a code of the error table. */
export interface MethodTotals {
  readonly underWay: number;
  readonly ended: ReadonlyMap<string, number>;
}

export function createMethods({ guard, identities, presence, arrivalLookMs, clock }: MethodsParts): MethodsRoom {
  const arrivals = new Map<string, Set<() => void>>();
  let isClosed = false;
  const underWay = new Map<string, number>();
  const ended = new Map<string, number>();
  const calls = new Shares({ max: limits.methodsMax, perKeyMax: limits.methodsPerPolicyMax });
  const bytes = new Shares({ max: limits.methodsBytesMax, perKeyMax: limits.methodsBytesPerPolicyMax });

  /** @param of whose share it uses */
  const begin = (of: string, name: string, payloadBytes: number): (() => void) => {
    const own = underWay.get(name) ?? 0;
    if (own >= limits.methodsPerDeviceMax) {
      throw new HubError('DeviceMaximumInflightMethodExceeded', undefined, {
        limit: { name: 'methodsPerDeviceMax', scope: `device ${name}`, current: own, max: limits.methodsPerDeviceMax },
      });
    }
    if (!calls.take(of)) throw tooMany(of, calls, 'methodsMax', 'methodsPerPolicyMax');
    if (!bytes.take(of, payloadBytes)) {
      calls.give(of);
      throw tooMany(of, bytes, 'methodsBytesMax', 'methodsBytesPerPolicyMax');
    }
    underWay.set(name, own + 1);
    return () => {
      const left = (underWay.get(name) ?? 1) - 1;
      if (left === 0) underWay.delete(name);
      else underWay.set(name, left);
      calls.give(of);
      bytes.give(of, payloadBytes);
    };
  };

  const count = (outcome: string): void => {
    ended.set(outcome, (ended.get(outcome) ?? 0) + 1);
  };

  /** Resolves when the identity has connected, may have done so at another node, or the time is over. */
  const arrival = (name: string, ms: number, signal: AbortSignal): { arrived: Promise<void>; forget(): void } => {
    const waiting = arrivals.get(name) ?? new Set();
    arrivals.set(name, waiting);
    let come: () => void = () => {};
    const arrived = new Promise<void>((resolve) => {
      come = resolve;
    });
    waiting.add(come);
    signal.addEventListener('abort', come, { once: true });
    const cancel = clock.after(ms, come);
    return {
      arrived,
      forget() {
        cancel();
        signal.removeEventListener('abort', come);
        waiting.delete(come);
        if (waiting.size === 0 && arrivals.get(name) === waiting) arrivals.delete(name);
      },
    };
  };

  async function reach(key: IdentityKey, request: MethodRequest, signal: AbortSignal): Promise<MethodResult> {
    const { name, payload, responseMs } = request;
    // Clients wait for exactly the sum of the times: the hub's answer must be on its way by then.
    const ends = clock.monotonic() + request.connectMs + responseMs - limits.methodAnswerEarlyMs;
    const connectEnds = clock.monotonic() + request.connectMs;
    for (;;) {
      signal.throwIfAborted();
      const now = clock.monotonic();
      const connectMs = Math.max(0, Math.min(connectEnds, ends) - now);
      const call: MethodCall = {
        name,
        ...(payload !== undefined && { payload }),
        connectMs,
        responseMs: Math.max(1, Math.min(responseMs - limits.methodAnswerEarlyMs, ends - now)),
      };
      // Looked out for before it is asked: nothing that connects in between is missed.
      const next =
        connectMs > 0 ? arrival(identityName(key), Math.min(connectMs, arrivalLookMs ?? connectMs), signal) : undefined;
      // The connection keeps these times by itself. Its member may hang, or its link be broken, and then nobody does.
      const silent = new AbortController();
      const silentMs = Math.max(0, ends - now) + limits.methodAnswerEarlyMs / 2;
      const forgetSilence = clock.after(silentMs, () => silent.abort(noAnswer()));
      try {
        const either = AbortSignal.any([signal, silent.signal]);
        return (await presence.invoke(key, { kind: METHOD, value: call }, either)) as MethodResult;
      } catch (error) {
        if (!(error instanceof HubError) || error.code !== 'DeviceNotOnline') throw error;
        if (next === undefined || clock.monotonic() >= connectEnds) throw notOnline();
        if (!isClosed) await next.arrived;
        if (isClosed) throw new HubError('ServiceUnavailable', 'The hub is stopping.');
        if (clock.monotonic() >= connectEnds) throw notOnline();
      } finally {
        forgetSilence();
        next?.forget();
      }
    }
  }

  const room: Methods = {
    async invoke(principal, { deviceId, moduleId }, request, signal) {
      checkMethod(request);
      const key = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
      const payloadBytes = request.payload === undefined ? 0 : Buffer.byteLength(request.payload);
      const end = begin(shareName(principal), identityName(key), payloadBytes);
      try {
        if ((await identities.get(key)) === undefined) throw await notThere(key);
        const result = await reach(key, request, signal);
        count('answered');
        return result;
      } catch (error) {
        count(asHubError(error).code);
        throw error;
      } finally {
        end();
      }
    },
  };

  async function notThere(key: IdentityKey): Promise<HubError> {
    const { deviceId, moduleId } = key;
    const hasDevice = moduleId !== undefined && (await identities.get({ deviceId })) !== undefined;
    return hasDevice
      ? new HubError('ModuleNotFound', `The module ${moduleId} of ${deviceId} does not exist.`)
      : new HubError('DeviceNotFound', `The device ${deviceId} does not exist.`);
  }

  return {
    methods: guard.room(room, methodCalls),
    totals: {
      get underWay() {
        return calls.used;
      },
      ended,
    },
    connected(key) {
      for (const come of arrivals.get(identityName(key)) ?? []) come();
    },
    close() {
      isClosed = true;
      for (const waiting of arrivals.values()) for (const come of waiting) come();
    },
  };
}

/** Says which bound has been reached: the caller's own, where it was exceeded, else the hub's. */
function tooMany<Name extends keyof typeof limits>(of: string, shares: Shares, ofHub: Name, ofCaller: Name): HubError {
  const limit =
    shares.used >= limits[ofHub]
      ? { name: ofHub, scope: 'hub', current: shares.used, max: limits[ofHub] }
      : { name: ofCaller, scope: of, current: shares.heldBy(of), max: limits[ofCaller] };
  return new HubError('ThrottlingException', 'Too many methods are under way.', { limit });
}

/** In the words of the emulated service (twins reference 5). */
function notOnline(): HubError {
  return new HubError('DeviceNotOnline', 'Timed out waiting for device to connect.');
}
