/** Back ends that change twins and invoke methods. */
import type { JsonObject, TwinChange } from '../../src/core/twins/types.ts';
import { owner } from '../drivers/owner.ts';
import { type Parts, refusalOf } from './back-ends.ts';
import type { Dice } from './world.ts';

/** Merges, replaces and clears; some only if the twin is as it was read. */
export async function changeTwins(parts: Parts, name: string): Promise<void> {
  const { world, host, directory, checkers } = parts;
  const dice = world.dice(name);
  const read = new Map<string, number>();
  for (let count = 0; !world.calm; count++) {
    await world.scheduler.sleep(dice.wait(400));
    const deviceId = dice.pick(directory.ids);
    const change = nextChange(dice, `${name}.${count}`, count);
    const changes = dice.chance(0.3) ? read.get(deviceId) : undefined;
    const ifMatch = changes === undefined ? '*' : etagOf(changes);
    const changing = checkers.twins.begins(`${name}.${count}`, deviceId, changes === undefined ? '*' : String(changes));
    try {
      const view = await host.call((hub) => hub.twins.change(owner, { deviceId }, change, ifMatch));
      read.set(deviceId, view.twin.changes);
      checkers.twins.changed(changing, change, view);
      world.trace(name, `${change.kind} of ${deviceId}: version ${view.twin.desired.version}`);
    } catch (error) {
      const code = refusalOf(world, error);
      // The device may have been deleted behind the change, and before it could be shown.
      if (code === undefined || code === 'DeviceNotFound') continue;
      checkers.twins.refused(changing);
      read.delete(deviceId);
    }
  }
}

function nextChange(dice: Dice, by: string, count: number): TwinChange {
  const desired: JsonObject = { by, [`k${count % 4}`]: dice.pick([count, null, { in: count }]) };
  const kind = dice.next();
  if (kind < 0.6) return { kind: 'merge', desired };
  if (kind < 0.7) return { kind: 'merge', tags: { by } };
  if (kind < 0.8) return { kind: 'merge', tags: { by }, desired };
  if (kind < 0.9) return { kind: 'merge', tags: { by }, desired: null };
  return { kind: 'replace', tags: { by }, desired: { by, all: count } };
}

function etagOf(changes: number): string {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32BE(changes, 4);
  return bytes.toString('base64');
}

const RESPONSE_MS = 5000;

export async function invokeMethods(parts: Parts, name: string): Promise<void> {
  const { world, directory } = parts;
  const dice = world.dice(name);
  for (let count = 0; !world.calm; count++) {
    await world.scheduler.sleep(dice.wait(500));
    const deviceId = dice.pick(directory.ids);
    const connectMs = dice.pick([0, 0, 3000, 20_000]);
    // Callers do not wait for each other.
    world.act(`${name}.${count}`, async () => {
      await invoke(parts, `${name}.${count}`, deviceId, connectMs);
    });
  }
}

/** Resolves with what became of it: `answered`, a code, or undefined where nobody knows. */
export async function invoke(
  { world, host, checkers }: Parts,
  name: string,
  deviceId: string,
  connectMs: number,
): Promise<string | undefined> {
  const request = { name: 'ask', payload: JSON.stringify({ call: name }), responseMs: RESPONSE_MS, connectMs };
  checkers.methods.asked(name, deviceId, connectMs + RESPONSE_MS);
  try {
    const result = await host.call((hub) =>
      hub.methods.invoke(owner, { deviceId }, request, new AbortController().signal),
    );
    checkers.methods.answered(name, result);
    return 'answered';
  } catch (error) {
    const code = refusalOf(world, error);
    world.trace(name, `of ${deviceId} ends: ${code}`);
    checkers.methods.refused(name, code);
    return code;
  }
}
