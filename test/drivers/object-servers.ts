/**
 * Object stores for tests, as processes of their own on free ports of loopback: Azurite, and an S3 server that refuses small
 * parts. `test-servers/install.sh` installs them; a test asks `missing…` first, and is skipped with that reason.
 *
 *     await using azurite = await startAzurite();
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { signed } from '../../src/stores/objects/s3/signature.ts';
import { freePort } from './free-ports.ts';

const servers = path.join(import.meta.dirname, '..', '..', 'test-servers');
const azuriteProgram = path.join(servers, 'azurite', 'node_modules', 'azurite', 'dist', 'src', 'blob', 'main.js');
const s3Program = path.join(servers, 's3', 'build', 'versitygw');
const UP_MS_MAX = 60_000;
const HOST = '127.0.0.1';

const whyMissing = (program: string): string | false =>
  existsSync(program) ? false : 'NOT TESTED: run test-servers/install.sh first';

/** False: it is there. */
export const missingAzurite = (): string | false => whyMissing(azuriteProgram);
export const missingS3 = (): string | false => whyMissing(s3Program);

export interface ServerOptions {
  /** A certificate for `127.0.0.1` and `localhost`; absent = plain HTTP. */
  readonly tls?: { readonly certPem: string; readonly keyPem: string };
}

/** What both have: they can be killed and come back on the same port with what they had. */
export interface ObjectServer extends AsyncDisposable {
  readonly port: number;
  /** `kill -9`, until `restart`. (Azurite loses what it was given in the last seconds before.) */
  kill(): Promise<void>;
  /** In order, until `restart`. */
  stop(): Promise<void>;
  restart(): Promise<void>;
  /** Stops it in the middle of whatever it does, without an answer to anybody; `resume` lets it go on. */
  freeze(): void;
  resume(): void;
}

export interface Azurite extends ObjectServer {
  readonly connectionString: string;
}

export async function startAzurite({ tls }: ServerOptions = {}): Promise<Azurite> {
  const name = 'mooring';
  const key = randomBytes(64).toString('base64');
  const server = await start({ AZURITE_ACCOUNTS: `${name}:${key}` }, (folder, port) => {
    const files = tls && certificateFiles(folder, tls);
    return [
      process.execPath,
      azuriteProgram,
      ...['--blobHost', HOST, '--blobPort', String(port), '--location', path.join(folder, 'data')],
      // Loose: the npm SDK's library sends a header (x-ms-encryption-algorithm) that Azurite refuses otherwise, and the service takes.
      ...['--silent', '--disableTelemetry', '--skipApiVersionCheck', '--loose'],
      ...(files === undefined ? [] : ['--cert', files.cert, '--key', files.key]),
    ];
  });
  const endpoint = `${tls === undefined ? 'http' : 'https'}://${HOST}:${server.port}/${name}`;
  return { ...server, connectionString: `AccountName=${name};AccountKey=${key};BlobEndpoint=${endpoint}` };
}

export interface S3Server extends ObjectServer {
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Where a bucket is a folder. */
  readonly folder: string;
}

export async function startS3({ tls }: ServerOptions = {}): Promise<S3Server> {
  const accessKeyId = 'mooring';
  const secretAccessKey = randomBytes(20).toString('hex');
  let root = '';
  const server = await start({ ROOT_ACCESS_KEY: accessKeyId, ROOT_SECRET_KEY: secretAccessKey }, (folder, port) => {
    root = path.join(folder, 'data');
    const files = tls && certificateFiles(folder, tls);
    return [
      s3Program,
      ...['--port', `${HOST}:${port}`, '--quiet', '--keep-alive'],
      ...(files === undefined ? [] : ['--cert', files.cert, '--key', files.key]),
      // The folder of attributes may not begin like that of the data.
      ...['posix', '--sidecar', path.join(folder, 'attributes'), root],
    ];
  });
  const endpoint = `${tls === undefined ? 'http' : 'https'}://${HOST}:${server.port}`;
  return { ...server, endpoint, accessKeyId, secretAccessKey, folder: root };
}

/** @param ca PEM of the authority of the server's certificate */
export async function makeBucket(server: S3Server, name: string, ca?: string): Promise<void> {
  const { accessKeyId, secretAccessKey } = server;
  const url = new URL(`${server.endpoint}/${name}`);
  const headers = signed(
    { accessKeyId, secretAccessKey, region: 'us-east-1' },
    { method: 'PUT', url, headers: {}, now: Date.now() },
  );
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const options = { method: 'PUT', headers: { ...headers, 'content-length': '0' }, agent: false, ...(ca && { ca }) };
    const asked = (ca === undefined ? http : https).request(url, options, (answer) => {
      answer.resume().once('end', () => resolve(answer.statusCode));
    });
    asked.once('error', reject).end();
  });
  if (status !== 200) throw new Error(`the bucket was not made: ${status}`);
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

async function start(
  env: Readonly<Record<string, string>>,
  command: (folder: string, port: number) => readonly string[],
): Promise<ObjectServer> {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-object-server-'));
  for (const name of ['data', 'attributes']) mkdirSync(path.join(folder, name));
  const port = await freePort();
  const [program, ...args] = command(folder, port);
  let child: ChildProcess | undefined;
  const launch = async (): Promise<void> => {
    const started = spawn(program, args, { cwd: folder, env: { ...process.env, ...env }, stdio: 'ignore' });
    child = started;
    running.add(started);
    started.once('exit', () => running.delete(started));
    const failed = new Promise<never>((_, reject) => started.once('error', reject));
    await Promise.race([failed, listening(port, started)]);
    failed.catch(() => {});
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ending = child;
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return;
    const ended = new Promise((resolve) => ending.once('exit', resolve));
    ending.kill(signal);
    await ended;
  };
  await launch();
  return {
    port,
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    restart: launch,
    freeze: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    async [Symbol.asyncDispose]() {
      await end('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** One that nobody has at the moment. */
async function listening(port: number, child: ChildProcess): Promise<void> {
  const until = performance.now() + UP_MS_MAX;
  for (;;) {
    const isUp = await new Promise<boolean>((resolve) => {
      const socket = net.connect({ host: HOST, port });
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (isUp) return;
    if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended with ${child.exitCode}`);
    if (performance.now() > until) throw new Error(`${child.spawnfile} does not listen`);
    await pause(50);
  }
}

function certificateFiles(folder: string, { certPem, keyPem }: { certPem: string; keyPem: string }) {
  const files = { cert: path.join(folder, 'cert.pem'), key: path.join(folder, 'key.pem') };
  writeFileSync(files.cert, certPem);
  writeFileSync(files.key, keyPem, { mode: 0o600 });
  return files;
}
