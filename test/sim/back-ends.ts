/** Back ends of the hub: they keep the registry, send commands, read receipts and events. */

import type { Settlement } from '../../src/core/commands/lifecycle.ts';
import type { ReceiptWish } from '../../src/core/commands/types.ts';
import { HubError } from '../../src/core/errors.ts';
import type { EventPosition } from '../../src/core/events/types.ts';
import type { IdentityDraft } from '../../src/core/identity/registry-room.ts';
import { owner } from '../drivers/owner.ts';
import type { RegistryChecker } from './check-registry.ts';
import type { Checkers } from './device.ts';
import type { Directory } from './directory.ts';
import { type HubHost, NoAnswer } from './hub-host.ts';
import { isOfCluster } from './kafka/refusals.ts';
import type { ServiceDoor } from './service-door.ts';
import type { World } from './world.ts';

const NOT_DONE: ReadonlySet<string> = new Set(['DeviceNotFound', 'DeviceAlreadyExists', 'PreconditionFailed']);
const READ_BYTES = 16 * 1024;

export interface Parts {
  readonly world: World;
  readonly host: HubHost;
  readonly directory: Directory;
  readonly checkers: Checkers;
  readonly registry: RegistryChecker;
  /** The way that the actor of this name takes to the hub. */
  doorOf(name: string): ServiceDoor;
}

/** The code of a refusal; undefined = nobody knows whether it has happened. */
export function refusalOf(world: World, error: unknown): string | undefined {
  // Whether the database has done it is not known.
  if (isOfCluster(error)) return undefined;
  // By HTTP, which does not say why.
  if (world.plan.cluster && error instanceof HubError && error.code === 'ServiceUnavailable') return undefined;
  if (error instanceof HubError) return error.code;
  const isFault = error instanceof NoAnswer || (error instanceof Error && error.message === 'disk I/O error');
  world.check(isFault, () => `a back end was answered ${error instanceof Error ? error.stack : error}`);
  return undefined;
}

/** Creates what is missing and, in calm times, mends what is disabled; in between, changes identities at random. */
export class Registrar {
  readonly #parts: Parts;
  readonly #name: string;
  readonly #dice;
  readonly #door: ServiceDoor;
  readonly #etags = new Map<string, string>();
  #tags = 0;

  constructor(parts: Parts, name: string) {
    this.#parts = parts;
    this.#name = name;
    this.#dice = parts.world.dice(name);
    this.#door = parts.doorOf(name);
  }

  async live(): Promise<void> {
    const { world, directory } = this.#parts;
    while (!world.over) {
      await world.scheduler.sleep(this.#dice.wait(700 * world.patience));
      const id = this.#dice.pick(directory.ids);
      if (world.calm) await this.#mend(id);
      else if (world.plan.identitiesChange) await this.#change(id);
      else if (directory.credentials(id).length === 0) await this.#put(id, 'create', undefined, 'enabled');
      else await this.#touch(id);
    }
  }

  async #change(id: string): Promise<void> {
    const kind = this.#dice.next();
    if (kind < 0.25) await this.#get(id);
    else if (kind < 0.5) await this.#put(id, 'create', undefined, 'enabled');
    else if (kind < 0.9)
      await this.#put(id, 'replace', this.#ifMatch(id), this.#dice.chance(0.7) ? 'enabled' : 'disabled');
    else await this.#delete(id, this.#ifMatch(id));
  }

  async #touch(id: string): Promise<void> {
    if (this.#dice.chance(0.5)) await this.#get(id);
    else await this.#put(id, 'replace', this.#ifMatch(id), 'enabled');
  }

