/**
 * Methods at the connection of their device: each is handed over once the device listens, and waits there for its answer. A
 * connection makes one with its first method; one that is idle has none.
 */
import type { Cancel, Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import { HubError } from '../errors.ts';
import type { Call } from '../presence/types.ts';
import { answeredPayload, checkStatus, noAnswer } from './rules.ts';
import { METHOD, type MethodCall, type MethodResult } from './types.ts';

/** A door's end of it. */
export interface MethodWire {
  /** Whether the device has subscribed to methods. The door calls `proceed` when it does. */
  listens(): boolean;
  /** Whether the device reads what it is sent. The door calls `proceed` when it does again. */
  hasSpace(): boolean;
  /**
   * @param id Names the call in the device's answer: up to 48 bits, not used before by any connection, as far as chance allows
   * @returns false = the device takes nothing at the moment
   */
  write(id: number, call: MethodCall): boolean;
}

interface Open {
  readonly id: number;
  readonly call: MethodCall;
  readonly begins: () => void;
  resolve(result: MethodResult): void;
  reject(error: unknown): void;
  /** The device listens: its time to answer has begun, whether or not it takes the call at once. */
  isLimited: boolean;
  isAsked: boolean;
  cancel: Cancel;
}

/** Ids of one connection begin at random: an answer to one before it must name none of this one. */
const ID_BYTES = 6;

export class MethodReceiver {
  readonly #clock: Clock;
  readonly #wire: MethodWire;
  readonly #open = new Map<number, Open>();
  #nextId: number;

  constructor(clock: Clock, random: Random, wire: MethodWire) {
    this.#clock = clock;
    this.#wire = wire;
    // Room for a call a microsecond for a year.
    this.#nextId = random.bytes(ID_BYTES).readUIntBE(0, ID_BYTES) % 2 ** 47;
  }

  /**
   * As `DeviceReceiver.invoke`. @throws HubError DeviceNotOnline (it does not listen), GatewayTimeout, BadDeviceResponse
   */
  invoke({ kind, value }: Call, signal: AbortSignal, begins: () => void): Promise<MethodResult> {
    if (kind !== METHOD) return Promise.reject(new HubError('OperationNotAvailable'));
    const call = value as MethodCall;
    return new Promise((resolve, reject) => {
      const open: Open = {
        ...{ id: this.#nextId++, call, begins, resolve, reject },
        ...{ isLimited: false, isAsked: false, cancel: () => {} },
      };
      this.#open.set(open.id, open);
      signal.addEventListener('abort', () => this.#end(open)?.reject(signal.reason), { once: true });
      if (this.#wire.listens()) {
        this.#limit(open);
        this.#ask(open);
      } else if (call.connectMs > 0) {
        open.cancel = this.#clock.after(call.connectMs, () => this.#end(open)?.reject(new HubError('DeviceNotOnline')));
      } else {
        this.#end(open)?.reject(new HubError('DeviceNotOnline'));
      }
    });
  }

  /** The device listens now, or takes more. */
  proceed(): void {
    for (const open of this.#open.values()) {
      if (open.isAsked || !this.#wire.listens()) continue;
      this.#limit(open);
      this.#ask(open);
    }
  }

  /** The device's answer. One that nobody waits for any more is ignored. @param body As it came; empty = no payload */
  answered(id: number, status: number, body: Uint8Array): void {
    const open = this.#open.get(id);
    if (open === undefined || !open.isAsked) return;
    this.#end(open);
    try {
      checkStatus(status);
      open.resolve({ status, payload: answeredPayload(body) });
    } catch (error) {
      open.reject(error);
    }
  }

  /** From here on the device has so much time, however often it says that it takes something. */
  #limit(open: Open): void {
    if (open.isLimited) return;
    open.isLimited = true;
    open.cancel();
    open.cancel = this.#clock.after(open.call.responseMs, () => this.#end(open)?.reject(noAnswer()));
  }

  #ask(open: Open): void {
    if (!this.#wire.hasSpace()) return;
    open.begins();
    open.isAsked = true;
    if (!this.#wire.write(open.id, open.call)) open.isAsked = false;
  }

  #end(open: Open): Open | undefined {
    open.cancel();
    return this.#open.delete(open.id) ? open : undefined;
  }
}
