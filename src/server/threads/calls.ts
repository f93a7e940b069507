/**
 * Calls between threads of one hub: a room that lives in the main thread is used from a listener thread as if it were
 * there. Only asynchronous operations with plain data cross; refusals arrive as the `HubError` they were.
 */
import type { MessagePort, Worker } from 'node:worker_threads';
import { limits } from '../../base/limits.ts';
import { asHubError, type ErrorCode, HubError, type LimitHit } from '../../core/errors.ts';

/** An answer whose buffers move to the asker instead of being copied. */
export class Moved {
  readonly value: unknown;
  readonly buffers: readonly ArrayBuffer[];

  constructor(value: unknown, buffers: readonly ArrayBuffer[]) {
    this.value = value;
    this.buffers = buffers;
  }
}

/** Every operation of a service, by name: one that is left out does not compile. */
export type EveryCall<Service> = { readonly [Name in keyof Service]-?: true };

/** What crosses a port besides calls: one-way notes, by name. */
export interface ThreadLink {
  /** False once the other side is gone. */
  readonly isOpen: boolean;
  /** A stand-in for the service of that name on the other side. */
  remote<Service extends object>(name: string, calls: EveryCall<Service>): Service;
  /** Lets the other side call `service` by that name. */
  serve(name: string, service: object): void;
  /** Sends a note; `transfer` moves buffers instead of copying them. */
  tell(note: string, value: unknown, transfer?: readonly ArrayBuffer[]): void;
  /** Calls `listener` with every note of that name. One listener per name. */
  on(note: string, listener: (value: never) => void): void;
  /** The other side is gone: calls that wait are refused as `ServiceUnavailable`. */
  close(): void;
}

type Packet =
  | {
      readonly kind: 'call';
      readonly id: number;
      readonly service: string;
      readonly operation: string;
      readonly args: unknown[];
    }
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
}

/** Speaks over `port`; both sides open one. */
export function openThreadLink(port: MessagePort | Worker): ThreadLink {
  const services = new Map<string, object>();
  const listeners = new Map<string, (value: never) => void>();
  const waiting = new Map<number, Waiting>();
  let lastId = 0;
  let closed = false;

  const gone = (): HubError =>
    new HubError('ServiceUnavailable', undefined, { reason: 'a thread of the hub has ended' });

  function call(service: string, operation: string, args: unknown[]): Promise<unknown> {
    if (closed) return Promise.reject(gone());
    if (waiting.size >= limits.threadCallsMax) {
      const limit = { name: 'threadCallsMax', scope: 'hub', current: waiting.size, max: limits.threadCallsMax };
      return Promise.reject(new HubError('ThrottlingException', undefined, { limit }));
    }
    const id = ++lastId;
    return new Promise((resolve, reject) => {
      // What is not plain data throws here, and nothing waits for it.
      port.postMessage({ kind: 'call', id, service, operation, args } satisfies Packet);
      waiting.set(id, { resolve, reject });
    });
  }

  async function answer(packet: Extract<Packet, { kind: 'call' }>): Promise<void> {
    try {
      const service = services.get(packet.service) as Record<string, (...args: unknown[]) => unknown> | undefined;
      const operation = service?.[packet.operation];
      if (typeof operation !== 'function') throw new Error(`no operation ${packet.service}.${packet.operation}`);
      const result = await operation.apply(service, packet.args);
      const { value, buffers } = result instanceof Moved ? result : { value: result, buffers: [] };
      if (!closed) port.postMessage({ kind: 'answer', id: packet.id, value } satisfies Packet, [...buffers]);
    } catch (error) {
      if (!closed) port.postMessage({ kind: 'refusal', id: packet.id, error: packError(error) } satisfies Packet);
    }
  }

  port.on('message', (packet: Packet) => {
    switch (packet.kind) {
      case 'call':
        void answer(packet);
        break;
      case 'answer':
        waiting.get(packet.id)?.resolve(packet.value);
        waiting.delete(packet.id);
        break;
      case 'refusal':
        waiting.get(packet.id)?.reject(unpackError(packet.error));
        waiting.delete(packet.id);
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
      const entries = Object.keys(calls).map((operation) => [
        operation,
        (...args: unknown[]) => call(name, operation, args),
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
    close() {
      closed = true;
      for (const { reject } of waiting.values()) reject(gone());
      waiting.clear();
    },
  };
}

export function packError(error: unknown): SentError {
  const { code, message, reason, limit, cause } = asHubError(error);
  return { code, message, reason, limit, cause: cause instanceof Error ? (cause.stack ?? cause.message) : undefined };
}

export function unpackError({ code, message, reason, limit, cause }: SentError): HubError {
  return new HubError(code, message, {
    ...(reason === undefined ? {} : { reason }),
    ...(limit === undefined ? {} : { limit }),
    ...(cause === undefined ? {} : { cause: new Error(cause) }),
  });
}
