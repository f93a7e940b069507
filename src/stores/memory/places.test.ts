import assert from 'node:assert/strict';
import { test } from 'node:test';
import { placesContract } from '../contract/places.ts';
import { createMemoryPlaces } from './places.ts';

placesContract('memory', async (objections) => createMemoryPlaces((claim) => objections.of(claim)));

test('memory: each claim is asked about, in order', async () => {
  const asked: string[] = [];
  const places = createMemoryPlaces(({ generationId }) => void asked.push(generationId));
  const claim = { key: { deviceId: 'd1' }, connection: 1, node: 'a', since: 1000 };
  await places.claim([
    { ...claim, generationId: 'g1' },
    { ...claim, generationId: 'g2' },
  ]);
  assert.deepEqual(asked, ['g1', 'g2']);
});
