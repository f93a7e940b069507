/** MQTT over WebSockets on the HTTPS port of the whole hub (device reference 2.10). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import mqtt, { type IClientOptions } from 'mqtt';
import mqttPacket, { type Packet } from 'mqtt-packet';
import { WebSocket } from 'ws';
import type { ApiClient } from '../../src/api/client.ts';
import { signSas } from '../../src/api/sas.ts';
import { limits } from '../../src/base/limits.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { connectPacket } from '../drivers/mqtt.ts';

let hub: TestHub;
let api: ApiClient;

before(async () => {
  hub = await startHub();
  api = apiOf(hub);
});

after(async () => {
  api.close();
  await hub[Symbol.asyncDispose]();
});

const address = (rest = ''): string => `wss://localhost:${hub.endpoints.ports.https}/$iothub/websocket${rest}`;

async function credentials(deviceId: string): Promise<{ clientId: string; username: string; password: Buffer }> {
  const device = await api.devices.create(deviceId).catch(() => api.devices.get(deviceId));
  const key = device.authentication.symmetricKey.primaryKey ?? '';
  const token = await signSas({ resource: `localhost/devices/${deviceId}`, key, expiresAt: Date.now() + 3_600_000 });
  const username = `localhost/${deviceId}/?api-version=2021-04-12`;
  return { clientId: deviceId, username, password: Buffer.from(token) };
}

/** A WebSocket that is open, and what comes over it. */
class Peer {
  readonly socket: WebSocket;
  readonly closed: Promise<number>;
  readonly #parser = mqttPacket.parser({ protocolVersion: 4 });
  readonly #packets: Packet[] = [];

