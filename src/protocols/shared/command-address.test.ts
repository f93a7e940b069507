import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandAddress, readCommandAddress } from './command-address.ts';

test('the address of a command is read in every form that SDKs write', () => {
  const cases: readonly (readonly [string, object | undefined])[] = [
    ['/devices/d1/messages/devicebound', { deviceId: 'd1' }],
    ['/devices/D1/messages/deviceBound', { deviceId: 'D1' }],
    ['devices/d1/messages/devicebound/', { deviceId: 'd1' }],
    ['amqps://localhost:5671/devices/d1/messages/devicebound', { deviceId: 'd1' }],
    ['/devices/a%3Ab%23/messages/devicebound', { deviceId: 'a:b#' }],
    ['/devices/100%/messages/devicebound', { deviceId: '100%' }],
    ['/devices/d1/modules/m1/messages/devicebound', { deviceId: 'd1', moduleId: 'm1' }],
    ['/devices/d1', undefined],
    ['/devices//messages/devicebound', undefined],
    ['/devices/d1/messages/devicebound/x', undefined],
    ['', undefined],
  ];
  for (const [text, key] of cases) assert.deepEqual(readCommandAddress(text), key, text);
});

test('what the hub writes names the identity again', () => {
  for (const key of [{ deviceId: "a-:.+_#*?!(),=@;$'" }, { deviceId: 'd', moduleId: 'm' }]) {
    assert.deepEqual(readCommandAddress(commandAddress(key)), key);
  }
});
