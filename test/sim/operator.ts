/** What happens to the machine: power failures, stops, a full disk, a clock that is set. */
import type { HubHost } from './hub-host.ts';
import type { World } from './world.ts';

const HOUR_MS = 3_600_000;

/** Keeps the hub running: starts it again whenever it is down. */
export async function keepRunning(world: World, host: HubHost, started: () => Promise<void>): Promise<void> {
  while (!world.over) {
    if (host.running === undefined && !host.stopping) {
      const running = await host.start();
      if (running !== undefined) await started();
    }
    await world.scheduler.sleep(1000);
  }
}

export async function failPower(world: World, host: HubHost): Promise<void> {
  await nowAndThen(world, 'power', world.plan.crashEveryMs, async () => {
    world.counters.crashes++;
    host.kill();
  });
}

export async function stopHub(world: World, host: HubHost): Promise<void> {
  await nowAndThen(world, 'stop', world.plan.stopEveryMs, async () => {
    if (host.running === undefined) return;
    world.counters.stops++;
    await host.stop();
  });
}

export async function fillDisk(world: World, { disk }: HubHost): Promise<void> {
  const dice = world.dice('full disk');
  await nowAndThen(world, 'filling', world.plan.diskFullEveryMs, async () => {
    world.counters.fullDisks++;
    disk.capacityBytes = disk.usedBytes + dice.between(0, 5000);
    world.trace('disk', 'is full');
    await world.scheduler.sleep(dice.wait(5000));
    disk.capacityBytes = Number.POSITIVE_INFINITY;
    world.trace('disk', 'has room');
  });
}

export async function setClock(world: World): Promise<void> {
  const dice = world.dice('clock');
  await nowAndThen(world, 'clock', world.plan.clockJumpEveryMs, async () => {
    const most = dice.pick([1000, 60_000, 2 * HOUR_MS]);
    const byMs = dice.between(-most, most);
    world.counters.clockJumps++;
    world.trace('clock', `jumps by ${byMs} ms`);
    world.jump(byMs);
  });
}

async function nowAndThen(world: World, name: string, meanMs: number, work: () => Promise<void>): Promise<void> {
  if (meanMs === 0) return;
  const dice = world.dice(`times of ${name}`);
  for (;;) {
    await world.scheduler.sleep(dice.wait(meanMs));
    if (world.calm) return;
    await work();
  }
}
