/** The adapter lorawan: webhooks over real HTTP, and a small server in place of the network's API that checks what it gets. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import lorawan from '../../src/adapters/lorawan/index.ts';
import { limits } from '../../src/base/limits.ts';
import { FakeHub, type RunningAdapter, runAdapter } from '../../src/gateway/testing/index.ts';
import { chirpStackUplink, theThingsStackUplink } from '../drivers/lorawan-samples.ts';
import { until } from '../drivers/until.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'lorawan-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const secretFile = path.join(folder, 'secret');
const tokenFile = path.join(folder, 'token');
writeFileSync(secretFile, 'webhook secret\n');
writeFileSync(tokenFile, 'NNSXS.KEY\n');
const bearer = { authorization: 'Bearer webhook secret' };

interface Call {
  readonly path: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: unknown;
}

interface Api {
  readonly url: string;
  readonly calls: Call[];
  /** Status of the next answers; 200 when none is left. */
  readonly statuses: number[];
}

/** The API of a network's server: takes what it documents, and nothing else. */
async function api(context: { after(work: () => void): void }): Promise<Api> {
  const calls: Call[] = [];
  const statuses: number[] = [];
  const server = http.createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    assert.equal(request.method, 'POST');
    assert.equal(request.headers['content-type'], 'application/json');
    calls.push({ path: request.url ?? '', headers: request.headers, body: JSON.parse(text) });
    const status = statuses.shift() ?? 200;
    response.writeHead(status, status === 302 ? { location: 'http://127.0.0.1:1/' } : {});
    response.end(status === 200 && request.url?.startsWith('/api/devices/') ? `{"id":"queue-${calls.length}"}` : '{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls, statuses };
}

interface Site {
  readonly hub: FakeHub;
  readonly adapter: RunningAdapter;
  readonly base: string;
  /** @returns the status */
  post(network: string, body: unknown, headers?: Record<string, string>): Promise<number>;
}

async function site(
  context: { after(work: () => Promise<void>): void },
  downlink?: object,
  some: object = {},
): Promise<Site> {
  const hub = new FakeHub();
  const common = {
    secret: { $file: secretFile },
    devicesMax: 2,
    ...(downlink && { downlink: { token: { $file: tokenFile }, ...downlink } }),
    ...some,
  };
  const networks = [
    { name: 'tts', kind: 'the-things-stack', ...common },
    { name: 'chirp', kind: 'chirpstack', ...common },
  ];
  const adapter = await runAdapter(lorawan, { port: 0, plain: true, networks }, hub);
  context.after(() => adapter.stop());
  const base = `http://127.0.0.1:${adapter.ports[0]}/lorawan`;
  const post = async (network: string, body: unknown, headers: Record<string, string> = bearer): Promise<number> => {
    const response = await fetch(`${base}/${network}`, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
      redirect: 'error',
    });
    await response.arrayBuffer();
    return response.status;
  };
  return { hub, adapter, base, post };
}

const meter7 = '70b3d57ed0061a2b';
const meter8 = '0101010101010101';

test('uplinks of both servers are stored with what the server has decoded, and answered then', async (context) => {
  const { hub, post } = await site(context);
  hub.addDevice(meter7);
  hub.addDevice(meter8);
  assert.equal(await post('tts', theThingsStackUplink), 204);
  assert.equal(await post('chirp?event=up', chirpStackUplink), 204);
  const [tts, chirp] = hub.messages;
  assert.deepEqual(
    [tts.device, tts.text, tts.message.contentType, tts.until],
    [meter7, '{"litres":12.5}', 'application/json', 'stored'],
  );
  assert.deepEqual(
    { ...tts.message.properties },
    { 'lorawan-event': 'up', 'lorawan-fport': '2', 'lorawan-fcnt': '41', 'lorawan-rssi': '-61', 'lorawan-snr': '9.8' },
  );
  assert.deepEqual([tts.message.created?.toISOString(), tts.message.address], ['2026-11-29T09:59:59.900Z', meter7]);
  assert.deepEqual([chirp.device, chirp.text], [meter8, '{"litres":3}']);
});

