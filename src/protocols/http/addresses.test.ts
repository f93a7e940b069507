import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { test } from 'node:test';
import { audienceOf, checkApiVersion, ifMatchOf, originForm, overriddenMethod, pathOf } from './addresses.ts';

test('a path has no query, no doubled and no trailing slashes', () => {
  for (const [url, path] of [
    ['/devices/d1/files/?api-version=1', '/devices/d1/files'],
    ['//devices///d1//?a=b/c', '/devices/d1'],
    ['/', '/'],
    ['//', '/'],
    ['/?x', '/'],
  ]) {
    assert.equal(pathOf(url), path);
  }
});

test('a request target in absolute form is the path and query in it', () => {
  for (const [target, expected] of [
    ['/devices?top=1', '/devices?top=1'],
    ['https://127.0.0.1/$iothub/websocket?iothub-no-client-cert=true', '/$iothub/websocket?iothub-no-client-cert=true'],
    ['HTTPS://hub:8443//devices', '//devices'],
    ['http://hub', '/'],
    ['https://hub?top=1', '/?top=1'],
    ['/https://hub/x', '/https://hub/x'],
    ['*', '*'],
  ]) {
    assert.equal(originForm(target), expected);
  }
});

test('the audience of a request is the identity that it names, each id encoded once', () => {
  assert.equal(audienceOf('h', '/devices', {}), 'h/devices');
  assert.equal(audienceOf('h', '/Statistics/Devices', {}), 'h/statistics/devices');
  assert.equal(audienceOf('h', '/devices/a%2523/commands', { deviceId: 'a%23' }), 'h/devices/a%2523');
  assert.equal(audienceOf('h', '/x', { deviceId: 'D', moduleId: 'm#' }), 'h/devices/D/modules/m%23');
});

test('If-Match is read quoted, bare and weak', () => {
  assert.equal(ifMatchOf(undefined), undefined);
  for (const text of ['"MQ=="', 'MQ==', 'W/"MQ=="', ' "MQ==" ']) assert.equal(ifMatchOf(text), 'MQ==', text);
  for (const text of ['*', '"*"']) assert.equal(ifMatchOf(text), '*', text);
  assert.equal(ifMatchOf('""'), '');
});

test('an api-version given twice is none', () => {
  checkApiVersion({ 'api-version': '2021-04-12' });
  assert.throws(() => checkApiVersion({ 'api-version': ['2021-04-12', '2021-04-12'] }), {
    code: 'InvalidProtocolVersion',
  });
});

test('only a POST can be another method', () => {
  const request = (method: string, wanted?: string): http.IncomingMessage => {
    const message = new http.IncomingMessage(new net.Socket());
    message.method = method;
    if (wanted !== undefined) message.headers['x-http-method-override'] = wanted;
    return message;
  };
  assert.equal(overriddenMethod(request('POST', ' patch ')), 'PATCH');
  assert.equal(overriddenMethod(request('POST', 'CONNECT')), undefined);
  assert.equal(overriddenMethod(request('POST')), undefined);
  assert.equal(overriddenMethod(request('GET', 'DELETE')), undefined);
});
