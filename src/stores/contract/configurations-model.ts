/**
 * Configurations as plainly as they can be said, and random fleets to hold stores against: what a twin has is its own values with the
 * settings of all that are for it written over them, the weakest first, those apart that a later one covers.
 */
import assert from 'node:assert/strict';
import { seededRandom } from '../../base/random.ts';
import type { ConfigurationStore } from '../../core/configurations/ports.ts';
import type { Configuration } from '../../core/configurations/types.ts';
import type { IdentityStore } from '../../core/identity/ports.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import type { TwinStore } from '../../core/twins/ports.ts';
import { readReportedPatch, readTwinChange } from '../../core/twins/rules.ts';
import type { JsonObject, JsonValue } from '../../core/twins/types.ts';
import { exampleIdentity } from './identities.ts';

export interface ConfiguredFleet {
  readonly store: ConfigurationStore;
  readonly twins: TwinStore;
  readonly identities: IdentityStore;
}

interface Member {
  readonly key: IdentityKey;
  readonly generationId: string;
  a: number | undefined;
  r: number | undefined;
  own: number | undefined;
}

interface Condition {
  readonly text: string;
  readonly holds: (member: Member) => boolean;
}

const ofDevices = (holds: (member: Member) => boolean) => (member: Member) =>
  member.key.moduleId === undefined && holds(member);

const conditions: readonly Condition[] = [
  { text: '', holds: () => false },
  { text: '*', holds: ofDevices(() => true) },
  { text: 'tags.a = 1', holds: ofDevices(({ a }) => a === 1) },
  { text: 'tags.a IN [0, 2]', holds: ofDevices(({ a }) => a === 0 || a === 2) },
  { text: 'properties.reported.r > 0', holds: ofDevices(({ r }) => r !== undefined && r > 0) },
  {
    text: "deviceId = 'd2' OR NOT IS_DEFINED(tags.a)",
    holds: ofDevices((m) => m.key.deviceId === 'd2' || m.a === undefined),
  },
];
const ofModules: readonly Condition[] = [
  { text: 'FROM devices.modules WHERE tags.a = 1', holds: ({ key, a }) => key.moduleId !== undefined && a === 1 },
  { text: "from devices.modules where moduleId = 'm'", holds: ({ key }) => key.moduleId !== undefined },
];
const paths = ['x', 'x.y', 'x.y.z', 'w'];
const values: readonly JsonValue[] = [1, 2, 'text', [1, 2], {}, { y: 1 }, { y: { z: 2 }, q: null }, null];

/** A fleet of some devices and modules, with the hub's stores beside the model. */
export class ModelFleet {
  readonly #fleet: ConfiguredFleet;
  readonly #random: { next(): number };
  readonly #members = new Map<string, Member>();
  readonly #configurations = new Map<string, { readonly of: Configuration; readonly condition: Condition }>();
  #time = 1000;
  #generation = 0;

  constructor(fleet: ConfiguredFleet, seed: number) {
    this.#fleet = fleet;
    this.#random = seededRandom(seed);
  }

  /** One thing happens. */
  async act(): Promise<void> {
    this.#time++;
    const dice = this.#below(20);
    if (dice < 3) await this.#create();
    else if (dice < 4) await this.#delete();
    else if (dice < 9) await this.#tag();
    else if (dice < 13) await this.#report();
    else if (dice < 16) await this.#configure();
    else if (dice < 18) await this.#change();
    else if (dice < 19) await this.#remove();
    else await this.#own();
  }

