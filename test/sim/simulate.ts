/** One simulation: a plan in, what was found out. See `docs/reliability.md`. */

import type { WholeHub } from '../../src/core/hub.ts';
import type { TwinView } from '../../src/core/twins/room.ts';
import { owner } from '../drivers/owner.ts';
import { AmqpBackEnd } from './amqp-back-end.ts';
import { AmqpGateway } from './amqp-gateway.ts';
import { AmqpReader } from './amqp-readers.ts';
import { fetchCommands, type Parts, Registrar, readEvents, readReceipts, sendCommands } from './back-ends.ts';
import { type Canary, none } from './canary.ts';
import { CommandsChecker } from './check-commands.ts';
import { EventsChecker } from './check-events.ts';
import { MethodsChecker } from './check-methods.ts';
import { ReadersChecker } from './check-readers.ts';
import { RegistryChecker } from './check-registry.ts';
import { SessionsChecker } from './check-sessions.ts';
import { TwinsChecker } from './check-twins.ts';
import { Device } from './device.ts';
import { Directory } from './directory.ts';
import { HttpDevices } from './http-devices.ts';
import { httpServiceDoor } from './http-service-door.ts';
import { HubHost } from './hub-host.ts';
import { isOfCluster } from './kafka/refusals.ts';
import { failPower, fillDisk, keepRunning, setClock, stopHub } from './operator.ts';
import type { Plan } from './plan.ts';
import { waistDoor } from './service-door.ts';
import { changeTwins, invoke, invokeMethods } from './twin-back-ends.ts';
import { type Counters, World } from './world.ts';

/** By then everything has come to rest, or never will: locks, lives of commands (an hour) and keep alives are over. */
const REST_MS_MAX = 75 * 60_000;

/** More than any simulation may take. */
const ELAPSED_MS_MAX = 7 * 86_400_000;

export interface Outcome {
  readonly plan: Plan;
  /** Undefined: every promise was kept. */
  readonly finding: Error | undefined;
  readonly counters: Counters;
  readonly traceHash: string;
  readonly lastLines: readonly string[];
}

export async function simulate(plan: Plan, options: { canary?: Canary; print?: boolean } = {}): Promise<Outcome> {
  const world = new World(plan, options.print);
  const host = new HubHost(world, options.canary ?? none);
  const directory = new Directory(world);
  const checkers = {
    events: new EventsChecker(world),
    commands: new CommandsChecker(world, directory),
    sessions: new SessionsChecker(world, directory),
    twins: new TwinsChecker(world, directory),
    methods: new MethodsChecker(world),
  };
  host.handedOver = (commands) => checkers.commands.handedOver(commands);
  const registry = new RegistryChecker(world);
  const doorOf: Parts['doorOf'] = (name) => {
    const isHttp = world.dice(`${name}'s way`).chance(plan.httpShare);
    return isHttp ? httpServiceDoor(world, host, name) : waistDoor(world, host);
  };
  const parts: Parts = { world, host, directory, checkers, registry, doorOf };
  const overMqtt = directory.ids.slice(0, plan.devices);
  const devices = overMqtt.map((id) => new Device(id, world, host, directory, checkers));

  const verifyEvents = async (): Promise<void> => {
    const { running } = host;
    if (running === undefined) return;
    await checkers.events.verify(running.hub.events.eventHub('mooring') ?? running.eventLog).catch((error) => {
      // The disk may refuse to be read while it is at it.
      if (!isOfCluster(error) && error.code !== 'EIO' && error.code !== 'EBADF') throw error;
    });
  };
  world.act('operator', () => keepRunning(world, host, async () => world.act('verify', verifyEvents)));
  world.act('power', () => failPower(world, host));
  world.act('stop', () => stopHub(world, host));
  world.act('full disk', () => fillDisk(world, host));
  world.act('clock', () => setClock(world));
  for (let nth = 0; nth < plan.registrars; nth++) {
    const name = `registrar${nth}`;
    world.act(name, () => new Registrar(parts, name).live());
  }
  for (let nth = 0; nth < plan.senders; nth++) world.act(`sender${nth}`, () => sendCommands(parts, `sender${nth}`));
  for (let nth = 0; nth < plan.readers; nth++) world.act(`reader${nth}`, () => readEvents(parts, `reader${nth}`));
  world.act('receipts', () => readReceipts(parts));
  world.act('fetching', () => fetchCommands(parts));
  for (const device of devices) world.act(device.id, () => device.live());
  for (let nth = 0; nth < plan.twinBackEnds; nth++) {
    world.act(`twins${nth}`, () => changeTwins(parts, `twins${nth}`));
    world.act(`methods${nth}`, () => invokeMethods(parts, `methods${nth}`));
  }
  if (plan.twinBackEnds > 0) for (const device of devices) world.act(`${device.id}'s twin`, () => device.liveTwin());
  const gateways = gatewaysOf(parts, overMqtt);
  for (const gateway of gateways) world.act(gateway.name, () => gateway.live());
  const readers = new ReadersChecker(world, checkers.events, host.delivered);
  for (let nth = 0; nth < plan.amqpReaders; nth++) {
    const name = `reader by AMQP ${nth}`;
    world.act(name, () => new AmqpReader(parts, readers, name).live());
  }
  for (let nth = 0; nth < plan.amqpBackEnds; nth++) {
    const name = `backend${nth}`;
    world.act(name, () => new AmqpBackEnd(parts, name).live());
  }
  const httpDevices = new HttpDevices(parts);
  if (plan.httpShare > 0) world.act('telemetry by HTTP', () => httpDevices.live());
  const busy = (): string | undefined => {
    const device = devices.find(({ left }) => left !== undefined);
    if (device !== undefined) return `${device.id} ${device.left}`;
    const gateway = gateways.find(({ isDone }) => !isDone);
    if (gateway !== undefined) return `${gateway.name} is not done`;
    return httpDevices.isDone ? undefined : 'telemetry by HTTP is not answered';
  };
  world.act('end', () => end(parts, [...devices, ...gateways], busy));

  try {
    await world.scheduler.run(() => world.over || world.finding !== undefined, plan.activeMs + ELAPSED_MS_MAX);
  } catch (error) {
    world.finding ??= error instanceof Error ? error : new Error(String(error));
  }
  world.over = true;
  const outcome = {
    plan,
    finding: world.finding,
    counters: world.counters,
    traceHash: world.traceHash(),
    lastLines: world.lastLines,
  };
  host.discard();
  return outcome;
}

