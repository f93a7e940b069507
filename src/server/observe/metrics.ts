/**
 * Metrics in Prometheus' form. What the hub counts anyway (connections, commands) is read when a page is
 * asked for, so that the hot path pays nothing for it; the rest is told to the small face below, once per failure.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Clock } from '../../base/clock.ts';
import type { CommandTotals } from '../../core/commands/ports.ts';
import type { CommandKeeping } from '../../core/commands/room.ts';
import { HubError } from '../../core/errors.ts';
import type { OwnHubState } from '../../core/hub-state.ts';
import type { Authentication } from '../../core/identity/authentication.ts';
import type { Presence } from '../../core/presence/ports.ts';
import type { TwinEventPublisher } from '../../core/twins/publishing.ts';
import type { ConnectionGate } from '../../protocols/shared/connection-gate.ts';
import type { HandshakeFailure } from '../../protocols/shared/handshake-failure.ts';

/** What parts of the server tell. Times in seconds, as Prometheus wants them. */
export interface Metrics {
  /** For what other parts of the server measure. */
  readonly registry: Registry;
  /** The page that Prometheus scrapes. */
  page(): Promise<{ readonly contentType: string; readonly text: string }>;
  /** Open connections of a door. */
  watchDoor(name: string, connections: () => Promise<number>): void;
  /** What strangers do to the ports of this thread. */
  watchConnections(gate: Pick<ConnectionGate, 'counts'>): void;
  /** Events that were written to readers since the start, of all threads. */
  watchDelivered(count: () => Promise<number>): void;
  watchPresence(presence: Presence): void;
  watchCommands(commands: Pick<CommandKeeping, 'totals'>, clock: Clock): void;
  watchTwins(totals: OwnHubState['totals'], events: Pick<TwinEventPublisher, 'published'>): void;
  /** An authentication that was refused, by the check that failed. */
  authenticationFailed(check: string): void;
  /** A TLS handshake that came to nothing. */
  handshakeFailed(failure: Pick<HandshakeFailure, 'port' | 'reason'>): void;
}

export function openMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const failures = new Counter({
    name: 'mooring_authentication_failures_total',
    help: 'Refused authentications by the check that failed',
    labelNames: ['check'],
    registers,
  });
  const handshakes = new Counter({
    name: 'mooring_tls_handshakes_failed_total',
    help: 'TLS handshakes that came to nothing, by port and reason',
    labelNames: ['port', 'reason'],
    registers,
  });
  const doors = watchedDoors(registers);
  return {
    registry,
    page: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
    watchDoor: (name, connections) => void doors.set(name, connections),
    watchConnections: (gate) => watchConnections(registers, gate),
    watchDelivered: (count) => watchDelivered(registers, count),
    watchPresence: (presence) => watchPresence(registers, presence),
    watchCommands: (commands, clock) => watchCommands(registers, commands, clock),
    watchTwins: (totals, events) => watchTwins(registers, totals, events),
    authenticationFailed: (check) => failures.inc({ check }),
    handshakeFailed: ({ port, reason }) => handshakes.inc({ port, reason }),
  };
}

function watchedDoors(registers: Registry[]): Map<string, () => Promise<number>> {
  const doors = new Map<string, () => Promise<number>>();
  new Gauge({
    name: 'mooring_connections',
    help: 'Open connections',
    labelNames: ['door'],
    registers,
    async collect() {
      for (const [door, connections] of doors) this.set({ door }, await connections());
    },
  });
  return doors;
}

function watchConnections(registers: Registry[], gate: Pick<ConnectionGate, 'counts'>): void {
  new Gauge({
    name: 'mooring_connections_unproved',
    help: 'Connections of the main thread on which no client has proved yet who it is',
    registers,
    collect() {
      this.set(gate.counts().unproved);
    },
  });
  new Gauge({
    name: 'mooring_connections_turned_away',
    help: 'Connections that the main thread has closed since the start, because there were too many',
    labelNames: ['how'],
    registers,
    collect() {
      const { refused, displaced } = gate.counts();
      this.set({ how: 'refused' }, refused);
      this.set({ how: 'displaced' }, displaced);
    },
  });
}

function watchDelivered(registers: Registry[], count: () => Promise<number>): void {
  new Counter({
    name: 'mooring_events_delivered_total',
    help: 'Events written to readers over AMQP since the start, each as often as it was read',
    registers,
    async collect() {
      const delivered = await count();
      this.reset();
      this.inc(delivered);
    },
  });
}