  /** Some steps, or all until there is nothing to do. */
  async step(countMax: number, isToTheEnd: boolean): Promise<void> {
    const { store } = this.#fleet;
    for (let n = 0; isToTheEnd || n < 3; n++) {
      const { kind, missing, refused } = await store.step({ countMax, time: this.#time, withEvents: false });
      assert.deepEqual([missing, refused], [[], []]);
      if (kind === 'idle') return;
      assert.ok(n < 10_000, 'it comes to an end');
    }
  }

  /** Every twin, every state and every count is as the model has it. */
  async check(): Promise<void> {
    for (const member of this.#members.values()) {
      const kept = await this.#fleet.twins.load(member.key);
      const wanted = this.#wanted(member);
      const name = JSON.stringify(member.key);
      assert.deepEqual(plain(kept?.twin.desired.values), wanted.desired, name);
      assert.deepEqual(plain(kept?.configurations ?? {}), wanted.states, name);
    }
    const kept = await this.#fleet.store.list();
    assert.deepEqual(
      kept.map(({ id }) => id),
      [...this.#configurations.keys()].sort(),
    );
    const members = [...this.#members.values()];
    const wanted = members.map((member) => ({ member, ...this.#wanted(member) }));
    for (const { id, systemCounts, metricCounts, isEverywhere } of kept) {
      const { condition } = this.#configurations.get(id)!;
      assert.ok(isEverywhere);
      assert.equal(systemCounts.targetedCount, members.filter((member) => condition.holds(member)).length, id);
      assert.equal(systemCounts.appliedCount, wanted.filter(({ states }) => states[id] === 'applied').length, id);
      const ones = wanted.filter(({ member, desired }) => member.key.moduleId === undefined && desired.w === 1);
      assert.deepEqual(metricCounts, { ones: ones.length }, id);
    }
  }

  #wanted(member: Member): { readonly desired: Record<string, unknown>; readonly states: Record<string, string> } {
    const targeted = [...this.#configurations.values()]
      .filter(({ condition }) => condition.holds(member))
      .sort((a, b) => a.of.priority - b.of.priority || a.of.createdTime - b.of.createdTime);
    const desired: Record<string, unknown> = member.own === undefined ? {} : { own: member.own };
    const settings = targeted.flatMap(({ of }) => {
      const content = of.content.deviceContent ?? of.content.moduleContent ?? {};
      const keys = Object.keys(content).sort((a, b) => a.split('.').length - b.split('.').length);
      return keys.map((key) => ({ id: of.id, path: key.split('.').slice(2), value: content[key] }));
    });
    const states: Record<string, string> = {};
    for (const { of } of targeted) states[of.id] = 'targeted';
    for (const [at, { id, path, value }] of settings.entries()) {
      const isCovered = settings.slice(at + 1).some((later) => later.path.every((name, n) => path[n] === name));
      if (isCovered) continue;
      write(desired, path, value);
      states[id] = 'applied';
    }
    return { desired, states };
  }

  #below(max: number): number {
    return Math.floor(this.#random.next() * max);
  }

  #one<Value>(list: readonly Value[]): Value {
    return list[this.#below(list.length)];
  }

  async #create(): Promise<void> {
    const deviceId = `d${this.#below(8)}`;
    const isModule = this.#below(3) === 0 && this.#members.has(deviceId);
    const key = isModule ? { deviceId, moduleId: 'm' } : { deviceId };
    const name = nameOf(key);
    if (this.#members.has(name)) return;
    const generationId = `g${++this.#generation}`;
    const identity = exampleIdentity(key, { generationId });
    await this.#fleet.identities.write([{ kind: 'create', identity, countMax: 100 }]);
    this.#members.set(name, { key, generationId, a: undefined, r: undefined, own: undefined });
  }

  async #delete(): Promise<void> {
    const member = this.#member();
    if (member === undefined) return;
    await this.#fleet.identities.write([{ kind: 'delete', key: member.key, ifMatch: '*' }]);
    this.#members.delete(nameOf(member.key));
    if (member.key.moduleId === undefined) this.#members.delete(nameOf({ ...member.key, moduleId: 'm' }));
  }

  #member(): Member | undefined {
    return this.#members.size === 0 ? undefined : this.#one([...this.#members.values()]);
  }

  async #tag(): Promise<void> {
    const member = this.#member();
    if (member === undefined) return;
    member.a = this.#below(4) === 3 ? undefined : this.#below(3);
    await this.#merge(member, { tags: { a: member.a ?? null } });
  }

  async #own(): Promise<void> {
    const member = this.#member();
    if (member === undefined) return;
    member.own = this.#below(5);
    await this.#merge(member, { properties: { desired: { own: member.own } } });
  }

  async #merge({ key }: Member, body: unknown): Promise<void> {
    const change = readTwinChange(Buffer.from(JSON.stringify(body)), 'merge');
    const outcome = await this.#fleet.twins.change(key, change, { ifMatch: '*', time: this.#time, withEvents: false });
    assert.equal(outcome.kind, 'done');
  }

  async #report(): Promise<void> {
    const member = this.#member();
    if (member === undefined) return;
    member.r = this.#below(3) - 1;
    const patch = readReportedPatch(Buffer.from(JSON.stringify({ r: member.r })));
    const { key, generationId } = member;
    await this.#fleet.twins.report([{ key, generationId, patch }], { time: this.#time, withEvents: false });
  }

  async #configure(): Promise<void> {
    const id = `c${this.#below(6)}`;
    if (this.#configurations.has(id)) return;
    const isOfModules = this.#below(4) === 0;
    const condition = this.#one(isOfModules ? ofModules : conditions);
    const settings: Record<string, JsonValue> = {};
    for (let n = this.#below(3); n >= 0; n--) settings[`properties.desired.${this.#one(paths)}`] = this.#one(values);
    const of: Configuration = {
      ...{ id, schemaVersion: '1.0', labels: {}, priority: this.#below(3), targetCondition: condition.text },
      content: isOfModules ? { moduleContent: settings } : { deviceContent: settings },
      metrics: { ones: 'select deviceId from devices where properties.desired.w = 1' },
      ...{ createdTime: this.#time, lastUpdatedTime: this.#time, etag: `e${this.#time}` },
    };
    assert.equal((await this.#fleet.store.create(of, 100)).kind, 'done');
    this.#configurations.set(id, { of, condition });
  }

  async #change(): Promise<void> {
    if (this.#configurations.size === 0) return;
    const { of, condition } = this.#one([...this.#configurations.values()]);
    const isOfModules = of.content.moduleContent !== undefined;
    const next = this.#below(2) === 0 ? condition : this.#one(isOfModules ? ofModules : conditions);
    const { content, createdTime, ...rest } = of;
    const change = { ...rest, content: undefined, targetCondition: next.text, priority: this.#below(3) };
    assert.equal((await this.#fleet.store.replace(change, of.etag)).kind, 'done');
    this.#configurations.set(of.id, { of: { ...change, content, createdTime }, condition: next });
  }

  async #remove(): Promise<void> {
    if (this.#configurations.size === 0) return;
    const { of } = this.#one([...this.#configurations.values()]);
    assert.equal(await this.#fleet.store.delete(of.id, '*'), 'deleted');
    this.#configurations.delete(of.id);
  }
}

const nameOf = ({ deviceId, moduleId = '' }: IdentityKey): string => `${deviceId}/${moduleId}`;
const plain = (value: unknown): unknown => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));

/** As a back end would write it by hand. */
function write(target: Record<string, unknown>, path: readonly string[], value: JsonValue): void {
  const [name, ...rest] = path;
  if (rest.length === 0) {
    if (value === null) delete target[name];
    else target[name] = withoutNulls(value);
    return;
  }
  const below = target[name];
  const isObject = typeof below === 'object' && below !== null && !Array.isArray(below);
  if (!isObject && value === null) return;
  const next = isObject ? (below as Record<string, unknown>) : {};
  target[name] = next;
  write(next, rest, value);
}

function withoutNulls(value: JsonValue): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value as JsonObject).filter(([, each]) => each !== null);
  return Object.fromEntries(entries.map(([name, each]) => [name, withoutNulls(each)]));
}
