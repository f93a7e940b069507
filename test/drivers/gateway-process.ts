/** `mooring gateway run` as a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import type { Exit, TestHub } from './hub.ts';
import { until } from './until.ts';

const main = path.join(import.meta.dirname, '..', '..', 'src', 'main.ts');

export interface GatewayProcess extends AsyncDisposable {
  readonly pid: number;
  /** Of the adapter's first listener. */
  readonly port: number;
  /** Of health and metrics. */
  readonly statusPort: number;
  readonly ended: Promise<Exit>;
  stdout(): string;
  stderr(): string;
  status(): Promise<Record<string, unknown>>;
  stop(signal?: NodeJS.Signals): Promise<Exit>;
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export interface GatewayArguments {
  readonly folder: string;
  readonly adapter?: string;
  /** Port of the hub, or of what stands before it. */
  readonly hubPort?: number;
  readonly args?: readonly string[];
}

/** Starts the adapter `line` on a free port, unless told otherwise. */
export async function startGateway(
  hub: Pick<TestHub, 'dataDir' | 'endpoints'>,
  { folder, adapter = 'line', hubPort, args = [] }: GatewayArguments,
): Promise<GatewayProcess> {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('MOORING_'));
  const to = hubPort === undefined ? [] : ['--hub', `127.0.0.1:${hubPort}`];
  const flags = ['--data-dir', hub.dataDir, '--folder', folder, '--status-port', '0', ...to, ...args];
  const set = adapter === 'line' && !args.includes('--set') ? ['--set', 'port=0'] : [];
  const child = spawn(process.execPath, [main, 'gateway', 'run', adapter, ...flags, ...set], {
    env: Object.fromEntries(inherited),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err = (err + text).slice(-1_000_000);
  });
  const ended = new Promise<Exit>((resolve) => {
    child.once('close', (code, signal) => {
      running.delete(child);
      resolve({ code, signal });
    });
  });
  await until('the gateway is ready', () => /^ready$/m.test(out) || child.exitCode !== null);
  const portOf = (pattern: RegExp): number => Number(pattern.exec(out)?.[1]);
  const statusPort = portOf(/metrics on http:\/\/127\.0\.0\.1:(\d+)/);
  const stop = (signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> => {
    child.kill(signal);
    return ended;
  };
  return {
    pid: child.pid as number,
    port: portOf(/listens on 127\.0\.0\.1:(\d+)/),
    statusPort,
    ended,
    stdout: () => out,
    stderr: () => err,
    status: async () =>
      (await fetch(`http://127.0.0.1:${statusPort}/health`)).json() as Promise<Record<string, unknown>>,
    stop,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) await stop('SIGKILL');
    },
  };
}
