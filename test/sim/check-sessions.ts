/**
 * Connections of devices: nobody is connected twice; who is disabled or deleted is not let in, and is out within a second;
 * a session that was promised to be kept is kept; the registry tells the truth about who is connected.
 */
import type { Hub } from '../../src/core/hub.ts';
import type { Principal } from '../../src/core/identity/types.ts';
import type { DeviceCredential, Directory } from './directory.ts';
import type { Connection } from './network.ts';
import type { World } from './world.ts';

const CUT_OFF_MS = 1000;

/** One CONNECT of a device. */
export interface Attempt {
  readonly deviceId: string;
  readonly connection: Connection;
  readonly credential: DeviceCredential;
  readonly clean: boolean;
  readonly sentAt: number;
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

  connecting(deviceId: string, connection: Connection, credential: DeviceCredential, clean: boolean): Attempt {
    const attempts = this.#live(deviceId);
    const sentAt = this.#world.scheduler.monotonic();
    const attempt: Attempt = { deviceId, connection, credential, clean, sentAt, accepted: false, contested: false };
    for (const other of attempts) {
      if (other.accepted) continue;
      other.contested = true;
      attempt.contested = true;
    }
    const kept = this.#kept.get(deviceId);
    if (kept !== undefined && (kept.is === 'kept') === clean) this.#kept.set(deviceId, { ...kept, is: 'unsure' });
    // The answer is held against what was known before this attempt.
    this.#before.set(attempt, kept);
    this.#attempts.set(deviceId, [...attempts, attempt]);
    return attempt;
  }

  accepted(attempt: Attempt, sessionPresent: boolean): void {
    const { deviceId, credential, clean, sentAt } = attempt;
    const shutSince = this.#directory.shutSince(deviceId);
    this.#world.check(shutSince === undefined || shutSince > sentAt, () => {
      return `${deviceId} was let in, and is shut out since ${shutSince}`;
    });
    const newest = this.#directory.credentials(deviceId).at(-1);
    this.#world.check(newest === undefined || newest === credential || newest.knownAt > sentAt, () => {
      return `${deviceId} was let in as its former generation ${credential.generationId}`;
    });
    attempt.accepted = true;
    for (const other of this.#live(deviceId)) {
      const twice = other !== attempt && other.accepted && other.connection.isHeld && attempt.connection.isHeld;
      this.#world.check(!twice, () => `${deviceId} is connected twice`);
    }
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
  async verify(hub: Hub, owner: Principal): Promise<void> {
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
    const live = (this.#attempts.get(deviceId) ?? []).filter(({ accepted, connection }) =>
      accepted ? connection.isHeld : connection.isOpen,
    );
    this.#attempts.set(deviceId, live);
    return live;
  }

  #watch(): void {
    this.#world.scheduler.after((CUT_OFF_MS / 4) * this.#world.patience, () => {
      const now = this.#world.scheduler.monotonic();
      for (const id of this.#directory.ids) {
        const shutSince = this.#directory.shutSince(id);
        if (shutSince === undefined || shutSince + CUT_OFF_MS > now) continue;
        const isHeld = this.#live(id).some(({ accepted, connection }) => accepted && connection.isHeld);
        this.#world.check(!isHeld, () => `${id} is shut out since ${shutSince}, and still connected`);
      }
      this.#watch();
    });
  }
}
