/** One step over identities that are marked, and then over the fleet where the walk is: what configurations make of each is written. */
import { limits } from '../../base/limits.ts';
import {
  countedBy,
  isNothing,
  isSameStates,
  modulesOf,
  refusedOf,
  type Wanted,
  wantedOf,
} from '../../core/configurations/evaluate.ts';
import type { MissingModules, Step, StepTerms } from '../../core/configurations/ports.ts';
import { type ConfigurationSet, prepareSet } from '../../core/configurations/prepared.ts';
import type { Configured } from '../../core/configurations/types.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { conditionLanguage } from '../../core/query/kept-conditions.ts';
import type { FleetPlace, FleetRow } from '../../core/query/ports.ts';
import type { DesiredNote } from '../../core/twins/ports.ts';
import { addToCounters, mark } from './configuration-marks.ts';
import {
  type ConfigurationRow,
  type Facts,
  isBefore,
  keptTextOf,
  type LapPlace,
  readFacts,
  storedOf,
} from './configuration-rows.ts';
import { type Found, holdSubjects, subjectsAt } from './configuration-subjects.ts';
import { engineOf } from './engine.ts';
import type { Transaction } from './schema.ts';
import { rowsBy } from './statements.ts';
import { carryTwinChange } from './twin-changes.ts';
import { keyOf } from './twin-events.ts';
import { twinOf } from './twin-text.ts';

export interface StepTaken {
  readonly step: Step;
  /** What devices are to be told. */
  readonly notes: readonly DesiredNote[];
  /** Whose configurations stand otherwise than before. */
  readonly restated: readonly IdentityKey[];
}

interface Turn extends LapPlace {
  readonly markDevice: string;
  readonly markModule: string;
}

interface Marked extends FleetPlace {
  readonly touched: number;
}

/** The configurations of a revision, as they are evaluated. */
export interface Prepared {
  revision: number;
  set: ConfigurationSet;
}

export const unprepared = (): Prepared => ({ revision: -1, set: prepareSet([], conditionLanguage) });

/** @param known The configurations of a revision, prepared before; kept by the caller between steps */
export async function stepConfigurations(
  tx: Transaction,
  { countMax, time, withEvents }: StepTerms,
  known: Prepared,
): Promise<StepTaken> {
  const turn = await takeTurn(tx);
  if (turn === undefined) return { step: { ...nothing, kind: 'busy' }, notes: [], restated: [] };
  const facts = await readFacts(tx, 'keep');
  const set = await setOf(tx, facts, known);
  const work = new Work(tx, set, { time, withEvents });

  // A fleet that changes without end leaves something of each step to a walk.
  const marksMax = isBefore(turn, facts.goal) ? Math.ceil(countMax * limits.configurationMarksShare) : countMax;
  const marks = await marksBehind(tx, turn, marksMax);
  const left = countMax - marks.length;
  const places = left > 0 && isBefore(turn, facts.goal) ? await placesBehind(tx, turn, left) : undefined;
  await holdSubjects(tx, [...marks, ...(places ?? [])]);
  const subjects = await subjectsAt(tx, marks);
  const bySubject = new Map(subjects.map((each) => [nameOf(each.subject.place), each]));
  const settled: Marked[] = [];
  for (const each of marks) {
    const found = bySubject.get(nameOf(each));
    const isWhole = found === undefined || (await work.configure(found, each.touched));
    if (isWhole) settled.push(each);
  }
  let place: LapPlace = turn;
  if (places !== undefined) {
    for (const each of await subjectsAt(tx, places)) await work.configure(each, undefined);
    const end = places.at(-1);
    place =
      end === undefined || places.length < left
        ? { lap: place.lap + 1, deviceId: '', moduleId: '' }
        : { lap: place.lap, ...end };
  }
  // Behind all twins, as whoever changes twins marks them.
  for (const each of settled) await unmark(tx, each);
  await saveTurn(tx, place, marks.length < marksMax ? undefined : marks.at(-1), turn);
  await addToCounters(tx, work.differences);
  const hasSeenAll = turn.markDevice === '' && marks.length < marksMax && !work.hasMarked && work.missing.length === 0;
  const isDone = hasSeenAll && !isBefore(place, facts.goal);
  return {
    step: {
      kind: isDone ? 'idle' : 'more',
      isEmpty: set.all.length === 0,
      marked: marks.length,
      walked: places?.length ?? 0,
      changed: work.changed,
      missing: work.missing,
      refused: work.refused,
    },
    notes: work.notes,
    restated: work.restated,
  };
}

