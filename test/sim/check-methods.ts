/** Methods: each reaches its device once or never, and its caller is told what the device said, or truly what has become of it. */
import type { MethodResult } from '../../src/core/methods/types.ts';
import type { World } from './world.ts';

/** The hub's clock and the caller's are the same; its answer takes the way back. */
const ANSWER_LATE_MS = 1000;

interface Asked {
  readonly deviceId: string;
  readonly endsAt: number;
  outcome: string | undefined;
  reached: number;
  answer: number | undefined;
}

export class MethodsChecker {
  readonly #world: World;
  readonly #asked = new Map<string, Asked>();

  constructor(world: World) {
    this.#world = world;
  }

  /** @param waitMs the sum of the times that the caller has set */
  asked(name: string, deviceId: string, waitMs: number): void {
    const endsAt = this.#world.scheduler.monotonic() + waitMs;
    this.#asked.set(name, { deviceId, endsAt, outcome: undefined, reached: 0, answer: undefined });
  }

  /** A device was given it, whatever connection it has. */
  reached(name: string, deviceId: string): void {
    const asked = this.#asked.get(name);
    this.#world.check(asked?.deviceId === deviceId, () => `${deviceId} was given ${name}, which is not for it`);
    if (asked === undefined) return;
    asked.reached++;
    this.#world.counters.methods++;
    this.#world.check(asked.reached === 1, () => `${deviceId} was given ${name} twice`);
    this.#world.check(asked.outcome !== 'DeviceNotOnline', () => {
      return `${deviceId} was given ${name}, whose caller was told that it was not there`;
    });
  }

  /** The device answers. */
  answers(name: string, status: number): void {
    const asked = this.#asked.get(name);
    if (asked !== undefined) asked.answer ??= status;
  }

  answered(name: string, { status, payload }: MethodResult): void {
    const asked = this.#end(name, 'answered');
    const says = JSON.stringify({ answers: name });
    this.#world.check(asked?.answer === status && payload === says, () => {
      return `the caller of ${name} was answered ${status} ${payload}, and the device said ${asked?.answer} ${says}`;
    });
  }

  /** @param code undefined = nobody knows what has become of it */
  refused(name: string, code: string | undefined): void {
    const asked = this.#end(name, code);
    this.#world.check(code !== 'DeviceNotOnline' || asked?.reached === 0, () => {
      return `the caller of ${name} was told that its device was not there, and it was given it`;
    });
  }

  #end(name: string, outcome: string | undefined): Asked | undefined {
    const asked = this.#asked.get(name);
    if (asked === undefined) return undefined;
    asked.outcome = outcome;
    const now = this.#world.scheduler.monotonic();
    this.#world.check(outcome === undefined || now <= asked.endsAt + ANSWER_LATE_MS, () => {
      return `the caller of ${name} was answered ${Math.round(now - asked.endsAt)} ms behind the end of its times`;
    });
    return asked;
  }
}
