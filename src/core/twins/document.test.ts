/** The two ways to write a twin say the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { carryOut } from './changes.ts';
import { type TwinIdentity, twinDocument, twinText } from './document.ts';
import { freshTwin, readReportedPatch, readTwinChange, reportedTwin } from './rules.ts';

const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const name = fc.constantFrom('a', 'ü"', '__proto__', '7', 'x\\y');
const value = fc.constantFrom<unknown>(
  '',
  'it\'s "',
  '\u2028',
  'ü\ud83d\ude00',
  0,
  -1.5,
  1e15,
  true,
  false,
  [1, 'x'],
  [],
  {},
);
const object = fc.dictionary(name, fc.oneof(value, fc.dictionary(name, value, { maxKeys: 3 })), { maxKeys: 4 });
const text = fc.constantFrom(null, 'a reason', 'with "quotes"');
const time = fc.constantFrom(0, 1, 1_764_000_000_000);
const identities = fc.record({
  ...{ deviceId: fc.constantFrom('d', "d'$!"), moduleId: fc.constantFrom(undefined, 'm') },
  ...{ etag: fc.constant('e'), status: fc.constantFrom('enabled', 'disabled'), statusReason: text },
  ...{ statusUpdatedTime: time, connectionStateUpdatedTime: time, lastActivityTime: time, connected: fc.boolean() },
  ...{ cloudToDeviceMessageCount: fc.nat(3), capabilities: fc.record({ iotEdge: fc.boolean() }), deviceScope: text },
  parentScopes: fc.constantFrom<readonly string[]>([], ['ms-azure-iot-edge://e-1']),
  authentication: fc.record({
    type: fc.constantFrom('sas', 'selfSigned'),
    x509Thumbprint: fc.constantFrom(null, { primaryThumbprint: 'AB', secondaryThumbprint: null }),
  }),
});

test('a twin as text is its document, whatever it holds', () => {
  fc.assert(
    fc.property(identities, object, object, fc.array(object, { maxLength: 3 }), (given, tags, desired, reports) => {
      const { moduleId, ...rest } = given;
      const identity = { ...rest, ...(moduleId !== undefined && { moduleId }) } as TwinIdentity;
      const change = readTwinChange(bytes({ tags, properties: { desired } }), 'merge');
      const done = carryOut(freshTwin(), change, { ifMatch: '*', time: 5, withEvents: false });
      assert.equal(done.kind, 'done');
      let twin = 'twin' in done ? done.twin : freshTwin();
      for (const [at, patch] of reports.entries()) twin = reportedTwin(twin, readReportedPatch(bytes(patch)), at);
      const configurations = reports.length === 0 ? undefined : ({ c1: 'applied', 'ü"': 'targeted' } as const);
      const facts = { identity, modelId: 'dtmi:x;1', twin, ...(configurations && { configurations }) };
      assert.deepEqual(JSON.parse(twinText(facts)), JSON.parse(JSON.stringify(twinDocument(facts))));
    }),
    { numRuns: 300, seed: Number(process.env.SEED ?? 20261202) },
  );
});
