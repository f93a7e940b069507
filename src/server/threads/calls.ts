/**
 * Calls between threads of one hub: a room that lives in the main thread is used from a listener thread as if it were
 * there. Only asynchronous operations with plain data cross; refusals arrive as the `HubError` they were.
 */
import { limits } from '../../base/limits.ts';
import { asHubError, type ErrorCode, errorTable, HubError, type LimitHit } from '../../core/errors.ts';

/** An answer whose buffers move to the asker instead of being copied. */
export class Moved {
  readonly value: unknown;
  readonly buffers: readonly ArrayBuffer[];

  constructor(value: unknown, buffers: readonly ArrayBuffer[]) {
    this.value = value;
    this.buffers = buffers;
  }
}

/** What carries packets to another member and back: each whole, in order, until it ends. A `MessagePort` is one. */
export interface MemberPort {
  /** @param transfer What moves instead of being copied, where both sides share memory. */
  postMessage(packet: unknown, transfer?: readonly ArrayBuffer[]): void;
  on(event: 'message', listener: (packet: Packet) => void): unknown;
}

/**
 * Every operation of a service, by name: one that is left out does not compile. `threadCallsMax` does not bound those that are
 * `uncounted`: they must not be refused, and something else bounds their number.
 */
export type EveryCall<Service> = { readonly [Name in keyof Service]-?: true | 'uncounted' };

/** What crosses a port besides calls: one-way notes, by name. */
export interface ThreadLink {
  /** False once the other side is gone. */
  readonly isOpen: boolean;
  /**
   * A stand-in for the service of that name on the other side. Where the last argument is an `AbortSignal`, the caller may
   * stop waiting: its call rejects with the signal's reason, and the operation there gets a signal that is aborted too.
   */
  remote<Service extends object>(name: string, calls: EveryCall<Service>): Service;
  /** Lets the other side call `service` by that name. */
  serve(name: string, service: object): void;
  /** Sends a note; `transfer` moves buffers instead of copying them. */
  tell(note: string, value: unknown, transfer?: readonly ArrayBuffer[]): void;
  /** Calls `listener` with every note of that name. One listener per name. */
  on(note: string, listener: (value: never) => void): void;
  /**
   * Calls `listener` when the link has closed, behind the refusal of what waited: nothing that was let in by the other side may
   * be served from then on. At once, if it has closed already.
   */
  onClose(listener: () => void): void;
  /**
   * The other side is gone: calls that wait are refused as `ServiceUnavailable`, and what still comes from it is ignored.
   * @throws what a listener of `onClose` has thrown first, when all have heard
   */
  close(): void;
}

/** What crosses. */
export type Packet =
  | {
      readonly kind: 'call';
      readonly id: number;
      readonly service: string;
      readonly operation: string;
      readonly args: unknown[];
      /** The asker may stop waiting: the operation gets an `AbortSignal` behind its arguments. */
      readonly canCancel: boolean;
      /** As in `EveryCall`; absent = it is counted. */
      readonly uncounted?: true;
    }
  | { readonly kind: 'cancel'; readonly id: number }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'refusal'; readonly id: number; readonly error: SentError }
  | { readonly kind: 'note'; readonly note: string; readonly value: unknown };

/** A refusal as it crosses. */
export interface SentError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly reason: string | undefined;
  readonly limit: LimitHit | undefined;
  readonly cause: string | undefined;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
  readonly isCounted: boolean;
  /** To the signal by which the asker may stop waiting. */
  stopListening(): void;
}

