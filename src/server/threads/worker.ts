/**
 * A listener thread: opens doors on ports that all listener threads share, over a hub that lives in the main thread.
 * Started by `threads.ts`, and talks to it only.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../base/assert.ts';
import { systemClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { systemRandom } from '../../base/random.ts';
import { work } from '../../base/work.ts';
import { DeliveryTurns } from '../../protocols/amqp/back-ends/delivery-turns.ts';
import { openAmqpDoor } from '../../protocols/amqp/server.ts';
import { openMqttDoor } from '../../protocols/mqtt/server.ts';
import { ConnectionGate, type ConnectionLimits } from '../../protocols/shared/connection-gate.ts';
import type { Door } from '../../protocols/shared/door.ts';
import type { HandshakeFailure } from '../../protocols/shared/handshake-failure.ts';
import { countFailures } from '../observe/metrics.ts';
import { openThreadLink } from './calls.ts';
import type { HubStart } from './hub-host.ts';
import { hubStandIn } from './hub-stand-in.ts';
import { type LogStart, logStandIn } from './log.ts';
import { type SentTls, tlsStandIn } from './tls.ts';

/** A door that every listener thread opens. */
export interface DoorSpec {
  readonly protocol: 'mqtt' | 'amqp';
  /** The setting's name. */
  readonly name: string;
  readonly port: number;
  readonly addresses: readonly string[];
  readonly isTls: boolean;
  /** Of all doors of one thread together; absent = none. */
  readonly bounds?: ConnectionLimits;
  /** See `AmqpDoorOptions`. */
  readonly redirectPort?: number;
}

export interface ThreadStart {
  /** How many listener threads there are. */
  readonly threads: number;
  readonly hub: HubStart;
  readonly tls: SentTls;
  readonly log: LogStart;
}

/** What the main thread asks of a listener thread. */
export interface ThreadCalls {
  /** Answers when the thread runs. */
  hello(): Promise<void>;
  open(spec: DoorSpec): Promise<void>;
  stopAccepting(name: string): Promise<void>;
  drain(name: string, withinMs: number | undefined): Promise<void>;
  /** Answers when the main thread has heard of the connections of every door. */
  count(): Promise<void>;
  /** Answers when everything that was taken is durable or refused; then the thread ends by itself. */
  end(): Promise<void>;
}

assert(parentPort !== null, 'this file is the start of a listener thread');
const port = parentPort;
const start = workerData as ThreadStart;
const link = openThreadLink(port);
const log = logStandIn(link, start.log);
const clock = systemClock;
const tls = tlsStandIn(link, start.tls);
const { hub: uncounted, settled } = hubStandIn(link, start.hub, {
  clock,
  random: systemRandom,
  log,
  threads: start.threads,
});
const hub = {
  ...uncounted,
  authentication: countFailures(uncounted.authentication, {
    authenticationFailed: (check) => link.tell('authenticationFailed', check),
  }),
};
let gate: ConnectionGate | undefined;
const turns = new DeliveryTurns(clock);
const doors = new Map<string, Door>();
const opened = new Set<string>();
const told = new Map<string, number>();
let toldDelivered = 0;

function tellConnections(): void {
  for (const [name, door] of doors) {
    const count = door.connections();
    if (count === (told.get(name) ?? 0)) continue;
    told.set(name, count);
    link.tell('connections', [name, count]);
  }
  if (work.eventsDelivered === toldDelivered) return;
  link.tell('delivered', work.eventsDelivered - toldDelivered);
  toldDelivered = work.eventsDelivered;
}

link.serve('thread', {
  hello: async () => {},
  async open({ protocol, isTls, bounds, ...options }) {
    // A thread that starts while a door is opened on all is asked twice.
    if (opened.has(options.name)) return;
    opened.add(options.name);
    if (bounds !== undefined) gate ??= new ConnectionGate(bounds, clock, log);
    const failed = (failure: HandshakeFailure): void => link.tell('handshakeFailed', failure);
    const shared = { ...options, gate, failed, ...(isTls && { tls }), reusePort: true };
    const door = protocol === 'mqtt' ? await openMqttDoor(hub, shared) : await openAmqpDoor(hub, { ...shared, turns });
    doors.set(options.name, door);
  },
  async stopAccepting(name) {
    await doors.get(name)?.stopAccepting();
  },
  async drain(name, withinMs) {
    const counting = setInterval(tellConnections, limits.threadCountsMs);
    await doors.get(name)?.drain(withinMs);
    clearInterval(counting);
    tellConnections();
  },
  count: async () => tellConnections(),
  async end() {
    await settled();
    // The answer leaves before the port closes.
    setImmediate(() => port.close());
  },
} satisfies ThreadCalls);
