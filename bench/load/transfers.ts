/**
 * HTTPS requests with large bodies, either way, from a process of its own: so many connections, each with one request under
 * way, until all are answered. Bodies are one buffer sent again and again; what comes is counted and dropped.
 */
import { fork } from 'node:child_process';

export interface TransferOrder {
  readonly port: number;
  /** PEM of the server's authority. */
  readonly ca: string;
  readonly connections: number;
  /** Each request's lines without those of its length and host, and the bytes of its body. */
  readonly requests: readonly TransferRequest[];
}

export interface TransferRequest {
  /** `PUT /path` */
  readonly line: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBytes: number;
}

export interface TransferResult {
  /** From the first byte to the last answer; connections were open before. */
  readonly seconds: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Of this process in that time. */
  readonly cpuSeconds: number;
}

export type TransferReport = { readonly kind: 'open' } | { readonly kind: 'result'; readonly result: TransferResult };

export interface Transfers {
  /** Connections are open; nothing was sent. */
  readonly open: Promise<void>;
  /** Sends all of it. @throws Error for an answer that is not 2xx */
  run(): Promise<TransferResult>;
  close(): void;
}

export function startTransfers(order: TransferOrder): Transfers {
  const child = fork(new URL('./transfers-process.ts', import.meta.url), {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const failed = new Promise<never>((_, reject) => {
    child.once('exit', (code, signal) => reject(new Error(`the process of transfers ended: ${signal ?? code}`)));
    child.once('error', reject);
  });
  failed.catch(() => {});
  const told = <Kind extends TransferReport['kind']>(kind: Kind) =>
    Promise.race([
      new Promise<Extract<TransferReport, { kind: Kind }>>((resolve) => {
        const hear = (report: TransferReport): void => {
          if (report.kind !== kind) return;
          child.off('message', hear);
          resolve(report as Extract<TransferReport, { kind: Kind }>);
        };
        child.on('message', hear);
      }),
      failed,
    ]);
  const open = told('open').then(() => {});
  open.catch(() => {});
  child.send(order);
  return {
    open,
    async run() {
      await open;
      const result = told('result');
      child.send('run');
      return (await result).result;
    },
    close: () => void child.kill('SIGKILL'),
  };
}
