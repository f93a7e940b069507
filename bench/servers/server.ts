import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import type { PublisherLogin } from '../load/publisher.ts';

/** A server under load: the hub itself, or a peer beside it. */
export interface ServerKind {
  readonly name: string;
  /** What its acknowledgement means, for the report. */
  readonly acknowledges: string;
  start(options: ServerOptions): Promise<RunningServer>;
}

export interface ServerOptions {
  readonly connections: number;
  readonly tls: boolean;
  /** An empty folder of its own on the disk that is measured. */
  readonly directory: string;
  /** Property bag behind the topic, as it goes over the wire; empty = none. */
  readonly bag: string;
}

export interface RunningServer {
  readonly pid: number;
  readonly host: string;
  readonly port: number;
  /** PEM of the authority to trust; absent = plain TCP. */
  readonly ca?: string;
  readonly logins: readonly PublisherLogin[];
  /** Of all its processes, where it has more than the one of `pid`. */
  cpuSeconds?(): number;
  /** Events that readers beside the load have been given so far; absent = there are none. */
  eventsRead?(): number;
  stop(): Promise<void>;
}

/** For peers that let everybody in. */
export function anonymousLogins(connections: number, bag: string): readonly PublisherLogin[] {
  return Array.from({ length: connections }, (_, at) => ({
    clientId: `bench-${at}`,
    username: '',
    password: '',
    topic: `devices/bench-${at}/messages/events/${bag}`,
  }));
}

/** The environment without settings of the hub, and of tests of it: what a bench starts has only those that it is given. */
export function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MOORING_')));
}

/** Starts a program and resolves when its output matches `ready`; its last lines are in the error if it ends before. */
export async function startProgram(
  command: string,
  args: readonly string[],
  ready: RegExp,
  timeoutMs: number,
  environment: NodeJS.ProcessEnv = plainEnvironment(),
): Promise<{ readonly child: ChildProcess; readonly ready: RegExpExecArray }> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: environment });
  let output = '';
  const match = await new Promise<RegExpExecArray>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${command} is not ready: ${output}`)), timeoutMs);
    const read = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-4000);
      const found = ready.exec(output);
      if (found === null) return;
      clearTimeout(timer);
      resolve(found);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.on('error', reject);
    child.on('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`${command} ended with ${code}: ${output}`));
    });
  }).catch((error: unknown) => {
    child.kill('SIGKILL');
    throw error;
  });
  // What comes later is read and dropped, so that the pipes never fill.
  child.stdout.removeAllListeners('data').resume();
  child.stderr.removeAllListeners('data').resume();
  return { child, ready: match };
}

/** Sends SIGTERM, and SIGKILL to one that has not ended after twenty seconds. */
export async function stopProgram(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  await exited;
  clearTimeout(timer);
}

export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  return port;
}

/** Different ones: each is open until all are found. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => net.createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  for (const server of servers) server.close();
  await Promise.all(servers.map((server) => once(server, 'close')));
  return ports;
}
