/**
 * Whole conversations: a peer that knows the protocol, is let in, and then says what the grammar allows and what it does
 * not. A session answers or ends; nothing fails inside the hub, and who behaves is served all the while.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import mqttPacket from 'mqtt-packet';
import { performative } from '../../src/wire/amqp/performatives.ts';
import { AmqpDriver, RawAmqp } from '../drivers/amqp.ts';
import { anonymous, attach, begin, flow, HEADER, open, plain, SASL_HEADER, transfer } from '../drivers/amqp-bytes.ts';
import { HUB_NAME, openAmqpTestHub } from '../drivers/amqp-door.ts';
import { openHttpHub } from '../drivers/http.ts';
import { registerDevice } from '../drivers/http-device.ts';
import { connectPacket } from '../drivers/mqtt.ts';
import { openTestDoor, serveStream } from '../drivers/mqtt-door.ts';
import { amqpFrame, amqpRequest } from './amqp-grammar.ts';
import { type Chance, campaign, corpus } from './campaign.ts';
import { mqttBytes } from './mqtt-grammar.ts';
import { damagedBytes, damagedText, meanJson } from './mutate.ts';

const SECONDS = 3;
/** How late who behaves may be served while the others do not; a machine that is busy elsewhere included. */
const SERVED_MS_MAX = 2000;
/** What may be kept after a campaign: code that was compiled on the way, caches that are bounded. */
const GROWTH_BYTES_MAX = 96 * 1024 * 1024;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

