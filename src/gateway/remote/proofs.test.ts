/** Shared keys that a gateway knows: what others ask for, and a hub that cannot say, take none away. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { NodeAnswer } from './amqp/request-node.ts';
import { type AskHub, Proofs } from './proofs.ts';
import { GatewayStore } from './store.ts';

const KEY = Buffer.alloc(32, 7).toString('base64');
const hasKey: AskHub = async ({ device }) => ({
  status: 200,
  description: '',
  body: JSON.stringify({ key: device.startsWith('meter-') ? KEY : null }),
});

function scene(t: TestContext): { proofs: Proofs; clock: VirtualClock; answer(as: AskHub | undefined): void } {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-gateway-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const clock = new VirtualClock();
  const store = new GatewayStore({ folder, clock, commitMs: 0 });
  t.after(() => store.close());
  let hub: AskHub | undefined = hasKey;
  const may = { vouched: () => true, certificate: () => true, psk: () => true };
  const proofs = new Proofs({ store, clock, hubName: 'h', createMax: 0, may, hub: () => hub });
  return {
    proofs,
    clock,
    answer(as) {
      hub = as;
    },
  };
}

const text = (key: Uint8Array | undefined): string | undefined => key && Buffer.from(key).toString('base64');

test('names that nobody has push out no key, however many are asked for', async (t) => {
  const { proofs, answer } = scene(t);
  assert.equal(text(await proofs.sharedKey('meter-1')), KEY);
  for (let name = 0; name <= limits.gatewaySharedKeysMax; name++)
    assert.equal(await proofs.sharedKey(`nobody-${name}`), undefined);
  answer(undefined);
  assert.equal(text(await proofs.sharedKey('meter-1')), KEY);
});

test('a hub that cannot say now has not said that there is no key', async (t) => {
  const { proofs, clock, answer } = scene(t);
  assert.equal(text(await proofs.sharedKey('meter-1')), KEY);
  assert.equal(await proofs.sharedKey('nobody'), undefined);
  const failures: (AskHub | undefined)[] = [
    undefined,
    async () => Promise.reject(new Error('cut')),
    ...[429, 500, 503].map((status) => async (): Promise<NodeAnswer> => ({ status, description: '', body: '' })),
  ];
  for (const failure of failures) {
    answer(failure);
    clock.advance(limits.gatewaySharedKeyMs + 1);
    assert.equal(text(await proofs.sharedKey('meter-1')), KEY);
    assert.equal(await proofs.sharedKey('nobody'), undefined);
    await assert.rejects(proofs.sharedKey('meter-2'), { name: 'Refused', code: 'unreachable' });
  }
  answer(async () => ({ status: 404, description: '', body: '' }));
  assert.equal(await proofs.sharedKey('meter-1'), undefined);
});
