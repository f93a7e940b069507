/** What a body of the HTTP doors may cost: it is counted on its bytes, and the first fault is the last that is looked for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scanJson } from '../../src/base/json-scan.ts';
import { limits } from '../../src/base/limits.ts';
import { HubError } from '../../src/core/errors.ts';
import { BATCH_CONTENT_TYPE, telemetryOf } from '../../src/protocols/http/device-mapping.ts';
import { openHttpHub, refusalIn } from '../drivers/http.ts';
import { registerDevice } from '../drivers/http-device.ts';
import { campaign, chanceOf } from '../fuzz/campaign.ts';
import { damagedText, meanJson } from '../fuzz/mutate.ts';
import { cpuMsOf, type LimitName, without } from './cost.ts';

const MiB = limits.requestBytesMax;
const list = (element: string): string => `[${`${element},`.repeat(MiB / (element.length + 1) - 2)}${element}]`;

/** Bodies of 1 MiB, each of which has a fault per few bytes. */
const bodies: readonly (readonly [what: string, body: string])[] = [
  ['numbers for messages', list('1')],
  ['empty messages', list('{}')],
  ['messages in the wrong place', list('[]')],
  ['one message with many properties', `[{"body":"","properties":{${pairs(90_000, '1')}}}]`],
  ['deep nesting', `${'['.repeat(MiB / 2)}${']'.repeat(MiB / 2)}`],
];

function pairs(count: number, value: string): string {
  return Array.from({ length: count }, (_, at) => `"${at.toString(36)}":${value}`).join();
}

const headers = ['content-type', BATCH_CONTENT_TYPE];

/** CPU time of a refused body, in that of looking at each of its bytes once. */
async function passesOf(body: Buffer, read: () => unknown): Promise<number> {
  const pass = await cpuMsOf(() => scanJson(body), 5);
  const refused = await cpuMsOf(() => assert.throws(read, HubError), 5);
  return refused / Math.max(pass, 1);
}

/** About one pass is seen with the bounds, 13 without them: far from both, whatever else runs. */
const PASSES_MAX = 4;
const bounds: readonly LimitName[] = ['httpBatchMessagesMax', 'httpBatchValuesMax', 'httpJsonDepthMax'];

test('a batch whose every element is wrong costs what its bytes cost', async () => {
  let worst = 0;
  for (const [what, text] of bodies) {
    const body = Buffer.from(text);
    const passes = await passesOf(body, () => telemetryOf(headers, body));
    assert.ok(passes < PASSES_MAX, `${what}: ${passes.toFixed(1)} passes`);
    const unbounded = await without(bounds, () => passesOf(body, () => telemetryOf(headers, body)));
    console.log(`${what}: ${passes.toFixed(1)} passes over the body, without bounds ${unbounded.toFixed(1)}`);
    worst = Math.max(worst, unbounded);
  }
  assert.ok(worst > PASSES_MAX, `without bounds the worst took ${worst.toFixed(1)}`);
});

test('what is counted is never less than what a parser makes', async () => {
  const count = (value: unknown): number => {
    if (Array.isArray(value)) return value.reduce<number>((sum, element) => sum + count(element), 1);
    if (typeof value !== 'object' || value === null) return 1;
    return Object.values(value).reduce<number>((sum, element) => sum + 1 + count(element), 1);
  };
  const texts = Array.from({ length: 200 }, (_, at) => meanJson(chanceOf('kept json', at)));
  const { inputs } = await campaign('json sizes', 1, (chance) => {
    const text = damagedText(chance, chance.pick(texts), texts);
    const { values, elements, depth } = scanJson(Buffer.from(text));
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch {
      return;
    }
    assert.ok(values >= count(parsed), `${values} values of ${text.slice(0, 200)}`);
    if (Array.isArray(parsed)) assert.ok(elements >= parsed.length);
    assert.ok(depth >= (typeof parsed === 'object' && parsed !== null ? 1 : 0));
  });
  assert.ok(inputs > 0);
});

test('bodies of the management API are refused by their size, and a refusal is short', async () => {
  await using http = await openHttpHub();
  await registerDevice(http, 'd1');
  const cases: readonly (readonly [method: string, path: string, body: string, code: string])[] = [
    ['POST', '/devices', list('{}'), 'ArgumentInvalid'],
    ['POST', '/devices', `[${'1,'.repeat(limits.bulkIdentitiesMax)}1]`, 'ArgumentInvalid'],
    ['PUT', '/devices/d2', `{"parentScopes":${list('1').slice(0, 60_000)}1]}`, 'ArgumentInvalid'],
    ['PUT', '/devices/d2', `${'['.repeat(100)}${']'.repeat(100)}`, 'ArgumentInvalid'],
    ['POST', '/mooring/v1/devices/d1/commands', `{${pairs(15_000, '1')}}`, 'ArgumentInvalid'],
    ['POST', '/mooring/v1/devices/d1/commands', `{"properties":{${pairs(15_000, '1')}}}`, 'ArgumentInvalid'],
  ];
  for (const [method, path, body, code] of cases) {
    const answer = await http.request(method, `${path}?api-version=2021-04-12`, { body });
    assert.deepEqual([answer.status, refusalIn(answer).code], [400, code], `${method} ${path} ${body.slice(0, 40)}`);
    assert.ok(answer.body.length < 4 * limits.httpFaultCharsMax, `${answer.body.length} characters`);
  }
  // What may be said still is: a command whose JSON is as large as a command may be.
  const json = `{"bodyJson":[${'1,'.repeat(limits.commandBytesMax / 2 - 100)}1]}`;
  const sent = await http.request('POST', '/mooring/v1/devices/d1/commands', { body: json });
  assert.equal(sent.status, 201);
});
