/**
 * What a script has done to its fleet, and what the monitoring stream must say of it. The record is made by the script
 * from what it saw itself: answers, closed connections, the registry. Nothing of it comes from the stream.
 */
import assert from 'node:assert/strict';
import { limits } from '../../src/base/limits.ts';
import type { Told } from './monitoring.ts';

/** One event that the stream must tell. */
export interface Line {
  readonly text: string;
  /** Steps of the script, counted over the whole fleet: when it was begun, and when its end was seen (not yet: absent). */
  readonly begun: number;
  seen?: number;
  /** UTC milliseconds of the latter. */
  seenTime?: number;
}

export interface Recorded {
  readonly id: string;
  readonly record: Line[];
}

/** Refusals by check and address. */
export class Refusals {
  readonly #counts = new Map<string, number>();

  add(check: string, address: string, count = 1): void {
    const name = `${check} from ${address}`;
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  all(): readonly (readonly [name: string, count: number])[] {
    return [...this.#counts].sort();
  }
}

/** Refusals as the stream tells them, their sums added up. */
export function refusalsOf(all: readonly Told[]): Refusals {
  const told = new Refusals();
  for (const { type, check, peer, count } of all) {
    // A name like localhost may lead to either loopback address.
    if (type === 'authenticationFailed')
      told.add(String(check), peer === '::1' ? '127.0.0.1' : String(peer), Number(count));
  }
  return told;
}

/** Those that a device's own record has; refusals are counted, detections are opinions. */
export function ofDevices(all: readonly Told[]): readonly Told[] {
  return all.filter(
    ({ type, deviceId }) =>
      deviceId !== undefined && (type === 'connected' || type === 'disconnected' || type.startsWith('identity')),
  );
}

export function textOf({ type, reason, protocol, credential }: Told): string {
  if (type === 'connected') return `${type} ${protocol} ${credential}`;
  return reason === undefined ? type : `${type} ${reason}`;
}

/** Whatever happens: numbers grow per device, the parts of one connection are joined, sums lie in their time. */
export function checkForm(all: readonly Told[]): void {
  for (const [id, own] of Map.groupBy(ofDevices(all), ({ deviceId }) => deviceId)) {
    let open: unknown;
    for (const [at, event] of own.entries()) {
      assert.equal(event.schemaVersion, 1);
      if (at > 0) assert.ok(event.sequenceNumber > own[at - 1].sequenceNumber, `${id}: ${JSON.stringify(event)}`);
      if (event.type === 'connected') open = event.correlationId;
      if (event.type !== 'disconnected' || event.reason === 'hub-crashed') continue;
      assert.equal(event.correlationId, open, `${id}: ${JSON.stringify(event)}`);
    }
  }
  for (const event of all.filter(({ type }) => type === 'authenticationFailed')) {
    assert.ok(String(event.first) <= String(event.last), JSON.stringify(event));
    // Who was claimed to come is told until too many names come from one address.
    assert.equal(event.deviceId !== undefined, event.summedOver === 'source', JSON.stringify(event));
  }
}

/**
 * However many attempts an attack has, it is a bounded number of events: in each window every source of an address, and
 * the sum of its further ones, is told once, and once more where it was quiet for a window before.
 */
export function checkSummed(all: readonly Told[], windowMs: number): void {
  const refused = all.filter(({ type }) => type === 'authenticationFailed');
  for (const [address, own] of Map.groupBy(refused, ({ peer }) => peer)) {
    const times = own.map(({ time }) => Date.parse(time));
    const windows = 2 + (Math.max(...times) - Math.min(...times)) / windowMs;
    const most = windows * 2 * (limits.monitoringSourcesPerAddressMax + 1);
    assert.ok(own.length <= most, `${own.length} events of ${address} in ${windows} windows`);
  }
}

/** The stream is the record, event for event, and the sums of refusals add up to the attempts. */
export function checkExact(all: readonly Told[], fleet: readonly Recorded[], refusals: Refusals): void {
  checkForm(all);
  const told = Map.groupBy(ofDevices(all), ({ deviceId }) => deviceId);
  for (const { id, record } of fleet) {
    assert.deepEqual(
      (told.get(id) ?? []).map(textOf),
      record.map(({ text }) => text),
      id,
    );
    told.delete(id);
  }
  assert.deepEqual([...told.keys()], [], 'events of devices that the script does not know');
  assert.deepEqual(refusalsOf(all).all(), refusals.all());
}

/** What a crash in the middle has taken. */
export interface Lost {
  /** Events that the script had seen happen and the stream does not tell. */
  readonly events: number;
  /** Milliseconds from the oldest of them to the kill. */
  readonly oldestMs: number;
}

/**
 * The stream after a crash in the middle: a beginning of the record, and the same beginning for all (it is one ordered
 * log): where an event is missing, everything that the script began after it had seen that event is missing too. At
 * least `kept` lines of each device are there: those of before the last checkpoint, and those that a reader has been given.
 */
export function checkBeginning(
  all: readonly Told[],
  fleet: readonly (Recorded & {
    readonly kept: number;
    /** Whether it was connected, of a device that was left alone since the checkpoint: of it, all is known. */
    readonly leftConnected: boolean | undefined;
  })[],
  killedTime: number,
): Lost {
  checkForm(all);
  const told = Map.groupBy(ofDevices(all), ({ deviceId }) => deviceId);
  const lost: Line[] = [];
  let lastTold = 0;
  for (const { id, record, kept, leftConnected } of fleet) {
    const texts = (told.get(id) ?? []).map(textOf);
    const crashed = texts.at(-1) === 'disconnected hub-crashed';
    if (crashed) texts.pop();
    const written = record.map(({ text }) => text);
    assert.deepEqual(texts, written.slice(0, texts.length), id);
    assert.ok(texts.length >= kept, `${id}: ${kept} events were there before the crash: ${JSON.stringify(texts)}`);
    if (leftConnected !== undefined) assert.equal(crashed, leftConnected, `${id}: ${JSON.stringify(written)}`);
    lost.push(...record.slice(texts.length).filter(({ seen }) => seen !== undefined));
    for (const { begun } of record.slice(0, texts.length)) lastTold = Math.max(lastTold, begun);
  }
  for (const line of lost) {
    assert.ok(lastTold <= Number(line.seen), `${line.text} is missing, and something that was begun later is not`);
  }
  const oldest = Math.min(killedTime, ...lost.map(({ seenTime }) => Number(seenTime)));
  return { events: lost.length, oldestMs: killedTime - oldest };
}
