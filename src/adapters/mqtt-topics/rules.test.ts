import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOnline, reportOf, telemetryOf } from './body.ts';
import { deviceId } from './device-id.ts';
import { preset, presetNames } from './presets.ts';
import { type Asked, Mapping } from './rules.ts';
import { settingsSchema } from './settings.ts';

const all = new Mapping(presetNames.flatMap((name) => preset(name, undefined)));

/** What a message on a topic is, and its body and properties as the hub gets them. */
function told(topic: string, payload: string, mapping = all): object | undefined {
  const match = mapping.match(topic);
  if (match === undefined) return undefined;
  const { rule, dialect, device, properties } = match;
  if (rule.to === 'presence') return { dialect, device, online: isOnline(match, Buffer.from(payload)) };
  if (rule.to === 'nothing') return { dialect, to: 'nothing' };
  const { body, contentType } = telemetryOf(match, Buffer.from(payload), topic);
  return { dialect, device, to: rule.to, body: String(body), contentType, properties: { ...properties } };
}

const JSON_TYPE = 'application/json';

// Topics and bodies as the devices send them; their makers' pages are named in presets.ts.
const messages: readonly (readonly [topic: string, payload: string, expected: object])[] = [
  ['tele/tasmota_83D2/LWT', 'Online', { dialect: 'tasmota', device: 'tasmota_83D2', online: true }],
  ['tele/tasmota_83D2/LWT', 'Offline', { dialect: 'tasmota', device: 'tasmota_83D2', online: false }],
  [
    'tele/tasmota_83D2/SENSOR',
    '{"Time":"2026-11-29T10:00:00","ENERGY":{"Power":12,"Voltage":231}}',
    {
      ...{
        dialect: 'tasmota',
        device: 'tasmota_83D2',
        to: 'telemetry',
        contentType: JSON_TYPE,
        properties: { kind: 'SENSOR' },
      },
      body: '{"Time":"2026-11-29T10:00:00","ENERGY":{"Power":12,"Voltage":231}}',
    },
  ],
  [
    'stat/tasmota_83D2/POWER',
    'ON',
    {
      dialect: 'tasmota',
      device: 'tasmota_83D2',
      to: 'answer',
      contentType: JSON_TYPE,
      properties: { kind: 'POWER' },
      body: '{"POWER":"ON"}',
    },
  ],
  ['tasmota/discovery/83D2/config', '{}', { dialect: 'tasmota', to: 'nothing' }],
  ['shellies/shelly1pm-AB12/online', 'true', { dialect: 'shelly', device: 'shelly1pm-AB12', online: true }],
  [
    'shellies/shelly1pm-AB12/relay/0/power',
    '13.5',
    {
      ...{ dialect: 'shelly', device: 'shelly1pm-AB12', to: 'telemetry', contentType: JSON_TYPE },
      ...{ properties: { channel: 'relay/0/power' }, body: '{"relay/0/power":13.5}' },
    },
  ],
  ['shellies/shelly1pm-AB12/relay/0/command', 'on', { dialect: 'shelly', to: 'nothing' }],
  ['shellyplus1-7c87/online', 'false', { dialect: 'shelly-rpc', device: 'shellyplus1-7c87', online: false }],
  [
    'shellyplus1-7c87/events/rpc',
    '{"src":"shellyplus1-7c87","method":"NotifyStatus","params":{"switch:0":{"output":true}}}',
    {
      ...{
        dialect: 'shelly-rpc',
        device: 'shellyplus1-7c87',
        to: 'telemetry',
        contentType: JSON_TYPE,
        properties: { kind: 'rpc' },
      },
      body: '{"src":"shellyplus1-7c87","method":"NotifyStatus","params":{"switch:0":{"output":true}}}',
    },
  ],
  ['zigbee2mqtt/bridge/state', '{"state":"offline"}', { dialect: 'zigbee2mqtt', device: undefined, online: false }],
  ['zigbee2mqtt/bridge/devices', '[]', { dialect: 'zigbee2mqtt', to: 'nothing' }],
  [
    'zigbee2mqtt/hall/lamp/availability',
    '{"state":"online"}',
    { dialect: 'zigbee2mqtt', device: 'hall/lamp', online: true },
  ],
  [
    'zigbee2mqtt/hall/lamp',
    '{"brightness":254,"linkquality":96,"state":"ON"}',
    {
      ...{ dialect: 'zigbee2mqtt', device: 'hall/lamp', to: 'telemetry', contentType: JSON_TYPE, properties: {} },
      body: '{"brightness":254,"linkquality":96,"state":"ON"}',
    },
  ],
  ['zigbee2mqtt/hall/lamp/set', '{"state":"OFF"}', { dialect: 'zigbee2mqtt', to: 'nothing' }],
  ['greenhouse/status', 'online', { dialect: 'esphome', device: 'greenhouse', online: true }],
  [
    'greenhouse/sensor/air_temperature/state',
    '21.4',
    {
      ...{
        dialect: 'esphome',
        device: 'greenhouse',
        to: 'telemetry',
        contentType: JSON_TYPE,
        body: '{"air_temperature":21.4}',
      },
      properties: { component: 'sensor', entity: 'air_temperature' },
    },
  ],
  ['homeassistant/sensor/greenhouse/air_temperature/config', '{}', { dialect: 'esphome', to: 'nothing' }],
];