const nothing = { isEmpty: false, marked: 0, walked: 0, changed: 0, missing: [], refused: [] } as const;

/** Undefined = another node has it. It is held until the transaction ends. */
async function takeTurn(tx: Transaction): Promise<Turn | undefined> {
  const locks = engineOf(tx).locksRows ? ' for update skip locked' : '';
  const [row] = await rowsBy<{
    lap: number;
    device_id: string;
    module_id: string;
    mark_device: string;
    mark_module: string;
  }>(tx, `select * from configuration_turn where id = 1${locks}`);
  return (
    row && {
      ...{ lap: Number(row.lap), deviceId: row.device_id, moduleId: row.module_id },
      ...{ markDevice: row.mark_device, markModule: row.mark_module },
    }
  );
}

async function saveTurn(tx: Transaction, place: LapPlace, mark: FleetPlace | undefined, turn: Turn): Promise<void> {
  const [device, module] = [mark?.deviceId ?? '', mark?.moduleId ?? ''];
  const isSame = !isBefore(turn, place) && device === turn.markDevice && module === turn.markModule;
  if (isSame) return;
  await rowsBy(
    tx,
    'update configuration_turn set lap = ?, device_id = ?, module_id = ?, mark_device = ?, mark_module = ? where id = 1',
    [place.lap, place.deviceId, place.moduleId, device, module],
  );
}

async function setOf(tx: Transaction, { revision }: Facts, known: Prepared): Promise<ConfigurationSet> {
  if (known.revision !== revision) {
    const rows = await rowsBy<ConfigurationRow>(tx, 'select * from configurations');
    known.set = prepareSet(rows.map(storedOf), conditionLanguage);
    known.revision = revision;
  }
  return known.set;
}

/** Round and round in the order of ids: what is marked again and again keeps nobody else from its turn. */
async function marksBehind(tx: Transaction, turn: Turn, countMax: number): Promise<readonly Marked[]> {
  const rows = await rowsBy<{ device_id: string; module_id: string; touched: number }>(
    tx,
    `select * from configuration_marks where (device_id, module_id) > (?, ?) order by device_id, module_id limit ?`,
    [turn.markDevice, turn.markModule, countMax],
  );
  return rows.map((row) => ({ deviceId: row.device_id, moduleId: row.module_id, touched: Number(row.touched) }));
}

async function unmark(tx: Transaction, { deviceId, moduleId, touched }: Marked): Promise<void> {
  await rowsBy(tx, 'delete from configuration_marks where device_id = ? and module_id = ? and touched = ?', [
    ...[deviceId, moduleId, touched],
  ]);
}

export async function settleMissing(
  tx: Transaction,
  missing: readonly Pick<MissingModules, 'deviceId' | 'touched'>[],
): Promise<void> {
  for (const { deviceId, touched } of missing) await unmark(tx, { deviceId, moduleId: '', touched });
}

async function placesBehind(tx: Transaction, place: FleetPlace, countMax: number): Promise<readonly FleetPlace[]> {
  const rows = await rowsBy<{ device_id: string; module_id: string }>(
    tx,
    `select device_id, module_id from identities where (device_id, module_id) > (?, ?)
      order by device_id, module_id limit ?`,
    [place.deviceId, place.moduleId, countMax],
  );
  return rows.map((row) => ({ deviceId: row.device_id, moduleId: row.module_id }));
}

const nameOf = ({ deviceId, moduleId }: FleetPlace): string => `${deviceId}/${moduleId}`;

/** What a step has done so far. */
class Work {
  readonly differences = new Map<number, number>();
  readonly missing: MissingModules[] = [];
  readonly refused: Step['refused'][number][] = [];
  readonly notes: DesiredNote[] = [];
  readonly restated: IdentityKey[] = [];
  changed = 0;
  hasMarked = false;
  readonly #tx: Transaction;
  readonly #set: ConfigurationSet;
  readonly #terms: Pick<StepTerms, 'time' | 'withEvents'>;

  constructor(tx: Transaction, set: ConfigurationSet, terms: Pick<StepTerms, 'time' | 'withEvents'>) {
    this.#tx = tx;
    this.#set = set;
    this.#terms = terms;
  }