  private constructor(socket: WebSocket) {
    this.socket = socket;
    this.#parser.on('packet', (packet) => this.#packets.push(packet));
    socket.on('message', (message: Buffer) => this.#parser.parse(message));
    socket.on('error', () => {});
    this.closed = once(socket, 'close').then(([code]) => code as number);
  }

  static async open(url = address(), subprotocols: string | string[] = 'mqtt'): Promise<Peer> {
    const socket = new WebSocket(url, subprotocols, { ca: hub.ca });
    await once(socket, 'open');
    return new Peer(socket);
  }

  static async connect(deviceId: string): Promise<Peer> {
    const peer = await Peer.open();
    peer.socket.send(mqttPacket.generate(connectPacket(await credentials(deviceId))));
    const connack = await peer.next();
    assert.ok(connack.cmd === 'connack' && connack.returnCode === 0);
    return peer;
  }

  async next(): Promise<Packet> {
    while (this.#packets.length === 0) await once(this.socket, 'message');
    return this.#packets.shift() as Packet;
  }
}

test('the npm client publishes and receives over a WebSocket', async () => {
  const fields = await credentials('npm');
  const options: IClientOptions = { ca: hub.ca, reconnectPeriod: 0, ...fields };
  const client = await mqtt.connectAsync(address(), options, false);
  await client.subscribeAsync('$iothub/twin/res/#');
  await Promise.all(
    Array.from({ length: 100 }, (_, at) =>
      client.publishAsync(`devices/npm/messages/events/n=${at}`, Buffer.alloc(3000, at), { qos: 1 }),
    ),
  );
  const answered = new Promise<string>((resolve) => client.once('message', resolve));
  await client.publishAsync('$iothub/twin/GET/?$rid=7', ' ');
  assert.equal(await answered, '$iothub/twin/res/200/?$rid=7');
  await client.endAsync();
});

async function disconnected(deviceId: string): Promise<void> {
  for (let look = 0; look < 1000; look++) {
    if ((await api.devices.get(deviceId)).connectionState !== 'Connected') return;
  }
  assert.fail(`${deviceId} is still connected`);
}

for (const offered of ['mqtt', 'MQTT', 'Mqtt']) {
  test(`the sub-protocol ${offered} is taken in the spelling that was offered`, async () => {
    const { socket } = await Peer.open(address(), ['other', offered]);
    assert.equal(socket.protocol, offered);
    socket.terminate();
  });
}

test('the query string does not count, nor how the dollar is written', async () => {
  const port = hub.endpoints.ports.https;
  for (const rest of ['/$iothub/websocket?iothub-no-client-cert=true', '/%24iothub/websocket', '/$IOTHUB/WebSocket?']) {
    const { socket } = await Peer.open(`wss://localhost:${port}${rest}`);
    socket.terminate();
  }
});

test('the request may name the whole URL, as the Java SDK does', async () => {
  const socket = tls.connect({ host: 'localhost', port: hub.endpoints.ports.https ?? 0, ca: hub.ca });
  await once(socket, 'secureConnect');
  const head = [
    'GET https://localhost/$iothub/websocket?iothub-no-client-cert=true HTTP/1.1',
    'Host: localhost',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Protocol: mqtt',
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n`);
  const [answer] = await once(socket, 'data');
  socket.destroy();
  assert.match(String(answer), /^HTTP\/1\.1 101 /);
});

for (const [name, url, subprotocol] of [
  ['another sub-protocol', '', 'soap'],
  ['another path', '/more', 'mqtt'],
] as const) {
  test(`${name} is refused with 404 and the body of every refusal`, async () => {
    const socket = new WebSocket(address(url), subprotocol, { ca: hub.ca });
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, import('node:http').IncomingMessage];
    assert.equal(response.statusCode, 404);
    let body = '';
    for await (const chunk of response) body += chunk;
    assert.match(JSON.parse(body).Message, /WebSocket/);
  });
}

test('packets may share a message, and a packet may span several', async () => {
  const peer = await Peer.connect('spans');
  const packet = mqttPacket.generate({
    cmd: 'publish',
    qos: 1,
    dup: false,
    retain: false,
    topic: 'devices/spans/messages/events/',
    messageId: 1,
    payload: Buffer.alloc(1000, 1),
  });
  for (let at = 0; at < packet.length; at += 100) peer.socket.send(packet.subarray(at, at + 100));
  assert.equal((await peer.next()).messageId, 1);
  const ping = mqttPacket.generate({ cmd: 'pingreq' });
  peer.socket.send(Buffer.concat([ping, packet, ping]));
  // PUBACK waits for the disk, the pings do not.
  assert.deepEqual(
    [(await peer.next()).cmd, (await peer.next()).cmd, (await peer.next()).cmd],
    ['pingresp', 'pingresp', 'puback'],
  );
  peer.socket.terminate();
});

test('WebSocket pings are answered', async () => {
  const { socket } = await Peer.connect('pings');
  const pong = once(socket, 'pong');
  socket.ping('hello');
  assert.equal(String((await pong)[0]), 'hello');
  socket.terminate();
});

test('a text message is refused with code 1003', async () => {
  const peer = await Peer.connect('text');
  peer.socket.send('hello');
  assert.equal(await peer.closed, 1003);
});

test('a message over the bound is refused with code 1009', async () => {
  const peer = await Peer.open();
  peer.socket.send(Buffer.alloc(limits.websocketMessageBytesMax + 1));
  assert.equal(await peer.closed, 1009);
});

test('a good-bye and a close by the peer both end with the closing handshake', async () => {
  const polite = await Peer.connect('polite');
  polite.socket.send(mqttPacket.generate({ cmd: 'disconnect' }));
  assert.equal(await polite.closed, 1000);
  const brief = await Peer.connect('polite');
  brief.socket.close(1000);
  assert.equal(await brief.closed, 1000);
  await disconnected('polite');
});

test('bytes that are no MQTT end the connection, and the hub lives', async () => {
  const peer = await Peer.open();
  peer.socket.send(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
  await peer.closed;
  (await Peer.connect('after')).socket.terminate();
});

test('a device that is deleted loses its WebSocket', async () => {
  const peer = await Peer.connect('deleted');
  await api.devices.delete('deleted');
  await peer.closed;
});

test('a stop of the hub ends WebSockets as well', async () => {
  const peer = await Peer.connect('stopped');
  const stopped = hub.stop();
  assert.equal(await peer.closed, 1000);
  assert.equal((await stopped).code, 0);
});
