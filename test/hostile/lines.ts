/** Connections of attackers to each door, over which bytes are written as they stand; how many were sent is counted. */
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import { createWebSocketStream, WebSocket } from 'ws';
import { parseConnectionString } from '../../src/api/connection-string.ts';
import type { Victim } from './good-client.ts';

export type Door =
  | 'MQTT'
  | 'MQTT over WebSocket'
  | 'AMQP'
  | 'AMQP over WebSocket'
  | 'HTTPS'
  | 'files'
  | 'TLS'
  | 'admin';

/** The device that has turned, and that back ends speak to. It exists. */
export const EVIL = 'evil';
export const VERSION = 'api-version=2021-04-12';
/** Lines of an attacker that are open at a time, where nothing else is said. */
export const LANES = 8;

/** Another address than that of who behaves. */
export const ATTACKER_ADDRESS = '127.0.0.7';

/** What an attack is carried out with. */
export interface Kit {
  readonly hub: Victim;
  /** Aborted when the attack is to end. */
  readonly signal: AbortSignal;
  /** Of all lines, so far. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly lines: number;
  /** An open line to a door. It is read, and what comes is thrown away. @throws Error where it is refused */
  open(door: Door, options?: tls.ConnectionOptions): Promise<Duplex>;
  /** Writes, and waits while the hub does not take more. @returns false = the line or the attack has ended */
  write(line: Duplex, bytes: Buffer | string): Promise<boolean>;
  /** Resolves after so long, or when the attack ends. */
  pause(ms: number): Promise<void>;
}

/** @param begins called once, when the first bytes are sent, or the first line is open to a door where lines are all that is sent */
export function openKit(hub: Victim, signal: AbortSignal, begins: () => void): Kit {
  let hasBegun = false;
  const begun = (): void => {
    if (!hasBegun) begins();
    hasBegun = true;
  };
  const open = new Set<Duplex>();
  const ended = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  const counts = { sentBytes: 0, receivedBytes: 0, lines: 0 };
  signal.addEventListener('abort', () => {
    for (const line of open) line.destroy();
  });
  return {
    hub,
    signal,
    get sentBytes() {
      return counts.sentBytes;
    },
    get receivedBytes() {
      return counts.receivedBytes;
    },
    get lines() {
      return counts.lines;
    },
    async open(door, options = {}) {
      const line = await (door.endsWith('WebSocket')
        ? webSocket(hub, door)
        : door === 'admin'
          ? clear(hub)
          : secured(hub, door, options));
      counts.lines++;
      if (door === 'TLS') begun();
      line.on('error', () => {});
      line.on('data', (bytes: Buffer) => {
        counts.receivedBytes += bytes.length;
      });
      if (signal.aborted) line.destroy();
      open.add(line);
      line.once('close', () => open.delete(line));
      return line;
    },
    async write(line, bytes) {
      if (line.destroyed || signal.aborted) return false;
      counts.sentBytes += bytes.length;
      begun();
      if (!line.write(bytes)) {
        // One that is cut off does not drain; its attack goes on with the next.
        const waits = new AbortController();
        const { signal: over } = waits;
        const [drain, close] = ['drain', 'close'].map((event) => once(line, event, { signal: over }));
        await Promise.race([drain, close, ended]).catch(() => {});
        for (const each of [drain, close]) each.catch(() => {});
        waits.abort();
      }
      return !line.destroyed && !signal.aborted;
    },
    pause: (ms) => Promise.race([new Promise<void>((resolve) => setTimeout(resolve, ms)), ended]),
  };
}

function portOf({ endpoints: { ports } }: Victim, door: Door): number {
  if (door === 'MQTT') return ports.mqtts ?? 0;
  return (door === 'AMQP' ? ports.amqps : ports.https) ?? 0;
}

async function secured(hub: Victim, door: Door, options: tls.ConnectionOptions): Promise<tls.TLSSocket> {
  const socket = tls.connect({
    ...{ port: portOf(hub, door), host: '127.0.0.1', servername: 'localhost', rejectUnauthorized: false },
    ...{ localAddress: ATTACKER_ADDRESS },
    ...options,
  } as tls.ConnectionOptions);
  socket.on('error', () => {});
  const closed = once(socket, 'close').then(() => Promise.reject(new Error('closed')));
  closed.catch(() => {});
  await Promise.race([once(socket, 'secureConnect'), closed]);
  return socket;
}

/** The admin port speaks without TLS, to who is on the machine. */
async function clear({ endpoints: { ports } }: Victim): Promise<net.Socket> {
  const socket = net.connect({ port: ports.admin ?? 0, host: '127.0.0.1' });
  socket.on('error', () => {});
  const closed = once(socket, 'close').then(() => Promise.reject(new Error('closed')));
  closed.catch(() => {});
  await Promise.race([once(socket, 'connect'), closed]);
  return socket;
}

async function webSocket(hub: Victim, door: Door): Promise<Duplex> {
  const protocol = door.startsWith('MQTT') ? 'mqtt' : 'amqp';
  const options = { rejectUnauthorized: false, localAddress: ATTACKER_ADDRESS };
  const socket = new WebSocket(`wss://localhost:${portOf(hub, door)}/$iothub/websocket`, [protocol], options);
  socket.on('error', () => {});
  const closed = once(socket, 'close').then(() => Promise.reject(new Error('closed')));
  closed.catch(() => {});
  await Promise.race([once(socket, 'open'), closed]);
  return createWebSocketStream(socket, { allowHalfOpen: false });
}

/** A token of a policy for a resource of the hub. */
export function policyToken({ endpoints }: Victim, policy: 'service' | 'device', resource = 'localhost'): string {
  const key = parseConnectionString(endpoints.connectionStrings[policy]).get('sharedaccesskey') ?? '';
  const sr = encodeURIComponent(resource);
  const se = Math.floor(Date.now() / 1000) + 3600;
  const sig = createHmac('sha256', Buffer.from(key, 'base64')).update(`${sr}\n${se}`).digest('base64');
  return `SharedAccessSignature sr=${sr}&sig=${encodeURIComponent(sig)}&se=${se}&skn=${policy}`;
}

export interface HttpMore {
  readonly authorization?: string;
  readonly body?: Buffer | string;
  readonly headers?: readonly string[];
  readonly host?: string;
  /** Of the body, where it is not all sent. */
  readonly length?: number;
}

/** One HTTP request as bytes. */
export function httpRequest(
  method: string,
  path: string,
  { authorization, body = '', headers = [], host = 'localhost', length = Buffer.byteLength(body) }: HttpMore = {},
): Buffer {
  const lines = [
    `${method} ${path} HTTP/1.1`,
    `Host: ${host}`,
    ...(authorization === undefined ? [] : [`Authorization: ${authorization}`]),
    ...(length > 0 ? [`Content-Length: ${length}`] : []),
    ...headers,
  ];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), Buffer.from(body)]);
}