for (const [topic, payload, expected] of messages) {
  test(`what comes on ${topic} (${payload.slice(0, 20)})`, () => assert.deepEqual(told(topic, payload), expected));
}

const asked = (from: Asked['from'], variables: Record<string, string>, payload?: unknown): Asked => ({
  from,
  variables,
  payload,
  bytes: Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload ?? null)),
});

test('commands and methods go where each kind of device listens', () => {
  const to = (dialect: string, what: Asked): string[] =>
    all.outgoing(what, dialect).map(({ topic, body }) => `${topic} ${Buffer.from(body)}`);
  assert.deepEqual(to('tasmota', asked('command', { device: 'plug' }, 'TOGGLE')), ['cmnd/plug/POWER TOGGLE']);
  assert.deepEqual(to('tasmota', asked('command', { device: 'plug', command: 'Dimmer' }, '50')), [
    'cmnd/plug/Dimmer 50',
  ]);
  assert.deepEqual(to('shelly', asked('command', { device: 'shelly1-1', channel: 'relay/1' }, 'off')), [
    'shellies/shelly1-1/relay/1/command off',
  ]);
  assert.deepEqual(
    to('shelly-rpc', asked('method', { device: 'p', name: 'Switch.Set', id: '7' }, { id: 0, on: true })),
    ['p/rpc {"id":7,"src":"mooring/p","method":"Switch.Set","params":{"id":0,"on":true}}'],
  );
  assert.deepEqual(to('zigbee2mqtt', asked('desired', { device: 'hall/lamp', version: '4' }, { state: 'ON' })), [
    'zigbee2mqtt/hall/lamp/set {"state":"ON"}',
  ]);
  assert.deepEqual(to('esphome', asked('command', { device: 'g', component: 'switch', entity: 'pump' }, 'ON')), [
    'g/switch/pump/command ON',
  ]);
  assert.throws(() => to('esphome', asked('command', { device: 'g', component: 'switch' }, 'ON')), /"entity"/);
  assert.deepEqual(all.deviceInFilter('cmnd/plug/#'), { device: 'plug', dialect: 'tasmota' });
  assert.equal(all.deviceInFilter('cmnd/+/#'), undefined);
});

test('a base stands before the topics of a preset', () => {
  const mapping = new Mapping([...preset('zigbee2mqtt', 'site/z2m'), ...preset('tasmota', 'site')]);
  assert.deepEqual(told('site/z2m/lamp/set', 'x', mapping), { dialect: 'zigbee2mqtt', to: 'nothing' });
  assert.deepEqual(told('site/tele/p/LWT', 'Online', mapping), { dialect: 'tasmota', device: 'p', online: true });
});