  async #mend(id: string): Promise<void> {
    const status = await this.#get(id);
    if (status === 'missing') await this.#put(id, 'create', undefined, 'enabled');
    else if (status === 'disabled') await this.#put(id, 'replace', '*', 'enabled');
  }

  #ifMatch(id: string): string {
    return this.#dice.chance(0.25) ? '*' : (this.#etags.get(id) ?? '*');
  }

  async #get(id: string): Promise<'enabled' | 'disabled' | 'missing' | undefined> {
    const { world, directory, registry } = this.#parts;
    const call = registry.begin(id, { kind: 'get', tag: '', ifMatch: '' });
    try {
      const view = await this.#door.getIdentity(id);
      this.#etags.set(id, view.etag);
      directory.saw(id, view, call.invokedAt, false);
      registry.end(call, { ...view, kind: 'identity' });
      return view.status;
    } catch (error) {
      const code = refusalOf(world, error);
      registry.end(call, code === undefined ? { kind: 'unknown' } : { kind: 'refused', code });
      return code === 'DeviceNotFound' ? 'missing' : undefined;
    }
  }

  async #put(
    id: string,
    kind: 'create' | 'replace',
    ifMatch: string | undefined,
    status: 'enabled' | 'disabled',
  ): Promise<void> {
    const { world, directory, registry } = this.#parts;
    const tag = `${this.#name}.${this.#tags++}`;
    const draft: IdentityDraft = { deviceId: id, status, statusReason: tag };
    const call = registry.begin(id, { kind, tag, ifMatch: ifMatch ?? '' });
    const write = directory.writeBegins(id);
    let shut: boolean | undefined;
    try {
      const view = await this.#door.putIdentity(draft, ifMatch);
      this.#etags.set(id, view.etag);
      directory.saw(id, view, call.invokedAt, kind === 'create');
      registry.end(call, { ...view, kind: 'identity' });
      shut = status === 'disabled';
      world.trace(this.#name, `${kind} ${id} ${status}`);
    } catch (error) {
      const code = refusalOf(world, error);
      registry.end(call, code === undefined ? { kind: 'unknown' } : { kind: 'refused', code });
      world.check(code === undefined || NOT_DONE.has(code), () => `${kind} of ${id} was refused with ${code}`);
    }
    directory.writeEnds(id, write, shut);
  }

  async #delete(id: string, ifMatch: string): Promise<void> {
    const { world, directory, registry } = this.#parts;
    const call = registry.begin(id, { kind: 'delete', tag: '', ifMatch });
    const write = directory.writeBegins(id);
    let shut: boolean | undefined;
    try {
      await this.#door.deleteIdentity(id, ifMatch);
      registry.end(call, { kind: 'deleted' });
      shut = true;
      directory.deletionMayHaveHappened(id);
      world.trace(this.#name, `delete ${id}`);
    } catch (error) {
      const code = refusalOf(world, error);
      registry.end(call, code === undefined ? { kind: 'unknown' } : { kind: 'refused', code });
      if (code === undefined) directory.deletionMayHaveHappened(id);
    }
    directory.writeEnds(id, write, shut);
  }
}

/** Sends commands, short-lived and long-lived, and purges. */
export async function sendCommands(parts: Parts, name: string): Promise<void> {
  const { world, directory, checkers } = parts;
  const dice = world.dice(name);
  const door = parts.doorOf(name);
  for (let count = 0; !world.calm; ) {
    await world.scheduler.sleep(dice.wait(500));
    const deviceId = dice.pick(directory.ids);
    if (world.plan.purges && dice.chance(0.03)) {
      checkers.commands.purging(deviceId);
      await door
        .purge(deviceId)
        .then(() => checkers.commands.purged(deviceId))
        .catch((error) => refusalOf(world, error));
      continue;
    }
    const messageId = `${name}.${count++}`;
    const ack = dice.pick<ReceiptWish>(['none', 'positive', 'negative', 'full', 'full']);
    const life = dice.pick([undefined, undefined, 2000, 10_000, 60_000]);
    const expiry = life === undefined ? {} : { expiry: world.scheduler.now() + dice.between(life / 2, life) };
    checkers.commands.offered(messageId, deviceId, ack);
    const message = { messageId, ack, ...expiry, properties: [], body: Buffer.from(messageId) };
    try {
      const sequence = await door.sendCommand(deviceId, message);
      checkers.commands.accepted(messageId, sequence);
      world.trace(name, `sent ${messageId} to ${deviceId} (${sequence})`);
    } catch (error) {
      if (refusalOf(world, error) !== undefined) checkers.commands.refused(messageId);
    }
  }
}