/** Speaks over `port`; both sides open one. */
export function openThreadLink(port: MemberPort): ThreadLink {
  const services = new Map<string, object>();
  const listeners = new Map<string, (value: never) => void>();
  const waiting = new Map<number, Waiting>();
  /** Calls of the other side that it may stop waiting for. */
  const cancels = new Map<number, AbortController>();
  let lastId = 0;
  /** Of those that wait, the counted ones. */
  let counted = 0;
  /** Counted calls of the other side that are not answered. */
  let underWay = 0;
  let closed = false;
  const closeListeners: (() => void)[] = [];

  const gone = (): HubError =>
    new HubError('ServiceUnavailable', undefined, { reason: 'a thread of the hub has ended' });

  function call(service: string, operation: string, isCounted: boolean, parameters: unknown[]): Promise<unknown> {
    const last = parameters.at(-1);
    const signal = last instanceof AbortSignal ? last : undefined;
    const args = signal === undefined ? parameters : parameters.slice(0, -1);
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (closed) return Promise.reject(gone());
    if (isCounted && counted >= limits.threadCallsMax) return Promise.reject(tooMany(counted));
    const id = ++lastId;
    return new Promise((resolve, reject) => {
      // What is not plain data throws here, and nothing waits for it.
      port.postMessage({
        ...{ kind: 'call', id, service, operation, args, canCancel: signal !== undefined },
        ...(!isCounted && { uncounted: true }),
      } satisfies Packet);
      const abort = (): void => {
        answered(id);
        if (!closed) port.postMessage({ kind: 'cancel', id } satisfies Packet);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', abort);
      const stopListening = (): void => signal?.removeEventListener('abort', abort);
      waiting.set(id, { resolve, reject, isCounted, stopListening });
      if (isCounted) counted++;
    });
  }

  /** The caller that waited for that call and has gone. */
  function answered(id: number): Waiting | undefined {
    const entry = waiting.get(id);
    waiting.delete(id);
    entry?.stopListening();
    if (entry?.isCounted) counted--;
    return entry;
  }

  /** What the operation gets behind its arguments. */
  function signalOf({ id, canCancel }: Extract<Packet, { kind: 'call' }>): readonly AbortSignal[] {
    if (!canCancel) return [];
    const controller = new AbortController();
    cancels.set(id, controller);
    return [controller.signal];
  }

  async function answer(packet: Extract<Packet, { kind: 'call' }>): Promise<void> {
    const weight = packet.uncounted ? 0 : 1;
    underWay += weight;
    try {
      // The other side bounds what it asks for by itself; one that does not is not served.
      if (weight > 0 && underWay > limits.threadCallsMax) throw tooMany(underWay);
      const service = services.get(packet.service) as Record<string, (...args: unknown[]) => unknown> | undefined;
      const operation = packet.operation in Object.prototype ? undefined : service?.[packet.operation];
      if (typeof operation !== 'function') throw unknownOperation(packet);
      const result = await operation.apply(service, [...packet.args, ...signalOf(packet)]);
      const { value, buffers } = result instanceof Moved ? result : { value: result, buffers: [] };
      if (!closed) port.postMessage({ kind: 'answer', id: packet.id, value } satisfies Packet, [...buffers]);
    } catch (error) {
      if (!closed) port.postMessage({ kind: 'refusal', id: packet.id, error: packError(error) } satisfies Packet);
    } finally {
      underWay -= weight;
      cancels.delete(packet.id);
    }
  }

  port.on('message', (packet: Packet) => {
    if (closed) return;
    switch (packet.kind) {
      case 'call':
        void answer(packet);
        break;
      case 'answer':
        answered(packet.id)?.resolve(packet.value);
        break;
      case 'refusal':
        answered(packet.id)?.reject(unpackError(packet.error));
        break;
      case 'cancel':
        cancels.get(packet.id)?.abort(gone());
        break;
      case 'note':
        listeners.get(packet.note)?.(packet.value as never);
        break;
    }
  });

  return {
    get isOpen() {
      return !closed;
    },
    remote<Service extends object>(name: string, calls: EveryCall<Service>): Service {
      const entries = Object.entries(calls).map(([operation, kind]) => [
        operation,
        (...args: unknown[]) => call(name, operation, kind !== 'uncounted', args),
      ]);
      return Object.fromEntries(entries) as Service;
    },
    serve(name, service) {
      services.set(name, service);
    },
    tell(note, value, transfer = []) {
      if (!closed) port.postMessage({ kind: 'note', note, value } satisfies Packet, [...transfer]);
    },
    on(note, listener) {
      listeners.set(note, listener);
    },
    onClose(listener) {
      if (closed) listener();
      else closeListeners.push(listener);
    },
    close() {
      if (closed) return;
      closed = true;
      for (const id of [...waiting.keys()]) answered(id)?.reject(gone());
      for (const controller of cancels.values()) controller.abort(gone());
      const failures: unknown[] = [];
      for (const listener of closeListeners.splice(0)) {
        try {
          listener();
        } catch (error) {
          failures.push(error);
        }
      }
      if (failures.length > 0) throw failures[0];
    },
  };
}

function tooMany(current: number): HubError {
  const limit = { name: 'threadCallsMax', scope: 'hub', current, max: limits.threadCallsMax };
  return new HubError('ThrottlingException', undefined, { limit });
}

/** The other side may be of a newer version. */
function unknownOperation({ service, operation }: Extract<Packet, { kind: 'call' }>): HubError {
  return new HubError('OperationNotAvailable', 'That is not known at the version of the node which was asked.', {
    reason: `no operation ${service}.${operation}`,
  });
}

export function packError(error: unknown): SentError {
  const { code, message, reason, limit, cause } = asHubError(error);
  return { code, message, reason, limit, cause: cause instanceof Error ? (cause.stack ?? cause.message) : undefined };
}

export function unpackError({ code, message, reason, limit, cause }: SentError): HubError {
  // A newer version may have codes that this one has not.
  const isKnown = Object.hasOwn(errorTable, code);
  return new HubError(isKnown ? code : 'ServerError', isKnown ? message : `${code}: ${message}`, {
    ...(reason === undefined ? {} : { reason }),
    ...(limit === undefined ? {} : { limit }),
    ...(cause === undefined ? {} : { cause: new Error(cause) }),
  });
}