test('without a decoder the bytes are stored; joins and states are messages of their own', async (context) => {
  const { hub, post } = await site(context);
  hub.addDevice(meter8);
  assert.equal(await post('chirp?event=up', { ...chirpStackUplink, object: undefined }), 204);
  assert.equal(await post('chirp?event=status', { ...chirpStackUplink, batteryLevel: 80 }), 204);
  const [up, status] = hub.messages.map(({ message }) => message);
  assert.deepEqual([[...(up.body as Uint8Array)], up.contentType], [[0xff, 0], 'application/octet-stream']);
  assert.equal(JSON.parse(String(status.body)).batteryLevel, 80);
  assert.equal(status.properties?.['lorawan-event'], 'status');
});

test('a message that the server sends again is answered and not stored twice', async (context) => {
  const { hub, post } = await site(context);
  hub.addDevice(meter7);
  const again = await Promise.all(Array.from({ length: 5 }, () => post('tts/up', theThingsStackUplink)));
  assert.deepEqual([...again, await post('tts/up', theThingsStackUplink)], [204, 204, 204, 204, 204, 204]);
  assert.equal(hub.messages.length, 1);
  const next = structuredClone(theThingsStackUplink);
  next.uplink_message.f_cnt++;
  assert.equal(await post('tts/up', next), 204);
  assert.equal(hub.messages.length, 2);
});

test('only with the secret, also by Basic; a network that there is not looks the same', async (context) => {
  const { hub, post, base } = await site(context);
  hub.addDevice(meter7);
  for (const headers of [
    {},
    { authorization: 'Bearer webhook secre' },
    { authorization: 'Basic !' },
    { authorization: 'webhook secret' },
  ]) {
    assert.equal(await post('tts', theThingsStackUplink, headers as Record<string, string>), 401);
  }
  assert.equal(await post('nothing', theThingsStackUplink), 401);
  const basic = `Basic ${Buffer.from('anybody:webhook secret').toString('base64')}`;
  assert.equal(await post('tts', theThingsStackUplink, { authorization: basic }), 204);
  assert.equal((await fetch(`${base}/tts`, { headers: bearer })).status, 405);
  assert.equal(hub.messages.length, 1);
});

test('what cannot be stored is answered as such, and may come again', async (context) => {
  const { hub, post } = await site(context);
  assert.equal(await post('tts', theThingsStackUplink), 403, 'the hub does not know the device');
  hub.addDevice(meter7);
  assert.equal(await post('tts', theThingsStackUplink), 204);
  assert.equal(await post('tts', { x: 1 }), 422);
  assert.equal(await post('tts', 'x'.repeat(limits.lorawanBodyBytesMax)), 413);
  const other = structuredClone(theThingsStackUplink);
  for (const [at, devEui] of ['00000000000000aa', '00000000000000bb'].entries()) {
    hub.addDevice(devEui);
    other.end_device_ids.dev_eui = devEui;
    assert.equal(await post('tts', other), at === 0 ? 204 : 403, 'devicesMax is 2');
  }
});

test('a command becomes a downlink of The Things Stack; a confirmed one is settled by what the device says', async (context) => {
  const { url, calls } = await api(context);
  const { hub, post } = await site(context, { url, webhookId: 'hub', fPort: 10 });
  hub.addDevice(meter7);
  assert.equal(await post('tts', theThingsStackUplink), 204);
  assert.equal(await hub.sendCommand(meter7, 'open'), 'complete');
  const [call] = calls;
  assert.equal(call.path, '/api/v3/as/applications/water/webhooks/hub/devices/meter-7/down/push');
  assert.equal(call.headers.authorization, 'Bearer NNSXS.KEY');
  const { downlinks } = call.body as { downlinks: Record<string, unknown>[] };
  assert.deepEqual(
    [downlinks.length, downlinks[0].f_port, downlinks[0].frm_payload, downlinks[0].confirmed],
    [1, 10, Buffer.from('open').toString('base64'), false],
  );
  assert.equal(await hub.sendCommand(meter7, 'x', { fPort: '0' }), 'reject');
  assert.equal(await hub.sendCommand(meter7, 'x'.repeat(limits.lorawanPayloadBytesMax + 1)), 'reject');
});