// Without a collection first, what is measured is garbage that happens to lie about.
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes that the process keeps. */
function kept(): number {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

async function within(limitMs: number, what: string, doing: () => Promise<void>): Promise<void> {
  const begun = performance.now();
  await doing();
  const took = performance.now() - begun;
  assert.ok(took < limitMs, `${what} took ${took.toFixed(0)} ms`);
}

test('MQTT sessions', async () => {
  await using door = await openTestDoor();
  await door.create({ deviceId: 'd1' });
  const credentials = await door.credentials({ deviceId: 'd1' });
  const good = await door.device('good');
  const before = kept();
  const { inputs } = await campaign('mqtt sessions', SECONDS, async (chance, input) => {
    const peer = serveStream(door);
    const connect = mqttPacket.generate(
      connectPacket({ ...credentials, clean: chance.once(2), keepalive: chance.pick([0, 1, 65_535]) }),
    );
    peer.stream.write(chance.once(6) ? damagedBytes(chance, connect) : connect);
    for (let wait = 0; wait < 20 && peer.writes.length === 0; wait++) await turn();
    // A session ends with the first thing that is wrong: every other one gets far.
    const isMild = chance.once(2);
    for (let count = chance.below(isMild ? 40 : 12); count > 0; count--) {
      const bytes = mqttBytes(chance, isMild);
      const cut = chance.below(bytes.length + 1);
      peer.stream.write(bytes.subarray(0, cut));
      if (chance.once(3)) await turn();
      peer.stream.write(bytes.subarray(cut));
      if (chance.once(3)) await turn();
    }
    for (let wait = 0; wait < 4; wait++) await turn();
    if (chance.once(2)) peer.stream.end();
    else peer.stream.destroy();
    if (input % 200 === 0) await within(SERVED_MS_MAX, 'a PING', () => good.ping());
    // The refused wait, later each time (`slow-refusals.ts`); here nobody has that time.
    if (input % 50 === 0) door.clock.advance(10);
  });
  await good.ping();
  const broken = door.lines.filter((line) => line.includes('could not be handled') || line.includes('could not serve'));
  assert.deepEqual(broken, []);
  assert.ok(inputs > 0);
  const stored = door.sent.length;
  console.log(
    `MQTT: ${stored} messages taken, ${((kept() - before) / 2 ** 20).toFixed(1)} MiB more kept, events included`,
  );
});

test('AMQP sessions of strangers, devices and back ends', async () => {
  await using hub = await openAmqpTestHub({ retentionBytes: 1024 * 1024 });
  await hub.append(0, ['one', 'two']);
  const device = await hub.device('d1');
  await hub.device('d2');
  const partition = `${HUB_NAME}/ConsumerGroups/$Default/Partitions/0`;
  const addresses = [
    ...[partition, '$cbs', `${HUB_NAME}/$management`, '/messages/devicebound', '/messages/serviceBound/feedback'],
    ...['messages/events', 'messages/devicebound', 'twin', 'methods/devicebound'].map((place) => device.address(place)),
    ...corpus('addresses'),
  ];
  const proofs = [
    [SASL_HEADER, plain('service', hub.key('service')), HEADER],
    [SASL_HEADER, plain(`d1@sas.${HUB_NAME}`, device.token()), HEADER],
    [
      SASL_HEADER,
      plain('iothubowner@sas.root.myhub', hub.token({ policyName: 'iothubowner', resource: 'localhost' })),
      HEADER,
    ],
    [SASL_HEADER, anonymous(), HEADER],
    [HEADER],
  ].map((parts) => Buffer.concat(parts));
  const good = await AmqpDriver.connect(hub.port, { username: 'service', password: hub.key('service') });
  const receiver = good.receive(partition);
  receiver.credit(2);
  await receiver.received(2);
  const before = kept();
  let read = 2;
  const { inputs } = await campaign('amqp sessions', 2 * SECONDS, async (chance, input) => {
    const socket = net.connect(hub.port, '127.0.0.1');
    socket.on('error', () => {});
    if (chance.once(4)) socket.pause();
    else socket.resume();
    await once(socket, 'connect');
    const proof = chance.pick(proofs);
    socket.write(chance.once(8) ? damagedBytes(chance, proof) : proof);
    if (!chance.once(10)) socket.write(Buffer.concat([open(chance.pick([0, 1, 60_000])), begin(0), begin(1)]));
    if (chance.once(3)) {
      const name = damagedText(chance, `localhost/devices/d1`, addresses).slice(0, 200);
      const put = { operation: 'put-token', type: 'azure-devices.net:sastoken', name };
      socket.write(attach(0, 'cbs', 5, false, '$cbs'));
      socket.write(
        transfer(0, 5, amqpRequest(chance, put, chance.once(2) ? device.token() : chance.pick(corpus('tokens')))),
      );
    }
    for (let count = chance.below(14); count > 0 && !socket.destroyed; count--) {
      const bytes = amqpFrame(chance, addresses);
      socket.write(chance.once(6) ? damagedBytes(chance, bytes) : bytes);
      if (chance.once(3)) await turn();
    }
    await turn();
    if (chance.once(2)) socket.end();
    else socket.destroy();
    socket.resume();
    setTimeout(() => socket.destroy(), 200).unref();
    if (input % 100 === 0) {
      await within(SERVED_MS_MAX, 'an event', async () => {
        await hub.append(0, [`alive ${input}`]);
        receiver.credit(1);
        await receiver.received(++read);
      });
    }
  });
  assert.ok(inputs > 0);
  await good.close();
  const raw = await RawAmqp.connect(hub.port);
  raw.write(HEADER, open(), begin(0), flow(0, { echo: true }));
  await raw.frame(performative.flow);
  raw.socket.destroy();
  const failed = hub.lines.filter((line) => JSON.parse(line).level === 'error');
  assert.deepEqual(failed, []);
  const grown = kept() - before;
  console.log(`AMQP: ${(grown / 2 ** 20).toFixed(1)} MiB more kept`);
  assert.ok(grown < GROWTH_BYTES_MAX, `${grown} bytes`);
});

/** An HTTP/1.1 request that is nearly one. */
function requestOf(chance: Chance, tokens: readonly string[]): Buffer {
  const paths = [
    '/devices/d1',
    '/devices',
    '/devices/d1/modules/m1',
    '/devices/d1/messages/events',
    '/devices/d1/messages/deviceBound',
    '/messages/servicebound/feedback',
    '/mooring/v1/consumer-groups',
    '/mooring/v1/certificate-authorities/x',
    '/statistics/devices',
    '/$iothub/websocket',
    ...corpus('addresses').map((text) => `/${text}`),
  ];
  const line = chance.once(2) ? chance.pick(paths) : damagedText(chance, chance.pick(paths), paths).slice(0, 20_000);
  const method = chance.once(8)
    ? chance.pick(['PATCH', 'OPTIONS', 'HEAD', 'TRACE', 'CONNECT', 'get', 'PRI'])
    : chance.pick(['GET', 'GET', 'PUT', 'POST', 'DELETE']);
  const body = chance.once(2)
    ? ''
    : chance.once(2)
      ? meanJson(chance)
      : damagedText(chance, chance.pick(corpus('texts')), paths);
  const bytes = Buffer.from(body.slice(0, 200_000));
  const length = chance.once(10) ? chance.pick([0, -1, 5, 1e9, 'x', '0x10', '1, 2']) : bytes.length;
  const headers = [
    `Host: ${chance.once(10) ? 'evil.example' : 'localhost'}`,
    `Authorization: ${chance.once(6) ? damagedText(chance, chance.pick(tokens), tokens).slice(0, 12_000) : chance.pick(tokens)}`,
    `Content-Type: ${chance.pick(['application/json', 'application/json; charset=utf-16', 'text/plain', 'application/vnd.microsoft.iothub.json'])}`,
    ...(chance.once(8) ? ['Transfer-Encoding: chunked'] : []),
    ...(chance.once(12) ? ['Transfer-Encoding : chunked', 'Content-Length: 3'] : []),
    `Content-Length: ${length}`,
    ...(chance.once(5) ? [`If-Match: ${damagedText(chance, '"e"', paths)}`] : []),
    ...(chance.once(5)
      ? [`iothub-app-${damagedText(chance, 'a', paths).slice(0, 40)}: ${damagedText(chance, 'b', paths)}`]
      : []),
    ...(chance.once(6) ? ['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Protocol: mqtt'] : []),
    ...(chance.once(9) ? ['x-http-method-override: DELETE'] : []),
    ...(chance.once(9) ? ['Content-Encoding: gzip', 'Expect: 100-continue'] : []),
    ...(chance.once(20) ? [`X-Bomb: ${'x'.repeat(30_000)}`] : []),
    ...(chance.once(20) ? Array.from({ length: 1500 }, (_, at) => `x${at}: 1`) : []),
  ];
  const query = line.includes('?')
    ? ''
    : `?api-version=${chance.pick(['2021-04-12', '2021-04-12', '2020-03-13', 'x'])}`;
  const head = `${method} ${line}${query} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`;
  const whole = Buffer.concat([Buffer.from(head, 'utf8'), bytes]);
  return chance.once(5) ? damagedBytes(chance, whole) : whole;
}

test('HTTP requests', async () => {
  await using http = await openHttpHub();
  const device = await registerDevice(http, 'd1');
  const tokens = [await http.token(), await http.token('service'), await device.token(), ...corpus('tokens')];
  const api = http.client();
  const before = kept();
  const statuses = new Map<number, number>();
  const { inputs } = await campaign('http requests', 2 * SECONDS, async (chance, input) => {
    const socket = await http.connect();
    socket.on('error', () => {});
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    for (let count = 1 + chance.below(4); count > 0; count--) socket.write(requestOf(chance, tokens));
    await new Promise<void>((resolve) => {
      socket.once('data', () => resolve());
      socket.once('close', () => resolve());
      setTimeout(resolve, 20);
    });
    socket.destroy();
    for (const [, status] of text.matchAll(/HTTP\/1\.1 (\d{3})/g)) {
      statuses.set(Number(status), (statuses.get(Number(status)) ?? 0) + 1);
    }
    assert.doesNotMatch(text, /node_modules|at Object\.|\.ts:\d+/, 'no stack leaves the hub');
    if (input % 100 === 0)
      await within(SERVED_MS_MAX, 'a request', async () => void (await api.devices.get('d1').catch(absent)));
  });
  assert.ok(inputs > 0);
  const failed = http.log.filter(({ level }) => level === 'error');
  assert.deepEqual(failed, []);
  const grown = kept() - before;
  console.log(
    `HTTP: ${(grown / 2 ** 20).toFixed(1)} MiB more kept; ${[...statuses]
      .sort()
      .map((entry) => entry.join(': '))
      .join(', ')}`,
  );
  assert.ok(
    [...statuses.keys()].every((status) => status < 500 || status === 501 || status === 503),
    [...statuses.keys()].join(),
  );
  assert.ok(grown < GROWTH_BYTES_MAX, `${grown} bytes`);
});

/** A campaign may delete the device, which it has the right to. */
function absent(error: unknown): void {
  assert.match(String(error), /not|DeviceNotFound/i);
}
