/**
 * What one attacker may have of a hub: each attack is carried out against a hub as a process of its own and counts what it got;
 * the bound says how much it may be. A witness behaves meanwhile, one request by HTTPS and one QoS 1 message after the other.
 * What it waits is printed, because machines differ, and must end. Then each bound is taken away by itself (a canary): its
 * attack must then get more, else the attack or the bound would be for show.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import tls from 'node:tls';
import { signSas } from '../../src/api/sas.ts';
import { limits } from '../../src/base/limits.ts';
import { systemRandom } from '../../src/base/random.ts';
import { makeAuthority } from '../../src/server/tls/certificates.ts';
import { AmqpDriver } from '../drivers/amqp.ts';
import { apiOf } from '../drivers/api.ts';
import { type HubOptions, startHub, type TestHub } from '../drivers/hub.ts';
import { rssOf } from './good-client.ts';
import { longest, percentile, startWitness } from './witness.ts';

const seconds = Number(process.env.MOORING_HOSTILE_SECONDS ?? 1.5);
const EVIL_KEY = Buffer.alloc(32, 9).toString('base64');
const version = 'api-version=2021-04-12';
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What an attack does with: connections that end with it, and a valid token of one device. */
interface Attacker {
  readonly hub: TestHub;
  readonly token: string;
  connect(options?: tls.ConnectionOptions): Promise<tls.TLSSocket>;
}

interface Attack {
  readonly name: string;
  /** Limits that are taken away for the canary, and flags of the hub. */
  readonly without: Readonly<Record<string, number>>;
  readonly args?: readonly string[];
  /** What it got may be so much. */
  readonly max: number;
  run(attacker: Attacker): Promise<number>;
}

const head = (token: string, rest: string, more = ''): string =>
  `${rest} HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${token}\r\n${more}\r\n`;

const answers = (text: string, status: number): number => text.split(`HTTP/1.1 ${status} `).length - 1;

const attacks: readonly Attack[] = [
  {
    name: 'WebSocket messages in fragments of a byte: connections that are kept with them',
    without: { websocketFragmentsMax: 1_000_000 },
    max: 0,
    async run({ connect }) {
      const sockets = await Promise.all(Array.from({ length: 10 }, () => connect()));
      const upgrade =
        'GET /$iothub/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n';
      const fragments = Buffer.concat(
        Array.from({ length: 5000 }, (_, nth) => Buffer.from([nth === 0 ? 2 : 0, 0x81, 0, 0, 0, 0, 0x10])),
      );
      for (const socket of sockets) {
        socket.write(upgrade);
        await once(socket, 'data');
        socket.resume();
        socket.write(fragments);
      }
      await pause(500);
      return sockets.filter((socket) => !socket.destroyed).length;
    },
  },
  {
    name: 'unfinished bodies of one device: MiB that are kept',
    without: { httpBodiesBytesPerDeviceMax: 2 ** 30 },
    max: 4,
    async run({ connect, token }) {
      const sockets = await Promise.all(Array.from({ length: 12 }, () => connect()));
      const post = head(token, `POST /devices/evil/messages/events?${version}`, 'Content-Length: 1048576\r\n');
      for (const socket of sockets) {
        socket.resume();
        socket.write(post);
        socket.write(Buffer.alloc(1_040_000, 0x61));
      }
      await pause(1000);
      return sockets.filter((socket) => !socket.destroyed).length;
    },
  },
  {
    name: 'pipelined requests of one connection: answers to one write',
    without: { httpPipelinedMax: 1_000_000 },
    max: 33,
    async run({ connect, token }) {
      const socket = await connect();
      let text = '';
      socket.on('data', (data) => {
        text += data.toString('latin1');
      });
      socket.write(head(token, `GET /devices/evil/messages/devicebound?${version}`).repeat(400));
      await pause(1500);
      return answers(text, 204);
    },
  },
  {
    name: 'guessing over many connections: guesses that are judged',
    without: { slowRefusalsPerAddressMax: 1_000_000 },
    args: ['--refusal-delay-seconds', '1'],
    // Those that are answered at once, and one for each place.
    max: 5 + 16,
    async run({ connect }) {
      const sockets = await Promise.all(Array.from({ length: 80 }, () => connect()));
      let judged = 0;
      for (const [at, socket] of sockets.entries()) {
        socket.on('data', (data) => {
          judged += answers(data.toString('latin1'), 401);
        });
        const wrong = `SharedAccessSignature sr=localhost%2Fdevices%2Fvictim${at}&sig=${'A'.repeat(43)}%3D&se=9999999999`;
        socket.write(head(wrong, `GET /devices/victim${at}/messages/devicebound?${version}`));
      }
      await pause(2500);
      return judged;
    },
  },
  {
    name: 'header lines of one request: those of a request that is read',
    without: { httpHeadersMax: 100_000 },
    max: limits.httpHeadersMax,
    async run({ connect, token }) {
      const socket = await connect();
      const lines = 2000;
      const answer = once(socket, 'data') as Promise<[Buffer]>;
      socket.write(head(token, `GET /devices/evil/messages/devicebound?${version}`, 'a:\r\n'.repeat(lines)));
      const [bytes] = await answer;
      return answers(bytes.toString('latin1'), 431) > 0 ? 0 : lines;
    },
  },
  {
    name: 'client certificates of 14 KiB: connections that are kept with them',
    without: { tlsLargeHandshakesMax: 1_000_000 },
    max: limits.tlsLargeHandshakesMax + 1,
    async run({ hub, connect }) {
      const chain = await Promise.all(
        Array.from({ length: 40 }, (_, nth) => makeAuthority(`large ${nth}`, Date.now(), systemRandom)),
      );
      const secureContext = tls.createSecureContext({
        ca: hub.ca,
        cert: chain.map(({ cert }) => cert).join(''),
        key: chain[0].key,
      });
      const port = hub.endpoints.ports.mqtts ?? 0;
      const sockets: tls.TLSSocket[] = [];
      for (let nth = 0; nth < limits.tlsLargeHandshakesMax + 12; nth++) {
        const socket = await connect({ port, secureContext, maxVersion: 'TLSv1.2' });
        socket.resume();
        sockets.push(socket);
      }
      await pause(1000);
      return sockets.filter(({ destroyed }) => !destroyed).length;
    },
  },
  {
    name: 'connections by AMQP of one device: those that it holds',
    without: { connectionsPerDeviceMax: 100_000 },
    args: ['--connections-max', '400'],
    max: 32,
    async run({ hub, token }) {
      const held: AmqpDriver[] = [];
      for (let nth = 0; nth < 40; nth++) {
        const client = await AmqpDriver.connect(hub.endpoints.ports.amqp ?? 0, {});
        await client.putToken(token, 'localhost/devices/evil');
        held.push(client);
      }
      await pause(300);
      const open = held.filter(({ connection }) => connection.is_open());
      for (const client of open) await client.cut();
      return open.length;
    },
  },
];