  /**
   * @param touched Of its mark; undefined = it has none
   * @returns whether nothing is left to be done for it
   */
  async configure(found: Found, touched: number | undefined): Promise<boolean> {
    const { subject, generationId } = found;
    const { place, before } = subject;
    const { wanted, row } = await this.#change(found, wantedOf(subject, this.#set));
    const after: Configured = {
      states: wanted.states,
      paths: wanted.paths,
      deployed: wanted.deployed,
      counted: countedBy(subject, wanted, row, this.#set),
    };
    await this.#keep(place, generationId, before, after);
    if (place.moduleId !== '') return true;
    const isSame = (before?.deployed ?? []).join() === after.deployed.join();
    if (isSame && touched === undefined) return true;
    if (isSame && after.deployed.length === 0) return true;
    return this.#modules(place.deviceId, after.deployed, isSame, touched);
  }

  async #change(
    { subject, twin, rowOf }: Found,
    wanted: Wanted,
  ): Promise<{ readonly wanted: Wanted; readonly row: FleetRow }> {
    const key = keyOf(subject.place.deviceId, subject.place.moduleId);
    const { patch } = wanted;
    if (patch === undefined) return { wanted, row: rowOf(twin, wanted.states) };
    const terms = { ifMatch: '*', ...this.#terms };
    const { outcome, note } = await carryTwinChange(this.#tx, key, { kind: 'merge', desired: patch }, terms);
    if (outcome.kind === 'done') {
      this.changed++;
      if (note !== undefined) this.notes.push(note);
      return { wanted, row: rowOf(twinOf(outcome.text), wanted.states) };
    }
    const instead = refusedOf(subject, wanted);
    if (!isSameStates(instead.states, subject.before?.states)) {
      this.refused.push({ key, message: outcome.kind === 'refused' ? outcome.message : 'It is gone.' });
    }
    return { wanted: instead, row: rowOf(twin, instead.states) };
  }

  async #keep(
    { deviceId, moduleId }: FleetPlace,
    generationId: string,
    before: Configured | undefined,
    after: Configured,
  ): Promise<void> {
    for (const counter of before?.counted ?? []) this.#add(counter, -1);
    for (const counter of after.counted) this.#add(counter, 1);
    if (isNothing(after)) {
      if (before === undefined) return;
      if (JSON.stringify(before.states) !== '{}') this.restated.push(keyOf(deviceId, moduleId));
      await rowsBy(this.#tx, 'delete from configured where device_id = ? and module_id = ?', [deviceId, moduleId]);
      return;
    }
    const [states, kept] = [JSON.stringify(after.states), keptTextOf(after)];
    if (states !== JSON.stringify(before?.states ?? {})) this.restated.push(keyOf(deviceId, moduleId));
    if (before !== undefined && states === JSON.stringify(before.states) && kept === keptTextOf(before)) return;
    await rowsBy(this.#tx, KEEP, [deviceId, moduleId, generationId, states, kept]);
  }

  #add(counter: number, difference: number): void {
    this.differences.set(counter, (this.differences.get(counter) ?? 0) + difference);
  }

  /** The modules of an edge device whose deployments are looked at: they have changed, or one of its modules may be missing. */
  async #modules(
    deviceId: string,
    deployed: readonly number[],
    isSame: boolean,
    touched: number | undefined,
  ): Promise<boolean> {
    const rows = await rowsBy<{ module_id: string }>(
      this.#tx,
      `select module_id from identities where device_id = ? and module_id <> '' order by module_id`,
      [deviceId],
    );
    if (!isSame) {
      for (const { module_id: moduleId } of rows) await mark(this.#tx, { deviceId, moduleId });
      this.hasMarked = true;
    }
    const there = new Set(rows.map((row) => row.module_id));
    const modules = [...modulesOf(deployed, this.#set)]
      .filter(([moduleId]) => !there.has(moduleId))
      .map(([moduleId, isManaged]) => ({ moduleId, isManaged }));
    if (modules.length === 0) return true;
    if (touched !== undefined) {
      this.missing.push({ deviceId, modules, touched });
      return false;
    }
    await mark(this.#tx, { deviceId });
    this.hasMarked = true;
    return true;
  }
}

const KEEP = `insert into configured (device_id, module_id, generation_id, states, kept) values (?, ?, ?, ?, ?)
  on conflict (device_id, module_id) do update set generation_id = excluded.generation_id, states = excluded.states,
    kept = excluded.kept`;
