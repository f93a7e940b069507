import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Failure } from '../failure.ts';
import { readCredential, resourceOf } from './connection-string.ts';

const key = Buffer.alloc(32, 5).toString('base64');

test('a policy, a device, a module and an event hub are told apart', () => {
  const policy = readCredential(`HostName=hub.example;SharedAccessKeyName=service;SharedAccessKey=${key}`, 'test');
  assert.deepEqual(
    [policy.host, policy.policyName, policy.key, policy.port],
    ['hub.example', 'service', key, undefined],
  );
  assert.equal(resourceOf(policy), 'hub.example');

  const device = readCredential(`hostname=localhost:8443;DeviceId=d%1;sharedaccesskey=${key};`, 'test');
  assert.deepEqual([device.host, device.port, device.deviceId], ['localhost', 8443, 'd%1']);
  assert.equal(resourceOf(device), 'localhost/devices/d%1');

  const module = readCredential(`HostName=localhost;DeviceId=d1;ModuleId=m1;SharedAccessKey=${key}`, 'test');
  assert.equal(resourceOf(module), 'localhost/devices/d1/modules/m1');

  const events = readCredential(
    `Endpoint=sb://127.0.0.1:5672/;SharedAccessKeyName=service;SharedAccessKey=${key};EntityPath=hub1;UseDevelopmentEmulator=true`,
    'test',
  );
  assert.deepEqual([events.host, events.port, events.entityPath, events.emulator], ['127.0.0.1', 5672, 'hub1', true]);

  const address = readCredential(`HostName=[::1]:443;SharedAccessKeyName=a;SharedAccessKey=${key}`, 'test');
  assert.deepEqual([address.host, address.port], ['::1', 443]);
});

test('what is missing is named, and where it was looked for; the key is not shown', () => {
  const cases: readonly (readonly [text: string, says: RegExp])[] = [
    ['', /empty/],
    [`SharedAccessKeyName=a;SharedAccessKey=${key}`, /HostName/],
    [`HostName=h;SharedAccessKey=${key}`, /SharedAccessKeyName.*DeviceId/],
    ['HostName=h;SharedAccessKeyName=a', /SharedAccessKey is missing/],
    ['HostName=h;SharedAccessKeyName=a;SharedAccessKey=secret!', /not base64/],
    [`HostName=h:99999;SharedAccessKeyName=a;SharedAccessKey=${key}`, /port/],
    [`HostName=https://h/;SharedAccessKeyName=a;SharedAccessKey=${key}`, /host/],
    [key, /part 1/],
  ];
  for (const [text, says] of cases) {
    assert.throws(
      () => readCredential(text, 'the file'),
      (error: unknown) => {
        assert.ok(error instanceof Failure);
        assert.match(error.message, /the file/);
        assert.match(error.message, says);
        assert.doesNotMatch(`${error.message}${error.hint}`, /secret!|BQUF/);
        return true;
      },
      text,
    );
  }
});

test('any text is read or refused, never something else', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (text) => {
      try {
        readCredential(text, 'test');
      } catch (error) {
        assert.ok(error instanceof Failure);
      }
    }),
  );
});