test('only a JSON object is reported', () => {
  const mapping = new Mapping([
    { name: 'rules', inbound: settings({ inbound: [{ topic: '{device}/r', to: 'reported' }] }).inbound, outbound: [] },
  ]);
  const match = mapping.match('d/r');
  assert.ok(match);
  assert.deepEqual(reportOf(match, Buffer.from('{"a":1}')), { a: 1 });
  for (const body of ['[1]', '1', 'null', 'x']) assert.throws(() => reportOf(match, Buffer.from(body)));
});

test('names in topics become ids that the hub allows, never the same for two', () => {
  assert.equal(deviceId('z2m-{device}', 'hall lamp/1'), 'z2m-hall%20lamp%2F1');
  assert.notEqual(deviceId('{device}', 'a%20b'), deviceId('{device}', 'a b'));
  assert.equal(deviceId('{device}', 'ü'), '%C3%BC');
});

function settings(some: object): ReturnType<typeof settingsSchema.parse> {
  return settingsSchema.parse({ listen: { port: 0, plain: true }, ...some });
}

const wrong: readonly (readonly [what: string, value: object, says: RegExp])[] = [
  ['nothing to do', { presets: ['tasmota'] }, /set "listen".*"bridge"/],
  ['plain, not by name', { listen: { port: 0 }, presets: ['tasmota'] }, /"plain": true/],
  ['plain and TLS', { listen: { port: 0, plain: true, tls: 'host' }, presets: ['tasmota'] }, /"plain": true/],
  ['no rules', { listen: { plain: true } }, /name a preset/],
  [
    'an unknown name',
    { listen: { plain: true }, inbound: [{ topic: 'a/{device}', to: 'telemetry', properties: { x: '{y}' } }] },
    /no \{y\}/,
  ],
  [
    'presence without bodies',
    { listen: { plain: true }, inbound: [{ topic: 'a/{device}', to: 'presence' }] },
    /needs "online"/,
  ],
  [
    'a wildcard in what is sent',
    { listen: { plain: true }, outbound: [{ from: 'command', topic: 'a/+' }] },
    /no wildcards/,
  ],
  [
    'a method without such a value',
    { listen: { plain: true }, outbound: [{ from: 'method', topic: 'a/{nme}' }] },
    /has no \{nme\}/,
  ],
  [
    'a rule that none is left for',
    {
      listen: { plain: true },
      inbound: [
        { topic: 'p/{device}/{sensor}', to: 'telemetry' },
        { topic: 'p/{device}/state', to: 'reported' },
      ],
    },
    /"p\/\{device\}\/state" is never reached: "p\/\{device\}\/\{sensor\}"/,
  ],
  [
    'a user without password',
    { listen: { plain: true, users: [{ name: 'u', device: 'd' }] }, presets: ['tasmota'] },
    /password or passwordSha256/,
  ],
  [
    'a user without devices',
    { listen: { plain: true, users: [{ name: 'u', password: 'p' }] }, presets: ['tasmota'] },
    /which device it is/,
  ],
  [
    'devices without {device}',
    { listen: { plain: true, users: [{ name: 'u', password: 'p', devices: 'x' }] }, presets: ['tasmota'] },
    /needs \{device\}/,
  ],
  ['a broker with a password in its address', { bridge: { url: 'mqtt://u:p@h:1883' }, presets: ['tasmota'] }, /url/],
  ['an unknown setting', { bridge: { url: 'mqtt://h:1883' }, presets: ['tasmota'], topics: 1 }, /topics/],
  [
    'too many rules',
    { listen: { plain: true }, inbound: Array.from({ length: 129 }, () => ({ topic: 'a', to: 'nothing' })) },
    /inbound/,
  ],
];

for (const [what, value, says] of wrong) {
  test(`settings that cannot be used say so: ${what}`, () => {
    const result = settingsSchema.safeParse(value);
    assert.ok(!result.success);
    assert.match(result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '), says);
  });
}
