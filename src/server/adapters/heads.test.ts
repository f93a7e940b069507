import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Telemetry } from '../../gateway/types.ts';
import { Heads } from './heads.ts';
import { headOf, telemetryOf } from './telemetry.ts';

/** The message as the hub reads it. */
const read = (heads: Heads, message: Telemetry) => {
  const { bytes } = heads.of(message);
  const { system, properties, address } = telemetryOf(headOf(bytes, 0, bytes.length), Buffer.alloc(0));
  return { system, properties: Object.fromEntries(properties), address };
};

test('a head that is kept says the same as one that is written anew, in whatever order they come', () => {
  const heads = new Heads();
  const kept = new Set<Buffer>();
  const choices = [undefined, '', 'a', 'b'];
  const pick = (at: number): string | undefined => choices[at % choices.length];
  for (let at = 0; at < 4096; at++) {
    const first = pick(at >> 6);
    const second = pick(at >> 8);
    const properties = {
      ...(first !== undefined && { first }),
      ...(second !== undefined && { second }),
    };
    const message: Telemetry = {
      body: '',
      contentType: pick(at),
      contentEncoding: pick(at >> 2),
      address: pick(at >> 4),
      properties,
      ...(at % 7 === 0 && { messageId: `m${at}` }),
    };
    kept.add(heads.of(message).bytes);
    assert.deepEqual(read(heads, message), read(new Heads(), message));
    assert.deepEqual(read(heads, message).properties, properties);
  }
  assert.ok(kept.size > 100);
});

test('an object of properties that its owner changes is another head; what has the same head is not written again', () => {
  const heads = new Heads();
  const properties: Record<string, string> = { unit: 'C' };
  const before = heads.of({ body: '1', properties });
  assert.equal(heads.of({ body: '2', properties: { unit: 'C' } }), before);
  properties.unit = 'F';
  assert.equal(read(heads, { body: '', properties }).properties.unit, 'F');
  delete properties.unit;
  assert.equal(heads.of({ body: '', properties }).bytes.length, 0);
  const large = { large: 'x'.repeat(70_000) };
  assert.throws(() => heads.of({ body: '', properties: large }), { code: 'tooLarge' });
});
