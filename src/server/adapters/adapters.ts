/** The adapters of a hub: one supervisor each, their health and numbers. */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Hub } from '../../core/hub.ts';
import type { Recorder } from '../../core/monitoring/types.ts';
import { type AdapterSettings, adapterNameOf } from '../config/adapter-settings.ts';
import type { Health } from '../observe/health/health.ts';
import type { ServerTls } from '../tls/tls-source.ts';
import { openCreatedCount } from './created-count.ts';
import { Proofs } from './proofs.ts';
import { type AdapterFacts, Supervisor, type SupervisorParts } from './supervisor.ts';

export interface AdaptersParts {
  readonly settings: readonly AdapterSettings[];
  /** Where their memories lie; made when there is an adapter. */
  readonly folder: string;
  readonly hub: Hub;
  readonly files?: SupervisorParts['files'];
  readonly recorder: Recorder;
  readonly tls: ServerTls;
  readonly health: Pick<Health, 'add'>;
  readonly metrics: Registry;
}

/** @returns what stops them, in so many milliseconds */
export function openAdapters(parts: AdaptersParts): (graceMs: number) => Promise<void> {
  const { settings, folder, hub, files, recorder, tls, health } = parts;
  if (settings.length === 0) return async () => {};
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const supervisors = settings.map((each) => {
    const name = adapterNameOf(each);
    const created = openCreatedCount(path.join(folder, `${name}.created`));
    return new Supervisor({
      ...{ settings: each, hub, files, recorder, proofs: new Proofs(hub, name, each, created) },
      memory: path.join(folder, `${name}.sqlite`),
      certificate: () => tls.current(),
    });
  });
  for (const supervisor of supervisors) {
    health.add({ name: `adapter ${supervisor.name}`, isQuiet: true, look: () => supervisor.health() });
  }
  measure(parts.metrics, supervisors);
  const unwatch = tls.watch(() => {
    for (const supervisor of supervisors) supervisor.certificateChanged();
  });
  for (const supervisor of supervisors) supervisor.start();
  return async (graceMs) => {
    unwatch();
    await Promise.all(supervisors.map((supervisor) => supervisor.stop(graceMs)));
  };
}

const numbers: readonly [name: string, help: string, of: (facts: AdapterFacts) => number, kind: 'gauge' | 'counter'][] =
  [
    ['running', 'Whether the adapter serves devices', ({ isRunning }) => Number(isRunning), 'gauge'],
    ['sessions', 'Devices that are connected through the adapter', ({ sessions }) => sessions, 'gauge'],
    ['memory_bytes', 'Memory of the process of the adapter', ({ memoryBytes }) => memoryBytes, 'gauge'],
    ['restarts_total', 'How often the adapter was started again', ({ restarts }) => restarts, 'counter'],
    ['messages_total', 'Messages that the adapter has handed over', ({ messages }) => messages, 'counter'],
    ['logins_total', 'Devices that the hub has let in through the adapter', ({ logins }) => logins, 'counter'],
    ['refused_logins_total', 'Devices that were refused', ({ refusedLogins }) => refusedLogins, 'counter'],
    [
      'held_total',
      'How often the adapter was not read, because of its rate or what waited',
      ({ held }) => held,
      'counter',
    ],
  ];

function measure(registry: Registry, supervisors: readonly Supervisor[]): void {
  const registers = [registry];
  for (const [name, help, of, kind] of numbers) {
    const options = { name: `mooring_adapter_${name}`, help, labelNames: ['adapter'] as const, registers };
    if (kind === 'gauge') {
      new Gauge({
        ...options,
        collect() {
          for (const supervisor of supervisors) this.set({ adapter: supervisor.name }, of(supervisor.facts()));
        },
      });
    } else {
      new Counter({
        ...options,
        collect() {
          this.reset();
          for (const supervisor of supervisors) this.inc({ adapter: supervisor.name }, of(supervisor.facts()));
        },
      });
    }
  }
  new Gauge({
    name: 'mooring_adapter_custom',
    help: 'What an adapter counts or measures by itself, and what its listeners have refused',
    labelNames: ['adapter', 'name'],
    registers,
    collect() {
      this.reset();
      for (const supervisor of supervisors) {
        for (const [name, value] of Object.entries(supervisor.facts().numbers)) {
          this.set({ adapter: supervisor.name, name }, Number(value));
        }
      }
    },
  });
}
