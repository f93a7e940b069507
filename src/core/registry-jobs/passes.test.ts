import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Line } from './lines.ts';
import { passes as names, Passes } from './passes.ts';

const scope = (id: string): string => `ms-azure-iot-edge://${id}-1`;
const lineOf = (content: object): Line => {
  const bytes = Buffer.from(JSON.stringify(content));
  return { number: 1, offset: 0, end: bytes.length, bytes };
};
const passOf = (content: object): string => {
  const passes = new Passes();
  passes.see(lineOf(content));
  assert.deepEqual(passes.needed(), [passes.passOf(lineOf(content))]);
  return names[passes.passOf(lineOf(content))];
};

test('an edge device below another comes behind it, however the line names its id', () => {
  const edge = { capabilities: { iotEdge: true } };
  assert.equal(passOf({ id: 'lower', ...edge, parentScopes: [scope('upper')] }), 'edge devices 1');
  assert.equal(passOf({ id: 'upper', ...edge, deviceScope: scope('upper') }), 'devices');
  assert.equal(passOf({ deviceId: 'upper', ...edge, deviceScope: scope('upper') }), 'devices');
  assert.equal(passOf({ id: 'leaf', deviceScope: scope('lower') }), 'children');
});

test('names that are longer than any may be are not kept in mind: such a line is refused among the devices', () => {
  const edge = { capabilities: { iotEdge: true } };
  assert.equal(passOf({ id: 'x'.repeat(129), ...edge, parentScopes: [scope('upper')] }), 'devices');
  assert.equal(passOf({ id: 'lower', ...edge, parentScopes: ['x'.repeat(300)] }), 'devices');
});
