/** Methods wait for minutes: those of one back end take nothing from its other requests, and not all that there is from others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type tls from 'node:tls';
import { limits } from '../../src/base/limits.ts';
import { type HttpHub, openHttpHub, refusalIn } from '../drivers/http.ts';
import { withLimits } from './cost.ts';

const version = 'api-version=2021-04-12';
const bounds = { httpRequestsPerPolicyMax: 4, methodsPerPolicyMax: 8, methodsPerDeviceMax: 100 };

/** Methods to a device that never connects, under way until they are disposed of. */
async function waitingMethods(http: HttpHub, count: number): Promise<Disposable> {
  const sockets: tls.TLSSocket[] = [];
  const authorization = await http.token('service');
  const body = JSON.stringify({ methodName: 'm', connectTimeoutInSeconds: 300, responseTimeoutInSeconds: 300 });
  const head = `POST /twins/d1/methods?${version} HTTP/1.1\r\nhost: localhost\r\nauthorization: ${authorization}\r\ncontent-type: application/json\r\n`;
  for (let nth = 0; nth < count; nth++) {
    const socket = await http.connect();
    sockets.push(socket);
    socket.on('error', () => {}).resume();
    socket.write(`${head}content-length: ${body.length}\r\n\r\n${body}`);
  }
  return {
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** The answer to a method that is over a bound, asked for until the others are under way. */
async function refusedMethod(http: HttpHub, policy: string) {
  const headers = { authorization: await http.token(policy), 'content-type': 'application/json' };
  // Answered at once where it is let in: the device is not there.
  const body = { methodName: 'm', connectTimeoutInSeconds: 0, responseTimeoutInSeconds: 5 };
  for (const begun = performance.now(); ; ) {
    const answer = await http.request('POST', `/twins/d1/methods?${version}`, { headers, body });
    if (answer.status === 429 || performance.now() - begun > 20_000) return answer;
  }
}

test('methods that wait take nothing from the other requests of their back end, nor all that there is', async () => {
  await withLimits(bounds, async () => {
    await using http = await openHttpHub();
    await http.client().devices.create('d1');
    using _waiting = await waitingMethods(http, bounds.methodsPerPolicyMax);
    const refused = await refusedMethod(http, 'service');
    assert.equal(refused.status, 429);
    assert.equal(refusalIn(refused).code, 'ThrottlingException');
    assert.ok(bounds.methodsPerPolicyMax > bounds.httpRequestsPerPolicyMax);
    const headers = { authorization: await http.token('service') };
    assert.equal((await http.request('GET', `/twins/d1?${version}`, { headers })).status, 200, 'its other requests');
    const other = await http.request('POST', `/twins/d1/methods?${version}`, {
      headers: { 'content-type': 'application/json' },
      body: { methodName: 'm', connectTimeoutInSeconds: 0, responseTimeoutInSeconds: 5 },
    });
    assert.equal(refusalIn(other).code, 'DeviceNotOnline', 'a method of another back end');
  });
});

test('canary: without a share of their own, one back end has all methods that there are', async () => {
  await withLimits({ ...bounds, methodsMax: 8, methodsPerPolicyMax: Number.MAX_SAFE_INTEGER }, async () => {
    await using http = await openHttpHub();
    await http.client().devices.create('d1');
    using _waiting = await waitingMethods(http, limits.methodsMax);
    assert.equal((await refusedMethod(http, 'iothubowner')).status, 429, 'another back end is refused');
  });
});
