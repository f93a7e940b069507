/**
 * Changes of desired properties on their way to one connected device: in order of version, each once, from its subscription on and
 * nothing that was before. Notes say only that there is something; what it is, is read from the store, a few changes at a time and
 * none while the device does not read. So notes may be lost or meet, and a slow device costs no memory.
 */
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import type { Principal } from '../identity/types.ts';
import type { DesiredText } from './ports.ts';
import type { Twins } from './room.ts';
import type { DesiredTold } from './types.ts';

/** A door's end of it. */
export interface DesiredWire {
  readonly twins: Pick<Twins, 'ownVersion' | 'ownChanges'>;
  readonly principal: Principal;
  /** Whether the device reads what it is sent. The door calls `proceed` when it does again. */
  hasSpace(): boolean;
  /** False = the device takes nothing at the moment, or its subscription is not confirmed yet. */
  write(patch: DesiredText): boolean;
  /** What is to be told cannot be: the door ends the connection, and the device reads its twin when it comes back. */
  failed(error: unknown): void;
}

export class DesiredPushes {
  readonly #wire: DesiredWire;
  /** The device has been told of everything up to it; undefined until it is known where to begin. */
  #told: number | undefined;
  /** The newest version that is known of. */
  #newest = 0;
  #isReading = false;
  #isClosed = false;
  /**
   * Resolves when it is known where to begin, or `failed` was called. Only then may the door confirm the subscription: the device
   * is told of every change that is committed behind that, and a change committed before the version is read is not told.
   */
  readonly begun: Promise<void>;

  constructor(wire: DesiredWire) {
    this.#wire = wire;
    this.begun = this.#begin().catch((error) => this.#fail(error));
  }

  /** There is something new. */
  note({ version }: DesiredTold): void {
    this.#newest = Math.max(this.#newest, version);
    this.proceed();
  }

  /** The device reads again. */
  proceed(): void {
    if (this.#told === undefined || this.#isReading || this.#isClosed) return;
    if (this.#newest <= this.#told || !this.#wire.hasSpace()) return;
    this.#isReading = true;
    this.#read().catch((error) => this.#fail(error));
  }

  /** The device has ended its subscription, or its connection. */
  close(): void {
    this.#isClosed = true;
  }

  async #begin(): Promise<void> {
    const { twins, principal } = this.#wire;
    this.#told = await twins.ownVersion(principal, keyOf(principal));
    this.proceed();
  }

  async #read(): Promise<void> {
    const { twins, principal } = this.#wire;
    let told = this.#told ?? 0;
    while (!this.#isClosed && this.#newest > told && this.#wire.hasSpace()) {
      const known = this.#newest;
      const { version, patches } = await twins.ownChanges(principal, keyOf(principal), told, limits.twinPushesAtOnce);
      if (this.#isClosed) return;
      if (patches === undefined) throw gap(told, version);
      // The store knows of nothing newer, and no note has come while it was asked: the note was of another generation.
      if (patches.length === 0 && this.#newest === known) this.#newest = told;
      for (const patch of patches) {
        if (this.#isClosed || !this.#wire.hasSpace()) break;
        this.#newest = Math.max(this.#newest, version);
        if (!this.#wire.write(patch)) {
          this.#isReading = false;
          return;
        }
        told = patch.version;
        this.#told = told;
      }
    }
    this.#isReading = false;
  }

  #fail(error: unknown): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#wire.failed(error);
  }
}

function keyOf(principal: Principal) {
  if (principal.kind !== 'device') throw new Error('only a device has a connection');
  return principal.key;
}

function gap(told: number, version: number): HubError {
  return new HubError('ServiceUnavailable', 'More desired properties have changed than the hub remembers.', {
    reason: `version ${version}, and the device was told of ${told}`,
  });
}
