/** Load for the adapter `line`: a worker with its connections, each with so many lines that are not answered. */
import net from 'node:net';
import { parentPort, Worker, workerData } from 'node:worker_threads';

export interface LinesOptions {
  readonly port: number;
  readonly logins: readonly { readonly device: string; readonly key: string }[];
  readonly inFlight: number;
  readonly payloadBytes: number;
}

export interface LinesLoad {
  /** Lines that were answered `ok` so far. */
  answered(): number;
  stop(): Promise<void>;
}

/** Connects, logs in, and sends as fast as answers come, until it is stopped. */
export async function startLines(options: LinesOptions): Promise<LinesLoad> {
  const counter = new SharedArrayBuffer(8);
  const worker = new Worker(new URL('./lines.ts', import.meta.url), { workerData: { options, counter } });
  await new Promise<void>((resolve, reject) => {
    worker.once('message', () => resolve());
    worker.once('error', reject);
  });
  const answered = new BigUint64Array(counter);
  return {
    answered: () => Number(Atomics.load(answered, 0)),
    stop: async () => {
      await worker.terminate();
    },
  };
}

async function work({ options, counter }: { options: LinesOptions; counter: SharedArrayBuffer }): Promise<void> {
  const { port, logins, inFlight, payloadBytes } = options;
  const answered = new BigUint64Array(counter);
  const line = `{"payload":"${'x'.repeat(payloadBytes - 14)}"}\n`;
  const many = Array.from({ length: inFlight + 1 }, (_, count) => Buffer.from(line.repeat(count)));
  const open = async ({ device, key }: LinesOptions['logins'][number]): Promise<void> => {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    socket.write(`login ${device} ${key}\n`);
    const first = await new Promise<Buffer>((resolve) => socket.once('data', resolve));
    if (first.toString() !== 'ok\n') throw new Error(`${device} was answered: ${first}`);
    socket.on('data', (chunk) => {
      let count = 0;
      for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, at + 1)) count++;
      if (chunk.includes('no ')) throw new Error(`a message was refused: ${chunk}`);
      Atomics.add(answered, 0, BigInt(count));
      socket.write(many[count]);
    });
    socket.write(many[inFlight]);
  };
  await Promise.all(logins.map(open));
  parentPort?.postMessage('ready');
}

if (parentPort !== null && workerData?.counter !== undefined) await work(workerData);
