/** What strangers, and devices that have turned, do to a hub. Each attack goes on until its signal, and cleans up. */
import net from 'node:net';
import tls from 'node:tls';
import mqttPacket from 'mqtt-packet';
import { parseConnectionString } from '../../src/api/connection-string.ts';
import { attach, begin, flow, HEADER, open, plain, SASL_HEADER, transfer } from '../drivers/amqp-bytes.ts';
import { connectPacket } from '../drivers/mqtt.ts';
import { connectFields, deviceToken, type Victim } from './good-client.ts';

export interface Attack {
  readonly name: string;
  run(hub: Victim, signal: AbortSignal): Promise<void>;
}

/** Another address than the good client's, where the attack is one machine's. */
const ATTACKER = '127.0.0.7';
const count = (standard: number): number => Number(process.env.MOORING_HOSTILE_CONNECTIONS ?? standard);

/** Sockets that end with the attack. */
class Crowd {
  readonly #sockets = new Set<net.Socket>();

  constructor(signal: AbortSignal) {
    signal.addEventListener('abort', () => {
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  tcp(port: number | null, localAddress = ATTACKER): net.Socket {
    return this.#keep(net.connect({ port: port ?? 0, host: '127.0.0.1', localAddress }));
  }

  tls(port: number | null, options: tls.ConnectionOptions = {}): tls.TLSSocket {
    const socket = tls.connect({ port: port ?? 0, host: '127.0.0.1', rejectUnauthorized: false, ...options });
    this.#keep(socket);
    return socket;
  }

  #keep<S extends net.Socket>(socket: S): S {
    this.#sockets.add(socket);
    socket.setMaxListeners(0);
    socket.on('error', () => {});
    socket.once('close', () => this.#sockets.delete(socket));
    return socket;
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
const breath = (ms = 1): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
/** Opened, or closed again before that. */
const settled = (socket: net.Socket, event: string): Promise<void> =>
  new Promise((resolve) => {
    socket.once(event, () => resolve());
    socket.once('close', () => resolve());
  });

function idle(name: string, address: string): Attack {
  return {
    name,
    async run(hub, signal) {
      const crowd = new Crowd(signal);
      const { mqtts, amqps, https } = hub.endpoints.ports;
      for (let made = 0; made < count(3000) && !signal.aborted; made += 50) {
        const ports = [mqtts, amqps, https];
        await Promise.all(Array.from({ length: 50 }, (_, at) => settled(crowd.tcp(ports[at % 3], address), 'connect')));
      }
      await aborted(signal);
    },
  };
}

/** One byte a second, in each phase of each protocol. */
const slowSenders: Attack = {
  name: 'slow senders: TLS, CONNECT, AMQP, HTTP head, body, upgrade',
  async run(hub, signal) {
    const crowd = new Crowd(signal);
    const { mqtts, amqps, https, amqp, mqtt } = hub.endpoints.ports;
    const hello = Buffer.from('160301020001000001fc0303', 'hex');
    const connect = mqttPacket.generate(connectPacket(connectFields(hub, 'slow')));
    const head = Buffer.from('GET /devices?api-version=2021-04-12 HTTP/1.1\r\nHost: localhost\r\nX-Slow: ');
    const body = Buffer.from(
      'POST /devices/slow/messages/events?api-version=2021-04-12 HTTP/1.1\r\nHost: localhost\r\n',
    );
    const post = Buffer.concat([
      body,
      Buffer.from(`Authorization: ${deviceToken(hub, 'slow')}\r\nContent-Length: 100000\r\n\r\n`),
    ]);
    const upgrade = Buffer.from('GET /$iothub/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConn');
    const each = 15;
    const slow: { socket: net.Socket; bytes: Buffer; at: number }[] = [];
    for (let nth = 0; nth < each; nth++) {
      for (const port of [mqtts, amqps, https]) slow.push({ socket: crowd.tcp(port), bytes: hello, at: 0 });
      slow.push({ socket: crowd.tcp(mqtt), bytes: connect, at: 0 });
      slow.push({ socket: crowd.tcp(amqp), bytes: Buffer.concat([SASL_HEADER, plain('service', 'x')]), at: 0 });
      slow.push({ socket: crowd.tls(mqtts), bytes: connect, at: 0 });
      slow.push({ socket: crowd.tls(https), bytes: head, at: nth % 2 === 0 ? 0 : head.length - 3 });
      slow.push({ socket: crowd.tls(https), bytes: upgrade, at: 0 });
      const poster = crowd.tls(https);
      poster.write(post);
      slow.push({ socket: poster, bytes: Buffer.alloc(100, 0x78), at: 0 });
    }
    while (!signal.aborted) {
      for (const entry of slow) {
        if (!entry.socket.destroyed) entry.socket.write(entry.bytes.subarray(entry.at, ++entry.at));
      }
      await Promise.race([breath(1000), aborted(signal)]);
    }
  },
};

const garbage: Attack = {
  name: 'garbage on every port, cut TLS records, clear HTTP on TLS',
  async run(hub, signal) {
    const crowd = new Crowd(signal);
    const ports = Object.entries(hub.endpoints.ports).flatMap(([name, port]) => (name === 'admin' ? [] : [port]));
    for (let turn = 0; !signal.aborted; turn++) {
      const socket = crowd.tcp(ports[turn % ports.length]);
      const noise = Buffer.from(Array.from({ length: 300 }, (_, at) => (turn * 31 + at * at * 7) & 0xff));
      socket.write(
        turn % 3 === 0 ? noise : turn % 3 === 1 ? 'GET / HTTP/1.1\r\n\r\n' : Buffer.from('16030300ff01', 'hex'),
      );
      setTimeout(() => socket.destroy(), 50);
      await breath(2);
    }
  },
};

const renegotiation: Attack = {
  name: 'TLS 1.2 renegotiation',
  async run(hub, signal) {
    const crowd = new Crowd(signal);
    while (!signal.aborted) {
      const socket = crowd.tls(hub.endpoints.ports.mqtts, { maxVersion: 'TLSv1.2' });
      await settled(socket, 'secureConnect');
      for (let times = 0; times < 20 && !socket.destroyed && !signal.aborted; times++) {
        await new Promise<void>((resolve) => {
          socket.once('close', () => resolve());
          socket.renegotiate({}, () => resolve());
          setTimeout(resolve, 200);
        });
      }
      socket.destroy();
    }
  },
};

const wrongKeys: Attack = {
  name: 'CONNECT with wrong keys, many at a time',
  async run(hub, signal) {
    const crowd = new Crowd(signal);
    const token = deviceToken(hub, 'good-1').replace(/sig=[^&]{4}/, 'sig=AAAA');
    const one = async (): Promise<void> => {
      while (!signal.aborted) {
        const socket = crowd.tcp(hub.endpoints.ports.mqtt);
        socket.write(mqttPacket.generate(connectPacket(connectFields(hub, 'good-1', token))));
        socket.resume();
        await Promise.race([settled(socket, 'close'), breath(500), aborted(signal)]);
        socket.destroy();
        await breath(5);
      }
    };
    await Promise.all(Array.from({ length: 40 }, one));
  },
};

const churn: Attack = {
  name: 'connections that come and go, as fast as they can',
  async run(hub, signal) {
    const crowd = new Crowd(signal);
    const { mqtts, https, amqp } = hub.endpoints.ports;
    const one = async (_: unknown, at: number): Promise<void> => {
      while (!signal.aborted) {
        const socket = crowd.tcp([mqtts, https, amqp][at % 3]);
        await settled(socket, 'connect');
        socket.destroy();
        await breath();
      }
    };
    await Promise.all(Array.from({ length: 8 }, one));
  },
};

/** What is sent again and again to a connection that is never read. */
type Asking = readonly [socket: net.Socket, bytes: Buffer];

const mqttAsking = (hub: Victim, crowd: Crowd): readonly Asking[] => {
  const pings = Buffer.alloc(32 * 1024);
  for (let at = 0; at < pings.length; at += 2) pings[at] = 0xc0;
  const device = crowd.tcp(hub.endpoints.ports.mqtt);
  device.pause();
  device.write(mqttPacket.generate(connectPacket(connectFields(hub, 'good-3'))));
  return [[device, pings]];
};

const amqpAsking = (hub: Victim, crowd: Crowd): readonly Asking[] => {
  const key = parseConnectionString(hub.endpoints.connectionStrings.service).get('sharedaccesskey') ?? '';
  const echoes = Buffer.concat(Array.from({ length: 500 }, () => flow(0, { echo: true })));
  return [0, 1, 2, 3].map((partition) => {
    const reader = crowd.tcp(hub.endpoints.ports.amqp);
    reader.pause();
    const address = `${hub.endpoints.hubName}/ConsumerGroups/$Default/Partitions/${partition}`;
    reader.write(Buffer.concat([SASL_HEADER, plain('service', key)]));
    reader.write(Buffer.concat([HEADER, open(), begin(0, 0x7fffffff), attach(0, 'r', 0, true, address)]));
    reader.write(flow(0, { handle: 0, credit: 0x7fffffff, window: 0x7fffffff }));
    return [reader, echoes];
  });
};

const httpAsking = (hub: Victim, crowd: Crowd): readonly Asking[] => {
  const web = crowd.tls(hub.endpoints.ports.https);
  web.pause();
  const asked = Buffer.from('GET /devices?api-version=2021-04-12 HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(200));
  return [[web, asked]];
};

const eventsAsking = (hub: Victim, crowd: Crowd): readonly Asking[] => {
  for (let nth = 0; nth < 20; nth++) {
    const events = crowd.tcp(hub.endpoints.ports.admin, '127.0.0.1');
    events.pause();
    events.write('GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n');
  }
  return [];
};

/** Devices and back ends that have turned: they are let in, ask for much and read nothing. */
function neverReading(what: string, ...kinds: readonly ((hub: Victim, crowd: Crowd) => readonly Asking[])[]): Attack {
  return {
    name: `receivers that never read: ${what}`,
    async run(hub, signal) {
      const crowd = new Crowd(signal);
      const asking = kinds.flatMap((kind) => kind(hub, crowd));
      while (!signal.aborted) {
        for (const [socket, bytes] of asking) {
          if (!socket.destroyed && socket.writableLength < 1024 * 1024) socket.write(bytes);
        }
        await breath(5);
      }
    },
  };
}

const amqpBombs: Attack = {
  name: 'AMQP of a device: sessions, links, begun messages, nesting',
  async run(hub, signal) {
    const crowd = new Crowd(signal);
    while (!signal.aborted) {
      const socket = crowd.tcp(hub.endpoints.ports.amqp);
      socket.resume();
      socket.write(
        Buffer.concat([SASL_HEADER, plain(`good-3@sas.${hub.endpoints.hubName}`, deviceToken(hub, 'good-3'))]),
      );
      socket.write(Buffer.concat([HEADER, open()]));
      const address = '/devices/good-3/messages/events';
      const part = Buffer.alloc(40_000);
      for (let channel = 0; channel < 1024 && !signal.aborted; channel++) {
        const frames = [begin(channel, 100_000)];
        for (let handle = 0; handle < 8; handle++) {
          frames.push(attach(channel, `l${channel}-${handle}`, handle, handle % 2 === 0, address));
          if (handle % 2 === 1 && channel < 100)
            frames.push(transfer(channel, handle, part, { id: handle, more: true }));
        }
        if (socket.destroyed) break;
        if (!socket.write(Buffer.concat(frames))) {
          await Promise.race([settled(socket, 'drain'), aborted(signal)]);
        }
      }
      const deep = Buffer.alloc(20_000, 0xc0);
      const nested = Buffer.concat([Buffer.from([0, 0, 0, 0, 2, 0, 0, 0, 0, 0x53, 0x11]), deep]);
      nested.writeUInt32BE(nested.length);
      socket.write(nested);
      await Promise.race([settled(socket, 'close'), breath(300), aborted(signal)]);
      socket.destroy();
    }
  },
};

const bombs: Attack = {
  name: 'header bombs, property bombs, long topics, many filters',
  async run(hub, signal) {
    const crowd = new Crowd(signal);
    const { mqtt, https } = hub.endpoints.ports;
    const properties = Array.from({ length: 5000 }, (_, at) => `p${at}=v`).join('&');
    const topic = `devices/good-3/messages/events/${properties}`.slice(0, 65_000);
    const subscriptions = Array.from({ length: 3000 }, (_, at) => ({
      topic: `devices/good-3/x${at}/#`,
      qos: 1 as const,
    }));
    const lines = Array.from({ length: 2000 }, (_, at) => `h${at}: x\r\n`).join('');
    while (!signal.aborted) {
      const device = crowd.tcp(mqtt);
      device.resume();
      device.write(mqttPacket.generate(connectPacket(connectFields(hub, 'good-3'))));
      const publish = { cmd: 'publish', topic, qos: 1, messageId: 1, dup: false, retain: false, payload: 'x' } as const;
      device.write(mqttPacket.generate(publish));
      device.write(mqttPacket.generate({ cmd: 'subscribe', messageId: 2, subscriptions }));
      const web = crowd.tls(https);
      web.resume();
      web.write(`GET /devices HTTP/1.1\r\nHost: localhost\r\n${lines}\r\n`);
      web.write(`GET /${'a'.repeat(60_000)} HTTP/1.1\r\n`);
      await Promise.race([settled(web, 'close'), breath(100), aborted(signal)]);
      device.destroy();
      web.destroy();
    }
  },
};

export const attacks: readonly Attack[] = [
  idle('3,000 idle connections of another address', ATTACKER),
  idle('3,000 idle connections of the same address', '127.0.0.1'),
  slowSenders,
  garbage,
  renegotiation,
  wrongKeys,
  churn,
  neverReading('MQTT', mqttAsking),
  neverReading('AMQP', amqpAsking),
  neverReading('HTTP', httpAsking),
  neverReading('events of the admin port', eventsAsking),
  neverReading('all of these', mqttAsking, amqpAsking, httpAsking, eventsAsking),
  amqpBombs,
  bombs,
];
