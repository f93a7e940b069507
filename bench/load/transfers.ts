/**
 * HTTPS requests with large bodies, either way, from a process of its own: so many connections that are kept, each with one
 * request under way. Bodies are one buffer sent again and again; what comes is counted and dropped.
 */
import { fork } from 'node:child_process';

export interface TransferOrder {
  readonly port: number;
  /** PEM of the server's authority. */
  readonly ca: string;
  readonly connections: number;
}

/** A request's lines without those of its length and host, and the bytes of its body. */
export interface TransferRequest {
  /** `PUT /path` */
  readonly line: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBytes: number;
}

export interface TransferResult {
  /** From the first byte to the last answer. */
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
  /** Sends all of them. One call at a time. @throws Error for an answer that is not 2xx */
  run(requests: readonly TransferRequest[]): Promise<TransferResult>;
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
    async run(requests) {
      await open;
      const result = told('result');
      child.send(requests as TransferRequest[]);
      return (await result).result;
    },
    close: () => void child.kill('SIGKILL'),
  };
}