async function attackerOf(hub: TestHub): Promise<Attacker & Disposable> {
  const all = new Set<tls.TLSSocket>();
  const expiresAt = Date.now() + 3_600_000;
  return {
    hub,
    token: await signSas({ resource: 'localhost/devices/evil', key: EVIL_KEY, expiresAt }),
    async connect(options = {}) {
      const port = hub.endpoints.ports.https ?? 0;
      const socket = tls.connect({
        port,
        host: '127.0.0.1',
        localAddress: '127.0.0.7',
        ca: hub.ca,
        servername: 'localhost',
        ...options,
      } as tls.ConnectionOptions);
      socket.on('error', () => {});
      all.add(socket);
      await once(socket, 'secureConnect');
      return socket;
    },
    [Symbol.dispose]() {
      for (const socket of all) socket.destroy();
    },
  };
}

async function hubWith(options: HubOptions): Promise<TestHub> {
  const hub = await startHub(options);
  const api = apiOf(hub);
  await api.devices.create('evil', {
    authentication: { symmetricKey: { primaryKey: EVIL_KEY, secondaryKey: EVIL_KEY } },
  });
  await api.devices.create('good-1', {});
  api.close();
  return hub;
}

const figures = (times: readonly number[]): string => {
  const [p99, most] = [percentile(times, 0.99), longest(times)].map((ms) => ms.toFixed(1).padStart(6));
  return `${String(times.length).padStart(5)} p99 ${p99} longest ${most} ms`;
};

for (const attack of attacks) {
  const { name, max, args = [] } = attack;
  test(`one attacker, ${name}`, { timeout: 120_000 + seconds * 10_000 }, async () => {
    await using hub = await hubWith({ args });
    const witness = await startWitness(hub);
    const before = rssOf(hub.pid);
    const begun = performance.now();
    do {
      using attacker = await attackerOf(hub);
      const got = await attack.run(attacker);
      assert.ok(got <= max, `it got ${got} of at most ${max}`);
    } while (performance.now() - begun < seconds * 1000);
    const { mqtt, https } = await witness.stop();
    assert.ok(mqtt.length > 0 && https.length > 0, 'the witness was served');
    console.log(`${name}\n    QoS 1 ${figures(mqtt)}, HTTPS ${figures(https)}, RSS +${rssOf(hub.pid) - before} MiB`);
  });

  test(`canary: without its bound, ${name}, are more`, { timeout: 120_000 }, async () => {
    const canary = new URL('./canary.ts', import.meta.url).href;
    const env = { NODE_OPTIONS: `--import=${canary}`, CANARY_LIMITS: JSON.stringify(attack.without) };
    await using hub = await hubWith({ args, env });
    using attacker = await attackerOf(hub);
    const got = await attack.run(attacker);
    assert.ok(got > max, `it got ${got}, which is within its bound of ${max}`);
  });
}