/** Each takes every so-manieth of the devices that speak AMQP, and visits those that do not. */
function gatewaysOf(parts: Parts, elsewhere: readonly string[]): readonly AmqpGateway[] {
  const { plan } = parts.world;
  const ids = parts.directory.ids.slice(plan.devices);
  const count = Math.min(plan.gateways, ids.length);
  return Array.from({ length: count }, (_, nth) => {
    const own = ids.filter((_id, at) => at % count === nth);
    return new AmqpGateway(parts, `gateway${nth}`, own, elsewhere);
  });
}

/** Ends the faults, waits until all is at rest, and compares. */
async function end(
  parts: Parts,
  devices: readonly { settle(): void }[],
  busy: () => string | undefined,
): Promise<void> {
  const { world, host, checkers } = parts;
  await world.scheduler.sleep(world.plan.activeMs);
  world.trace('end', 'faults end');
  world.calm = true;
  world.calmSince = world.scheduler.monotonic();
  host.disk.capacityBytes = Number.POSITIVE_INFINITY;
  // A lock is a wall clock's time: one that was set back makes it last.
  const deadline = world.scheduler.monotonic() + REST_MS_MAX + world.jumpedMs;
  for (;;) {
    await world.scheduler.sleep(5000 * Math.min(6, world.patience));
    const left = await unfinished(parts, busy);
    if (left === undefined) break;
    if (world.scheduler.monotonic() > deadline) {
      world.find(`all is calm, and ${left}`);
      return;
    }
  }
  if (world.plan.twinBackEnds > 0) await invokeAll(parts);
  for (const device of devices) device.settle();
  await world.scheduler.sleep(150_000);
  const { running } = host;
  if (running === undefined) {
    world.find('all is calm, and the hub does not run');
    return;
  }
  await checkers.events.verify(running.hub.events.eventHub('mooring') ?? running.eventLog);
  host.delivered.verify(checkers.events);
  await checkers.commands.verify(running.hub, owner);
  await checkers.sessions.verify(running.hub, owner);
  parts.registry.verify();
  if (world.plan.twinBackEnds > 0) await verifyTwins(parts, running.hub);
  const [error] = host.errors.filter((line) => !expected(line));
  world.check(error === undefined, () => `the hub's log has an error: ${error}`);
  world.over = true;
}

/** Who is connected and listens answers. */
async function invokeAll(parts: Parts): Promise<void> {
  const { world, directory } = parts;
  for (const id of directory.ids.slice(0, world.plan.devices)) {
    const outcome = await invoke(parts, `last.${id}`, id, 20_000);
    world.check(outcome === 'answered', () => `all is calm, and a method of ${id} ended with ${outcome}`);
  }
}

async function verifyTwins({ directory, checkers }: Parts, hub: WholeHub): Promise<void> {
  const views = new Map<string, TwinView>();
  for (const deviceId of directory.ids) {
    const view = await hub.twins.get(owner, { deviceId }).catch(() => undefined);
    if (view !== undefined) views.set(deviceId, view);
  }
  checkers.twins.verify(checkers.events.twinEvents, views);
}

/** What is still to be done, if anything. */
async function unfinished({ host, directory }: Parts, busy: () => string | undefined): Promise<string | undefined> {
  const { running } = host;
  if (running === undefined) return 'the hub does not run';
  if (!running.eventLog.health().ok) return 'the event log does not take records';
  const still = busy();
  if (still !== undefined) return still;
  const depths = await running.hub.commands.depths(directory.ids.map((deviceId) => ({ deviceId })));
  const waits = depths.findIndex((depth) => depth > 0);
  if (waits >= 0) return `${depths[waits]} commands wait for d${waits}`;
  if ((await host.tables.twins.events(1)).length > 0) return 'events of twins wait';
  const undelivered = running.delivery?.waits();
  if (undelivered !== undefined) return undelivered;
  const { receipts } = await running.hub.commands.totals();
  return receipts === 0 ? undefined : `${receipts} receipts wait`;
}

/** Faults that were injected are to be told by the log. */
function expected(line: string): boolean {
  return /disk I\/O error|EIO|ENOSPC|EBADF|cannot store or serve at the moment|a batch|batches of events|Kafka|broker|Connection terminated|EventLogUnavailable/.test(
    line,
  );
}
