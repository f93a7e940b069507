import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { chirpStackUplink, theThingsStackUplink } from '../../../test/drivers/lorawan-samples.ts';
import { NotUnderstood } from './events.ts';
import { callFor, readEvent } from './network.ts';
import { settingsSchema } from './settings.ts';

test('an uplink of The Things Stack', () => {
  const event = readEvent('the-things-stack', theThingsStackUplink, null);
  assert.deepEqual(event, {
    kind: 'uplink',
    device: { devEui: '70b3d57ed0061a2b', reference: { application: 'water', device: 'meter-7' } },
    id: 'up:70b3d57ed0061a2b:AYxQ8w==:41:2026-11-29T10:00:00.123456789Z',
    payload: Buffer.from([1, 2, 3, 4]),
    decoded: { litres: 12.5 },
    fPort: 2,
    fCnt: 41,
    time: new Date('2026-11-29T09:59:59.900Z'),
    rssi: -61,
    snr: 9.8,
  });
});

test('an uplink of ChirpStack', () => {
  const event = readEvent('chirpstack', chirpStackUplink, 'up');
  assert.deepEqual(event, {
    kind: 'uplink',
    device: {
      devEui: '0101010101010101',
      reference: { application: '17c82e96-be03-4f38-aef3-f83d48582d97', device: '0101010101010101' },
    },
    id: 'up:0101010101010101:3ac7e3c4-4401-4b8d-9386-a5c902f9202d',
    payload: Buffer.from([0xff, 0]),
    decoded: { litres: 3 },
    fPort: 1,
    fCnt: 10,
    time: new Date('2026-11-29T10:00:00.250Z'),
    rssi: -48,
    snr: 9.2,
  });
});

test('what a server leaves out is 0, false or nothing', () => {
  const { end_device_ids, received_at } = theThingsStackUplink;
  const bare = readEvent('the-things-stack', { end_device_ids, received_at, uplink_message: {} }, null);
  assert.ok(bare.kind === 'uplink');
  assert.deepEqual(
    [bare.fPort, bare.fCnt, bare.payload.length, bare.decoded, bare.rssi],
    [0, 0, 0, undefined, undefined],
  );
});

test('joins, states and what becomes of downlinks', () => {
  const { end_device_ids, received_at } = theThingsStackUplink;
  const tts = (some: object): unknown[] => {
    const event = readEvent('the-things-stack', { end_device_ids, received_at, ...some }, null);
    assert.ok(event.kind === 'report');
    return [event.event, event.downlink?.outcome, event.downlink?.ids];
  };
  assert.deepEqual(tts({ join_accept: { session_key_id: 'x' } }), ['join', undefined, undefined]);
  assert.deepEqual(tts({ downlink_ack: { f_port: 1, correlation_ids: ['m-1', 'as:downlink:2'] } }), [
    'ack',
    'arrived',
    ['m-1', 'as:downlink:2'],
  ]);
  assert.deepEqual(tts({ downlink_nack: { correlation_ids: ['m-1'] } }), ['nack', 'failed', ['m-1']]);
  assert.deepEqual(tts({ downlink_failed: { downlink: { correlation_ids: ['m-1'] }, error: {} } }), [
    'failed',
    'failed',
    ['m-1'],
  ]);
  assert.deepEqual(tts({ downlink_queued: { correlation_ids: ['m-1'] } }), ['queued', 'undecided', ['m-1']]);
  const { deviceInfo, time } = chirpStackUplink;
  const cs = (event: string, some: object): unknown[] => {
    const found = readEvent('chirpstack', { deviceInfo, time, ...some }, event);
    assert.ok(found.kind === 'report');
    return [found.event, found.downlink?.outcome, found.downlink?.ids];
  };
  assert.deepEqual(cs('join', { devAddr: '01' }), ['join', undefined, undefined]);
  assert.deepEqual(cs('status', { batteryLevel: 80 }), ['status', undefined, undefined]);
  assert.deepEqual(cs('ack', { queueItemId: 'q1', acknowledged: true }), ['ack', 'arrived', ['q1']]);
  assert.deepEqual(cs('ack', { queueItemId: 'q1' }), ['nack', 'failed', ['q1']]);
  assert.deepEqual(cs('txack', { queueItemId: 'q1' }), ['sent', 'undecided', ['q1']]);
});

test('downlinks as each API wants them; a name is one part of the path', () => {
  const settings = settingsSchema.parse({
    plain: true,
    networks: [
      {
        name: 'a',
        kind: 'chirpstack',
        secret: 'eight or more',
        downlink: { url: 'https://h', token: 't', webhookId: 'w' },
      },
    ],
  }).networks[0].downlink;
  assert.ok(settings);
  const downlink = {
    device: { devEui: '0101010101010101', reference: { application: 'a/../b', device: 'm?x' } },
    ...{ payload: Buffer.from([1]), fPort: 9, confirmed: true, id: 'm-1' },
  };
  const tts = callFor('the-things-stack', settings, downlink);
  assert.equal(tts.path, '/api/v3/as/applications/a%2F..%2Fb/webhooks/w/devices/m%3Fx/down/push');
  assert.deepEqual(tts.body, {
    downlinks: [{ f_port: 9, frm_payload: 'AQ==', confirmed: true, priority: 'NORMAL', correlation_ids: ['m-1'] }],
  });
  const cs = callFor('chirpstack', settings, downlink);
  assert.equal(cs.path, '/api/devices/0101010101010101/queue');
  assert.deepEqual(cs.body, { queueItem: { devEui: '0101010101010101', fPort: 9, data: 'AQ==', confirmed: true } });
  assert.equal(cs.idOf({ id: 'q1' }), 'q1');
});

const wrong: readonly (readonly [
  what: string,
  kind: 'chirpstack' | 'the-things-stack',
  body: unknown,
  event: string | null,
])[] = [
  ['no object', 'the-things-stack', [], null],
  ['no device', 'the-things-stack', { uplink_message: {} }, null],
  ['a Dev EUI that is none', 'chirpstack', { deviceInfo: { devEui: '../../x' } }, 'up'],
  ['an unknown event', 'chirpstack', chirpStackUplink, 'nonsense'],
  ['no event', 'chirpstack', chirpStackUplink, null],
  ['nothing that is known', 'the-things-stack', { end_device_ids: theThingsStackUplink.end_device_ids }, null],
];

for (const [what, kind, body, event] of wrong) {
  test(`a body that is not understood: ${what}`, () => {
    assert.throws(() => readEvent(kind, body, event), NotUnderstood);
  });
}

test('whatever JSON comes, it is an event or not understood', () => {
  const { end_device_ids } = theThingsStackUplink;
  const { deviceInfo } = chirpStackUplink;
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom('up', 'ack', 'txack', 'join', 'log', 'x'), (some, event) => {
      const members = typeof some === 'object' && some !== null ? some : { some };
      for (const body of [
        some,
        { end_device_ids, uplink_message: some },
        { end_device_ids, downlink_ack: some, received_at: some },
        { ...members, end_device_ids: some },
      ]) {
        attempt(() => readEvent('the-things-stack', body, null));
      }
      for (const body of [some, { ...members, deviceInfo }, { deviceInfo: some, data: some, rxInfo: some, time: some }])
        attempt(() => readEvent('chirpstack', body, event));
    }),
    { numRuns: 2000 },
  );
});

function attempt(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof NotUnderstood, String(error));
  }
}