function watchPresence(registers: Registry[], presence: Presence): void {
  new Gauge({
    name: 'mooring_devices_connected',
    help: 'Devices (not modules) that are connected',
    registers,
    async collect() {
      this.set(await presence.connectedDevices());
    },
  });
}

function watchCommands(registers: Registry[], commands: Pick<CommandKeeping, 'totals'>, clock: Clock): void {
  // All of one page come from one look into the store; a store that does not answer leaves them out.
  let looking: Promise<CommandTotals | undefined> | undefined;
  const totals = (): Promise<CommandTotals | undefined> => {
    looking ??= commands
      .totals()
      .catch(() => undefined)
      .finally(() => {
        looking = undefined;
      });
    return looking;
  };
  new Gauge({
    name: 'mooring_commands',
    help: 'Commands that wait for their device or are locked by it',
    labelNames: ['state'],
    registers,
    async collect() {
      const found = await totals();
      this.reset();
      if (found === undefined) return;
      this.set({ state: 'waiting' }, found.waiting);
      this.set({ state: 'locked' }, found.locked);
    },
  });
  new Gauge({
    name: 'mooring_command_oldest_seconds',
    help: 'Age of the oldest command that waits, 0 when none does',
    registers,
    async collect() {
      const found = await totals();
      this.reset();
      if (found === undefined) return;
      const now = clock.now();
      this.set(Math.max(0, now - (found.oldestEnqueuedTime ?? now)) / 1000);
    },
  });
  new Counter({
    name: 'mooring_command_outcomes_total',
    help: 'Commands that have ended since the start, by how',
    labelNames: ['outcome'],
    registers,
    async collect() {
      const found = await totals();
      this.reset();
      for (const [outcome, count] of Object.entries(found?.outcomes ?? {})) this.inc({ outcome }, count);
    },
  });
  new Gauge({
    name: 'mooring_command_receipts',
    help: 'Receipts that no back end has completed yet',
    registers,
    async collect() {
      const found = await totals();
      this.reset();
      if (found !== undefined) this.set(found.receipts);
    },
  });
}

/** The same authentication, with its refusals counted. */
export function countFailures(inner: Authentication, metrics: Pick<Metrics, 'authenticationFailed'>): Authentication {
  const counted = async <T>(answer: Promise<T>): Promise<T> => {
    try {
      return await answer;
    } catch (error) {
      if (error instanceof HubError && (error.status === 401 || error.reason === 'not-judged')) {
        metrics.authenticationFailed(error.reason ?? 'unknown');
      }
      throw error;
    }
  };
  return {
    device: (key, credential, peer) => counted(inner.device(key, credential, peer)),
    token: (token, audience, peer) => counted(inner.token(token, audience, peer)),
    spokenFor: (policy, key) => counted(inner.spokenFor(policy, key)),
    policyKey: (policyName, key, peer) => counted(inner.policyKey(policyName, key, peer)),
  };
}

function watchTwins(
  registers: Registry[],
  { reports, methods }: OwnHubState['totals'],
  events: Pick<TwinEventPublisher, 'published'>,
): void {
  counted(
    registers,
    'mooring_twin_reports_total',
    'Reported patches of devices, by what became of them',
    'result',
    () => [
      ['accepted', reports.accepted],
      ['refused', reports.refused],
    ],
  );
  counted(
    registers,
    'mooring_twin_report_calls_total',
    'Calls of the store that reported patches shared',
    undefined,
    () => [['', reports.calls]],
  );
  counted(registers, 'mooring_twin_events_total', 'Events of twins and identities in the event hub', undefined, () => [
    ['', events.published()],
  ]);
  counted(registers, 'mooring_methods_total', 'Direct methods that have ended, by how', 'result', () => [
    ...methods.ended,
  ]);
  new Gauge({
    name: 'mooring_methods',
    help: 'Direct methods that are under way',
    registers,
    collect() {
      this.set(methods.underWay);
    },
  });
}

/** A counter of what is counted elsewhere. */
function counted<Label extends string>(
  registers: Registry[],
  name: string,
  help: string,
  label: Label | undefined,
  values: () => readonly (readonly [value: string, count: number])[],
): void {
  new Counter({
    ...{ name, help, registers },
    labelNames: label === undefined ? [] : [label],
    collect() {
      this.reset();
      for (const [value, count] of values()) {
        this.inc((label === undefined ? {} : { [label]: value }) as Partial<Record<Label, string>>, count);
      }
    },
  });
}