test('an API that fails for now is called again; one that refuses rejects the command; a redirect is not followed', async (context) => {
  const { url, calls, statuses } = await api(context);
  const { hub, post } = await site(context, { url });
  hub.addDevice(meter8);
  assert.equal(await post('chirp?event=up', chirpStackUplink), 204);
  statuses.push(503, 200);
  assert.equal(await hub.sendCommand(meter8, 'open', { fPort: '7' }), 'complete');
  assert.deepEqual(
    calls.map(({ path: called }) => called),
    [`/api/devices/${meter8}/queue`, `/api/devices/${meter8}/queue`],
  );
  assert.equal(calls[1].headers['grpc-metadata-authorization'], 'Bearer NNSXS.KEY');
  assert.deepEqual(calls[1].body, { queueItem: { devEui: meter8, fPort: 7, data: 'b3Blbg==', confirmed: false } });
  statuses.push(404, 302);
  assert.equal(await hub.sendCommand(meter8, 'a'), 'reject');
  assert.equal(await hub.sendCommand(meter8, 'b'), 'reject');
  assert.equal(calls.length, 4);
});

test('slow and broken requests end by themselves, and others are served meanwhile', async (context) => {
  const { hub, adapter, post } = await site(context);
  hub.addDevice(meter7);
  const sockets = [
    'GET ',
    'POST /lorawan/tts HTTP/1.1\r\n',
    '\x16\x03\x01\x02\x00',
    `GET / HTTP/1.1\r\nx: ${'y'.repeat(limits.lorawanHeaderBytesMax)}\r\n`,
  ].map((text) => {
    const socket = net.connect(adapter.ports[0], '127.0.0.1');
    socket.on('error', () => {});
    socket.write(text);
    return socket;
  });
  assert.equal(await post('tts', theThingsStackUplink), 204);
  await until('what is no HTTP is closed', () => sockets[2].closed && sockets[3].closed);
  for (const socket of sockets) socket.destroy();
});

test('a path that is none looks like every other one, and is not told in the log', async (context) => {
  const { adapter } = await site(context);
  for (const target of ['//', 'http://[', '*']) {
    const request = http.request({ port: adapter.ports[0], path: target, method: 'POST' }).end();
    const status = await new Promise((resolve, reject) => {
      request.on('error', reject).on('response', (response) => resolve(response.resume().statusCode));
    });
    assert.equal(status, 401, target);
  }
  assert.deepEqual(
    adapter.lines.filter(({ level }) => level === 'warn'),
    [],
  );
});

test('an id of a command that is long comes back in its acknowledgement, which is stored', async (context) => {
  const { hub, post } = await site(context);
  hub.addDevice(meter7);
  const { end_device_ids, received_at } = theThingsStackUplink;
  const ids = [`command-${'x'.repeat(110)}`];
  const ack = { end_device_ids, received_at, downlink_ack: { correlation_ids: ids } };
  assert.deepEqual([await post('tts', ack), await post('tts', ack)], [204, 204]);
  assert.equal(hub.messages.length, 1);
  assert.ok((hub.messages[0].message.messageId ?? '').length <= limits.messageIdCharsMax);
});

test('names that would lead elsewhere in the API are not taken', async (context) => {
  const { hub, post } = await site(context);
  hub.addDevice(meter7);
  const other = structuredClone(theThingsStackUplink);
  other.end_device_ids.application_ids.application_id = '..';
  assert.equal(await post('tts', other), 422);
});

test('one address that holds all the connections it may have keeps no server of another one out', async (context) => {
  const hub = new FakeHub();
  const networks = [{ name: 'tts', kind: 'the-things-stack', secret: { $file: secretFile } }];
  const adapter = await runAdapter(lorawan, { port: 0, plain: true, connectionsMax: 8, networks }, hub);
  context.after(() => adapter.stop());
  hub.addDevice(meter7);
  const sockets = Array.from({ length: 12 }, () => net.connect(adapter.ports[0], '127.0.0.1').on('error', () => {}));
  context.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  await until('those that are too many are closed', () => sockets.filter(({ closed }) => closed).length >= 4);
  const status = await new Promise((resolve, reject) => {
    const options = { port: adapter.ports[0], localAddress: '127.0.0.2', path: '/lorawan/tts', method: 'POST' };
    const request = http.request({ ...options, headers: bearer });
    request.on('error', reject).on('response', (response) => resolve(response.resume().statusCode));
    request.end(JSON.stringify(theThingsStackUplink));
  });
  assert.equal(status, 204);
});
