import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import type { Authentication } from '../identity/authentication.ts';
import type { DevicePrincipal } from '../identity/types.ts';
import { createRefusalDelays, slowRefusals } from './slow-refusals.ts';

const refusal = new HubError('IotHubUnauthorized', undefined, { reason: 'wrong-key' });

/** Lets in every client that shows the token `good`. */
function scene(delayMsMax = 5000, dropped?: (peer: string) => void) {
  const clock = new VirtualClock();
  const decide = async (token: string): Promise<DevicePrincipal> => {
    if (token === 'broken store') throw new HubError('ServiceUnavailable');
    if (token !== 'good') throw refusal;
    return { kind: 'device' } as DevicePrincipal;
  };
  const inner: Authentication = {
    device: (_, credential) => decide(credential?.kind === 'token' ? credential.token : ''),
    token: (token = '') => decide(token),
    spokenFor: (_, { deviceId }) => decide(deviceId),
    policyKey: (_, key) => decide(key) as never,
  };
  const authentication = slowRefusals(inner, clock, createRefusalDelays(clock, delayMsMax), dropped);
  const device = (deviceId: string, token: string, peer?: string): Promise<unknown> =>
    authentication.device({ deviceId }, { kind: 'token', token }, peer);
  /** Virtual milliseconds until the answer came. */
  const timed = async (answer: Promise<unknown>): Promise<number> => {
    const started = clock.monotonic();
    let ended: number | undefined;
    const end = (): void => {
      ended = clock.monotonic();
    };
    answer.then(end, end);
    for (;;) {
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
      if (ended !== undefined) return ended - started;
      clock.advance(100);
    }
  };
  return { clock, authentication, device, timed };
}

test('the first failures of an address are answered at once, the next ones later and later, up to the most', async () => {
  const { device, timed } = scene(2000);
  const delays: number[] = [];
  for (let nth = 0; nth < limits.failuresAtOnceMax + 7; nth++) delays.push(await timed(device(`d${nth}`, 'bad', 'a')));
  assert.deepEqual(delays, [...Array(limits.failuresAtOnceMax).fill(0), 100, 200, 400, 800, 1600, 2000, 2000]);
});

test('failures of one name are slowed down from wherever they come', async () => {
  const { device, timed } = scene();
  for (let nth = 0; nth < limits.failuresAtOnceMax; nth++) assert.equal(await timed(device('d1', 'bad', `a${nth}`)), 0);
  assert.equal(await timed(device('d1', 'bad', 'another')), 100);
  assert.equal(await timed(device('d2', 'bad', 'another')), 0);
});

test('a stranger’s failures never delay a good login: not of that name, not from that address', async () => {
  const { device, timed } = scene();
  for (let nth = 0; nth < 20; nth++) await timed(device('d1', 'bad', 'attacker'));
  assert.equal(await timed(device('d1', 'good', 'home')), 0);
  assert.equal(await timed(device('d1', 'good', 'attacker')), 0);
  assert.equal(await timed(device('d2', 'bad', 'elsewhere')), 0);
});

test('failures are forgiven with time', async () => {
  const { device, timed, clock } = scene();
  for (let nth = 0; nth < limits.failuresAtOnceMax + 2; nth++) await timed(device('d1', 'bad', 'a'));
  assert.ok((await timed(device('d1', 'bad', 'a'))) > 0);
  clock.advance(limits.failureForgivenMs * 20);
  assert.equal(await timed(device('d1', 'bad', 'a')), 0);
});

