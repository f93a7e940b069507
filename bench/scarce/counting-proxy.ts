/**
 * Counts what a client and a server send each other, byte by byte, on loopback, and what TCP/IP or UDP/IP would add on a network.
 *
 * The addition is arithmetic, for IPv4 with TCP timestamps, as phones' and servers' stacks send them: 52 bytes of headers for each
 * segment of at most 1,448 bytes; three segments of 172 bytes to open, four of 52 to close; and one bare acknowledgement of 52 bytes
 * where the other side says nothing within 40 ms, which is when a stack gives up waiting for data that could carry it. UDP: 28 bytes for
 * each datagram. What a link layer adds is not counted.
 */
import dgram from 'node:dgram';
import net from 'node:net';

const SEGMENT_BYTES = 1448;
const SEGMENT_HEADERS = 52;
const OPENING_BYTES = 60 + 60 + 52;
const CLOSING_BYTES = 4 * SEGMENT_HEADERS;
const ACKNOWLEDGED_WITHIN_MS = 40;
const DATAGRAM_HEADERS = 28;

/** So far, both ways. */
export interface Counted {
  /** What the protocol itself sent, TLS included. */
  readonly up: number;
  readonly down: number;
  /** Headers and bare acknowledgements of both sides. */
  readonly headers: number;
}

export interface CountingProxy {
  readonly port: number;
  counted(): Counted;
  close(): Promise<void>;
}

type Side = 'up' | 'down';

/** What TCP/IP adds to one connection. */
class TcpHeaders {
  #bytes = OPENING_BYTES;
  /** When a side has sent what the other has not acknowledged yet. */
  #unacknowledged: { readonly side: Side; readonly at: number } | undefined;

  passed(side: Side, bytes: number): void {
    const segments = Math.ceil(bytes / SEGMENT_BYTES);
    // Every second segment of a longer flight is acknowledged by itself.
    this.#bytes += (segments + Math.floor((segments - 1) / 2)) * SEGMENT_HEADERS;
    this.#acknowledge();
    this.#unacknowledged = { side, at: performance.now() };
  }

  /** At an end of a connection that is quiet. */
  get bytes(): number {
    this.#acknowledge();
    return this.#bytes;
  }

  closed(): void {
    this.#bytes += CLOSING_BYTES;
    this.#unacknowledged = undefined;
  }

  /** A bare acknowledgement, where no data has carried it in time. */
  #acknowledge(): void {
    if (this.#unacknowledged === undefined) return;
    if (performance.now() - this.#unacknowledged.at < ACKNOWLEDGED_WITHIN_MS) return;
    this.#bytes += SEGMENT_HEADERS;
    this.#unacknowledged = undefined;
  }
}

export async function countTcp(target: number): Promise<CountingProxy> {
  const sums = { up: 0, down: 0 };
  const sockets = new Set<net.Socket>();
  const connections: TcpHeaders[] = [];
  const server = net.createServer({ noDelay: true }, (client) => {
    const upstream = net.connect({ port: target, host: '127.0.0.1', noDelay: true });
    const headers = new TcpHeaders();
    connections.push(headers);
    let isClosed = false;
    const closed = (): void => {
      if (isClosed) return;
      isClosed = true;
      headers.closed();
    };
    for (const [from, to, side] of [
      [client, upstream, 'up'],
      [upstream, client, 'down'],
    ] as const) {
      sockets.add(from);
      from.on('data', (bytes: Buffer) => {
        sums[side] += bytes.length;
        headers.passed(side, bytes.length);
        to.write(bytes);
      });
      from.on('end', () => to.end());
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
        closed();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    counted: () => ({ ...sums, headers: connections.reduce((sum, { bytes }) => sum + bytes, 0) }),
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

export async function countUdp(target: number): Promise<CountingProxy> {
  const sums = { up: 0, down: 0, headers: 0 };
  const server = dgram.createSocket('udp4');
  const upstreams = new Map<number, dgram.Socket>();
  const passed = (side: Side, bytes: number): void => {
    sums[side] += bytes;
    sums.headers += DATAGRAM_HEADERS;
  };
  server.on('message', (bytes, { port }) => {
    passed('up', bytes.length);
    let upstream = upstreams.get(port);
    if (upstream === undefined) {
      upstream = dgram.createSocket('udp4');
      upstreams.set(port, upstream);
      upstream.on('message', (answer) => {
        passed('down', answer.length);
        server.send(answer, port, '127.0.0.1');
      });
    }
    upstream.send(bytes, target, '127.0.0.1');
  });
  await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    counted: () => ({ ...sums }),
    async close() {
      for (const upstream of upstreams.values()) upstream.close();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
