/**
 * Connections of devices: nobody is connected twice; who is disabled or deleted is not let in, and is out within a second;
 * a session that was promised to be kept is kept; the registry tells the truth about who is connected.
 */
import type { WholeHub } from '../../src/core/hub.ts';
import type { Principal } from '../../src/core/identity/types.ts';
import type { DeviceCredential, Directory } from './directory.ts';
import type { World } from './world.ts';

const CUT_OFF_MS = 1000;

/** A device's place as a connection gives it: the connection itself, or its share of one that many devices have. */
export interface Place {
  /** The truth of the hub's side: it runs, and has the device there. */
  readonly isHeld: boolean;
  /** The hub may still answer. */
  readonly isOpen: boolean;
}

/** One attempt of a device to be let in. */
export interface Attempt {
  readonly deviceId: string;
  readonly connection: Place;
  readonly credential: DeviceCredential;
  /** Of the MQTT session; absent = the protocol has none. */
  readonly clean: boolean | undefined;
  readonly sentAt: number;
  /** When the last of its tokens ends, by the simulation's time. */
  endsAt: number;
  /** How far the clock had been set when that was said: a clock that is set moves the end. */
  jumpedMs: number;
  accepted: boolean;
  /** Another attempt of the device was on its way at the same time. */
  contested: boolean;
}

/** What the hub must have kept of a device's MQTT session; `unsure` when an attempt has had no answer. */
interface Kept {
  readonly generationId: string;
  readonly is: 'kept' | 'none' | 'unsure';
}

export class SessionsChecker {
  readonly #world: World;
  readonly #directory: Directory;
  readonly #attempts = new Map<string, Attempt[]>();
  readonly #kept = new Map<string, Kept>();

  constructor(world: World, directory: Directory) {
    this.#world = world;
    this.#directory = directory;
    this.#watch();
  }

  /** @param clean of the MQTT session; absent = the protocol has none */
  connecting(deviceId: string, connection: Place, credential: DeviceCredential, clean?: boolean): Attempt {
    const attempts = this.#live(deviceId);
    const sentAt = this.#world.scheduler.monotonic();
    const attempt: Attempt = {
      ...{ deviceId, connection, credential, clean, sentAt, accepted: false, contested: false },
      ...{ endsAt: Number.POSITIVE_INFINITY, jumpedMs: this.#world.jumpedMs },
    };
    for (const other of attempts) {
      if (other.accepted) continue;
      other.contested = true;
      attempt.contested = true;
    }
    this.#attempts.set(deviceId, [...attempts, attempt]);
    if (clean === undefined) return attempt;
    const kept = this.#kept.get(deviceId);
    if (kept !== undefined && (kept.is === 'kept') === clean) this.#kept.set(deviceId, { ...kept, is: 'unsure' });
    // The answer is held against what was known before this attempt.
    this.#before.set(attempt, kept);
    return attempt;
  }

  accepted(attempt: Attempt, sessionPresent = false): void {
    const { deviceId, credential, clean, sentAt } = attempt;
    const shutSince = this.#directory.shutSince(deviceId);
    this.#world.check(shutSince === undefined || shutSince > sentAt, () => {
      return `${deviceId} was let in, and is shut out since ${shutSince}`;
    });
    const newest = this.#directory.credentials(deviceId).at(-1);
    this.#world.check(
      newest === undefined || newest === credential || credential.isAny || newest.knownAt > sentAt,
      () => {
        return `${deviceId} was let in as its former generation ${credential.generationId}`;
      },
    );
    attempt.accepted = true;
    for (const other of this.#live(deviceId)) {
      const twice = other !== attempt && other.accepted && other.connection.isHeld && attempt.connection.isHeld;
      this.#world.check(!twice, () => `${deviceId} is connected twice`);
    }
    if (clean === undefined) return;
    this.#world.check(!(clean && sessionPresent), () => `${deviceId}: a clean session is said to be continued`);
    const before = this.#before.get(attempt);
    const { generationId } = credential;
    if (!clean && !attempt.contested && before?.generationId === generationId && before.is !== 'unsure') {
      this.#world.check(sessionPresent === (before.is === 'kept'), () => {
        return `${deviceId}: its session was ${before.is}, and the hub says ${sessionPresent}`;
      });
    }
    this.#kept.set(deviceId, { generationId, is: attempt.contested ? 'unsure' : clean ? 'none' : 'kept' });
  }

  /** All is at rest. */
  async verify(hub: WholeHub, owner: Principal): Promise<void> {
    let connected = 0;
    for (const id of this.#directory.ids) {
      const isHeld = this.#live(id).some(({ accepted, connection }) => accepted && connection.isHeld);
      if (isHeld) connected++;
      const view = await hub.registry.get(owner, { deviceId: id });
      this.#world.check(view.connected === isHeld, () => `${id}: connected is ${view.connected}, the truth ${isHeld}`);
    }
    const { connectedDeviceCount } = await hub.registry.statistics(owner);
    this.#world.check(connectedDeviceCount === connected, () => {
      return `${connectedDeviceCount} devices are said to be connected, and ${connected} are`;
    });
  }

  readonly #before = new WeakMap<Attempt, Kept | undefined>();

  /** Those that may still be held by the hub, or be answered. */
  #live(deviceId: string): Attempt[] {
    // One link of several may have ended while another is still to be answered: the place may yet be held again.
    // A member that is slow to hear of its own hub may take the place for a connection that its peer has long given up.
    const isLate = this.#world.plan.members > 0;
    const mayBe = ({ accepted, connection }: Attempt): boolean =>
      connection.isOpen || ((accepted || isLate) && connection.isHeld);
    const live = (this.#attempts.get(deviceId) ?? []).filter(mayBe);
    this.#attempts.set(deviceId, live);
    return live;
  }

  #watch(): void {
    this.#world.scheduler.after((CUT_OFF_MS / 4) * this.#world.patience, () => {
      const now = this.#world.scheduler.monotonic();
      for (const id of this.#directory.ids) {
        this.#checkTokens(id, now);
        const shutSince = this.#directory.shutSince(id);
        if (shutSince === undefined || shutSince + CUT_OFF_MS > now) continue;
        const isHeld = this.#live(id).some(({ accepted, connection }) => accepted && connection.isHeld);
        this.#world.check(!isHeld, () => `${id} is shut out since ${shutSince}, and still connected`);
      }
      this.#watch();
    });
  }

  #checkTokens(id: string, now: number): void {
    for (const { accepted, connection, endsAt, jumpedMs } of this.#live(id)) {
      const isOver = accepted && endsAt + CUT_OFF_MS < now && jumpedMs === this.#world.jumpedMs;
      this.#world.check(
        !isOver || !connection.isHeld,
        () => `${id} has no token since ${endsAt}, and is still connected`,
      );
    }
  }
}