/** Reads receipts; gives some back, and forgets some. */
export async function readReceipts(parts: Parts): Promise<void> {
  const { world, checkers } = parts;
  const dice = world.dice('receipts');
  const door = parts.doorOf('receipts');
  while (!world.over) {
    await world.scheduler.sleep(dice.wait(2000 * Math.min(6, world.patience)));
    await door
      .readReceipts(
        (receipts) => {
          checkers.commands.receipts(receipts);
          const kind = world.calm ? 0 : dice.next();
          if (kind >= 0.8) return undefined;
          const settlement = kind < 0.6 ? 'complete' : 'abandon';
          if (settlement === 'complete') checkers.commands.receiptsReading(receipts);
          return settlement;
        },
        (receipts, settlement) => {
          if (settlement === 'complete') checkers.commands.receiptsRead(receipts);
        },
      )
      .catch((error) => refusalOf(world, error));
  }
}

/** A device that fetches single commands without a connection, and says at once or late what becomes of them. */
export async function fetchCommands(parts: Parts): Promise<void> {
  const { world, directory, checkers } = parts;
  const dice = world.dice('fetching');
  const door = parts.doorOf('fetching');
  while (!world.calm) {
    await world.scheduler.sleep(dice.wait(2000));
    const deviceId = dice.pick(directory.ids);
    const credential = directory.credentials(deviceId).at(-1);
    if (credential === undefined) continue;
    const settlement = dice.pick<Settlement>(['complete', 'complete', 'reject', 'abandon']);
    const thinkMs = dice.wait(dice.chance(0.1) ? 60_000 : 200);
    await door
      .fetchCommand(
        deviceId,
        credential,
        async ({ messageId, again }) => {
          checkers.commands.delivered(deviceId, credential, messageId, 1, again);
          await world.scheduler.sleep(thinkMs);
          checkers.commands.settling(messageId, settlement);
          return settlement;
        },
        ({ messageId }) => checkers.commands.settled(messageId, settlement),
      )
      .catch((error) => refusalOf(world, error));
  }
}

/** Reads events from a position on, follows for a while, and begins again somewhere else. */
export async function readEvents({ world, host, checkers }: Parts, name: string): Promise<void> {
  const dice = world.dice(name);
  while (!world.over) {
    await world.scheduler.sleep(dice.wait(1000 * world.patience));
    const partition = dice.between(0, world.plan.partitions - 1);
    const reads = dice.between(1, 30);
    await host
      .call(async (hub) => {
        const place = { eventHub: 'mooring', consumerGroup: '$Default', partition: String(partition) };
        const { log } = await hub.events.openReader(owner, place);
        const { firstSequence, lastSequence } = await log.partition(partition);
        const sequence = dice.between(firstSequence, Math.max(firstSequence, lastSequence));
        const position = dice.pick<EventPosition>([
          { kind: 'start' },
          { kind: 'end' },
          { kind: 'sequence', sequence, inclusive: dice.chance(0.5) },
          { kind: 'time', time: world.logNow - dice.between(0, 20_000), inclusive: true },
        ]);
        let from = await log.seek(partition, position);
        for (let read = 0; read < reads; read++) {
          const runs = await log.read(partition, from, READ_BYTES);
          checkers.events.seen(partition, runs);
          const last = runs.at(-1);
          if (last === undefined) await world.scheduler.sleep(dice.wait(200));
          else from = last.firstSequence + last.count;
        }
      })
      .catch((error) => {
        const isFault = error instanceof Error && 'code' in error && error.code === 'EIO';
        if (!isFault) refusalOf(world, error);
      });
  }
}
