/**
 * What the configurations of a hub make of one device or module. Pure; stores run it in the transaction that writes what
 * comes out.
 */
import type { FleetPlace, FleetRow } from '../query/ports.ts';
import type { JsonObject } from '../twins/types.ts';
import { mergeBetween, overlay, type Setting, withSettings } from './overlay.ts';
import { type ConfigurationSet, isFor, type PreparedConfiguration } from './prepared.ts';
import type { ConfigurationStates, ConfigurationStatus, Configured } from './types.ts';

export interface Subject {
  readonly place: FleetPlace;
  /** It is an edge device. */
  readonly isEdge: boolean;
  readonly desired: JsonObject;
  /** Undefined = no configuration has had to do with it. */
  readonly before: Configured | undefined;
  /** Of a module: as `Configured.deployed` of its device. */
  readonly deployed: readonly number[];
  readonly row: FleetRow;
}

export interface Wanted {
  /** A merge of the desired properties; absent = they are as they should be. */
  readonly patch?: JsonObject;
  readonly states: ConfigurationStates;
  readonly paths: Configured['paths'];
  readonly deployed: Configured['deployed'];
}

export function wantedOf(subject: Subject, set: ConfigurationSet): Wanted {
  const { place, isEdge, row } = subject;
  const targeted = set.all.filter((each) => isFor(each, row, place, isEdge));
  const laid =
    place.moduleId === '' ? deploymentsOf(targeted) : set.all.filter(({ serial }) => subject.deployed.includes(serial));
  const settings =
    place.moduleId === ''
      ? targeted.flatMap((each) => (each.kind === 'device' ? owned(each, each.settings) : []))
      : set.all.flatMap((each) => ofModule(each, place.moduleId, targeted, laid));
  const over = overlay(settings);
  const states = Object.create(null) as Record<string, ConfigurationStatus>;
  for (const each of targeted) {
    const isApplied = each.kind === 'edge' ? laid.includes(each) : over.winners.has(each);
    states[each.id] = isApplied ? 'applied' : 'targeted';
  }
  if (place.moduleId !== '') {
    for (const each of laid) {
      // What the runtime of the device reports is asked for by the status of its module.
      const isAgent = place.moduleId === '$edgeAgent';
      if (isAgent || each.modules.has(place.moduleId)) {
        states[each.id] = isAgent || over.winners.has(each) ? 'applied' : 'targeted';
      }
    }
  }
  const patch = mergeBetween(subject.desired, withSettings(subject.desired, subject.before?.paths ?? [], over));
  const deployed = place.moduleId === '' ? laid.map(({ serial }) => serial) : [];
  return { ...(patch && { patch }), states, paths: over.paths, deployed };
}

/** The same when the twin cannot take it: nothing is set, and so nothing is applied. */
export function refusedOf(subject: Subject, wanted: Wanted): Wanted {
  const states = Object.create(null) as Record<string, ConfigurationStatus>;
  for (const id of Object.keys(wanted.states)) states[id] = 'targeted';
  return { states, paths: subject.before?.paths ?? [], deployed: wanted.deployed };
}

/** Of those that are for an edge device: the strongest that is a base, and those that are laid over it. */
function deploymentsOf(targeted: readonly PreparedConfiguration[]): readonly PreparedConfiguration[] {
  const deployments = targeted.filter(({ kind }) => kind === 'edge');
  const base = deployments.findLastIndex(({ isBase }) => isBase);
  return base === -1 ? [] : deployments.slice(base);
}

interface Owned extends Setting {
  readonly owner: PreparedConfiguration;
}

const owned = (owner: PreparedConfiguration, settings: readonly Setting[]): readonly Owned[] =>
  settings.map(({ path, value }) => ({ path, value, owner }));

function ofModule(
  each: PreparedConfiguration,
  moduleId: string,
  targeted: readonly PreparedConfiguration[],
  laid: readonly PreparedConfiguration[],
): readonly Owned[] {
  if (each.kind === 'module' && targeted.includes(each)) return owned(each, each.settings);
  return laid.includes(each) ? owned(each, each.modules.get(moduleId) ?? []) : [];
}

/**
 * Keys of the counters that count an identity.
 * @param row What it is after all changes, with its new states
 */
export function countedBy(
  subject: Subject,
  { states }: Wanted,
  row: FleetRow,
  set: ConfigurationSet,
): readonly number[] {
  const keys: number[] = [];
  const from = subject.place.moduleId === '' ? 'devices' : 'devices.modules';
  for (const { id, target, counters, metrics } of set.all) {
    const { targetedCount, appliedCount } = counters.system;
    // Of a deployment modules have the state as well, and devices are counted.
    if (target?.from === from && states[id] !== undefined) {
      if (targetedCount !== undefined) keys.push(targetedCount);
      if (appliedCount !== undefined && states[id] === 'applied') keys.push(appliedCount);
    }
    for (const metric of metrics) if (metric.from === from && metric.passes(row)) keys.push(metric.key);
  }
  return keys.sort((a, b) => a - b);
}

/** Modules that an edge device must have by its deployments, and whether its runtime manages them. */
export function modulesOf(deployed: readonly number[], { bySerial }: ConfigurationSet): ReadonlyMap<string, boolean> {
  const names = new Map<string, boolean>();
  for (const serial of deployed) {
    for (const [name, isManaged] of bySerial.get(serial)?.moduleNames ?? []) {
      names.set(name, isManaged || (names.get(name) ?? false));
    }
  }
  return names;
}

export function isNothing({ states, paths, deployed, counted }: Configured): boolean {
  return Object.keys(states).length === 0 && paths.length === 0 && deployed.length === 0 && counted.length === 0;
}

/** Whether a refusal was told before: it comes again with each change of the twin. */
export function isSameStates(a: ConfigurationStates, b: ConfigurationStates | undefined): boolean {
  const names = Object.keys(a);
  return b !== undefined && names.length === Object.keys(b).length && names.every((id) => a[id] === b[id]);
}
