/** The process of `transfers.ts`. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import tls from 'node:tls';
import type { TransferOrder, TransferReport, TransferRequest } from './transfers.ts';

/** Of what is sent again and again. */
const BODY_BYTES = 4 * 1024 * 1024;

const tell = (report: TransferReport): void => void process.send?.(report);

/** One connection that is kept. An answer is its head, and as many bytes behind it as the head says. */
class Lane {
  readonly #socket: tls.TLSSocket;
  #head = '';
  /** Of the body; undefined = the head is not whole yet. */
  #left: number | undefined;
  #answered: (() => void) | undefined;
  #failed: ((error: Error) => void) | undefined;
  received = 0;

  constructor(socket: tls.TLSSocket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', (error) => this.#failed?.(error));
    socket.on('close', () => this.#failed?.(new Error(`the connection ended: ${this.#head.slice(0, 200)}`)));
  }

  async ask({ line, headers, bodyBytes }: TransferRequest, body: Buffer): Promise<void> {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const answered = new Promise<void>((resolve, reject) => {
      this.#answered = resolve;
      this.#failed = reject;
    });
    this.#socket.write(`${line} HTTP/1.1\r\nHost: localhost\r\n${lines.join('')}Content-Length: ${bodyBytes}\r\n\r\n`);
    if (bodyBytes > 0) await this.#send(body, bodyBytes);
    await answered;
  }

  /** In pieces, so that a large body does not stand in memory many times. */
  async #send(body: Buffer, bytes: number): Promise<void> {
    for (let left = bytes; left > 0; left -= body.length) {
      if (!this.#socket.write(body.subarray(0, Math.min(left, body.length)))) await once(this.#socket, 'drain');
    }
  }

  #read(chunk: Buffer): void {
    let rest = chunk;
    if (this.#left === undefined) {
      this.#head += chunk.toString('latin1');
      const end = this.#head.indexOf('\r\n\r\n');
      if (end === -1) return;
      const status = Number(this.#head.split(' ', 2)[1]);
      if (status < 200 || status > 299) {
        this.#failed?.(new Error(this.#head.slice(0, 1000)));
        return;
      }
      const behind = this.#head.length - end - 4;
      rest = chunk.subarray(chunk.length - behind);
      this.#left = Number(/^content-length: *(\d+)/im.exec(this.#head.slice(0, end))?.[1] ?? 0);
    }
    this.#left -= rest.length;
    this.received += rest.length;
    if (this.#left > 0) return;
    this.#left = undefined;
    this.#head = '';
    this.#answered?.();
  }
}

process.once('message', async (order: TransferOrder) => {
  const lanes = await Promise.all(
    Array.from({ length: order.connections }, async () => {
      const socket = tls.connect({ host: 'localhost', port: order.port, ca: order.ca });
      await once(socket, 'secureConnect');
      socket.setNoDelay(true);
      return new Lane(socket);
    }),
  );
  const body = randomBytes(BODY_BYTES);
  process.on('message', (requests: readonly TransferRequest[]) => run(lanes, requests, body));
  tell({ kind: 'open' });
});

async function run(lanes: readonly Lane[], requests: readonly TransferRequest[], body: Buffer): Promise<void> {
  const cpu = process.cpuUsage();
  const begun = performance.now();
  const left = requests.values();
  for (const lane of lanes) lane.received = 0;
  await Promise.all(
    lanes.map(async (lane) => {
      for (const request of left) await lane.ask(request, body);
    }),
  );
  const used = process.cpuUsage(cpu);
  tell({
    kind: 'result',
    result: {
      seconds: (performance.now() - begun) / 1000,
      sentBytes: requests.reduce((sum, { bodyBytes }) => sum + bodyBytes, 0),
      receivedBytes: lanes.reduce((sum, { received }) => sum + received, 0),
      cpuSeconds: (used.user + used.system) / 1e6,
    },
  });
}