test('a failure that is not the peer’s is told at once; tokens and policies’ keys are slowed alike', async () => {
  const { authentication, device, timed } = scene();
  for (let nth = 0; nth < 20; nth++) assert.equal(await timed(device('d1', 'broken store', 'a')), 0);
  const token = (deviceId: string): string =>
    `SharedAccessSignature sr=localhost%2Fdevices%2F${deviceId}&se=1&sig=${encodeURIComponent(Buffer.alloc(32).toString('base64'))}`;
  for (let nth = 0; nth < limits.failuresAtOnceMax; nth++)
    await timed(authentication.token(token('d1'), undefined, `b${nth}`));
  assert.equal(await timed(device('d1', 'bad', 'c')), 100);
  for (let nth = 0; nth < limits.failuresAtOnceMax; nth++)
    await timed(authentication.policyKey('service', 'bad', `d${nth}`));
  assert.equal(await timed(authentication.policyKey('service', 'bad', 'e')), 100);
});

/** Attempts as they come at a socket at once: all are begun before one is answered. */
const settleAll = async (answers: readonly Promise<unknown>[]): Promise<Map<string, number>> => {
  const outcomes = new Map<string, number>();
  const count = (outcome: string): void => void outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  for (const answer of answers) {
    answer.then(
      () => count('let in'),
      (error) => count(error.code),
    );
  }
  for (let turn = 0; turn < 20 * answers.length; turn++) await Promise.resolve();
  return outcomes;
};

test('the delay holds at any concurrency: of an address that fails, no more are judged than may wait', async () => {
  const { device, clock } = scene();
  const places = limits.slowRefusalsPerAddressMax;
  let judged = 0;
  for (let second = 0; second < 60; second++) {
    const outcomes = await settleAll(Array.from({ length: 400 }, (_, nth) => device(`d${nth}`, 'bad', 'a')));
    judged += 400 - (outcomes.get('ThrottlingException') ?? 0);
    clock.advance(1000);
  }
  assert.ok(judged >= places, `${judged} judged`);
  // At once, while the delays grow, and then each place once in the longest delay.
  assert.ok(judged <= limits.failuresAtOnceMax + 7 * places + (places * 60) / 5, `${judged} judged in a minute`);
});

test('an address that has not failed is judged at any concurrency, and who is right there does not wait', async () => {
  const { device } = scene();
  await settleAll(Array.from({ length: 1000 }, (_, nth) => device(`d${nth}`, 'bad', 'attacker')));
  const honest = await settleAll(Array.from({ length: 1000 }, (_, nth) => device(`d${nth}`, 'good', 'home')));
  assert.deepEqual([...honest], [['let in', 1000]]);
});

test('who is right is let in from an address that fails, while a place is free', async () => {
  const { device } = scene();
  await settleAll(Array.from({ length: limits.slowRefusalsPerAddressMax }, (_, nth) => device(`d${nth}`, 'bad', 'a')));
  assert.deepEqual([...(await settleAll([device('d1', 'good', 'a')]))], [['let in', 1]]);
});

test('a site of IPv6 is one address, and attempts that are not judged are told', async () => {
  const told: string[] = [];
  const { device } = scene(5000, (peer) => told.push(peer));
  const attempts = Array.from({ length: 100 }, (_, nth) => device(`d${nth}`, 'bad', `2001:db8::${nth}`));
  const refused = (await settleAll(attempts)).get('ThrottlingException') ?? 0;
  assert.equal(refused, 100 - limits.failuresAtOnceMax - limits.slowRefusalsPerAddressMax);
  assert.equal(told.length, refused);
});

test('a crowd of refusals of many addresses is answered rather than kept', async () => {
  const { device, clock } = scene();
  const beyond = 100;
  const answers = Array.from({ length: limits.slowRefusalsMax + beyond + limits.failuresAtOnceMax }, (_, nth) =>
    device('d1', 'bad', `a${nth}`),
  );
  const outcomes = await settleAll(answers);
  assert.deepEqual([...outcomes], [['IotHubUnauthorized', beyond + limits.failuresAtOnceMax]]);
  clock.advance(10_000);
  await Promise.allSettled(answers);
});

test('off means off', async () => {
  const { device, timed } = scene(0);
  for (let nth = 0; nth < 50; nth++) assert.equal(await timed(device('d1', 'bad', 'a')), 0);
});
