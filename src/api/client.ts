/** The management API from Node: connects by TLS, signs each request itself, keeps connections open between calls. */
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import { isIP } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { limits } from '../base/limits.ts';
import { type ApiCalls, type ApiRequest, type ApiResponse, apiCalls } from './calls.ts';
import { type Login, parseLogin, splitHostPort } from './connection-string.ts';
import {
  type FileCalls,
  fileCalls,
  type StreamRequest,
  type StreamResponse,
  type StreamTransport,
} from './file-calls.ts';
import { type LiveCalls, liveCalls } from './live-calls.ts';
import { type RegistryJobCalls, registryJobCalls } from './registry-job-calls.ts';
import { signSas } from './sas.ts';

export interface ApiClientOptions {
  /** One of `connectionString` and `login` must be given. */
  readonly connectionString?: string;
  readonly login?: Login;
  /** Where the host name carries no port; default 443. */
  readonly port?: number;
  /** PEM file of the CA to trust in place of the system's; `ca` is the same as text. */
  readonly caFile?: string;
  readonly ca?: string;
  /** Until the whole answer is there; default 30 s. */
  readonly timeoutMs?: number;
  /** UTC milliseconds, for the end of tokens. */
  readonly now?: () => number;
}

export interface ApiClient extends ApiCalls {
  /** Contents stream: a time limit is for silence, not for the whole. */
  readonly files: FileCalls;
  /** Likewise. */
  readonly live: LiveCalls;
  /** Likewise. */
  readonly registryJobs: RegistryJobCalls;
  /** Closes the connections that wait for a next call. */
  close(): void;
}

const TOKEN_LIFE_MS = 3600_000;
const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_PORT = 443;

/**
 * A client of one hub with one policy's permissions.
 * @throws ConnectionStringError, and an Error when the CA file cannot be read.
 */
export function createApiClient(options: ApiClientOptions): ApiClient {
  const login = options.login ?? parseLogin(options.connectionString ?? '');
  const { host, port } = splitHostPort(login.hostName);
  const ca = options.ca ?? (options.caFile === undefined ? undefined : readFileSync(options.caFile, 'utf8'));
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const agent = new https.Agent({ keepAlive: true, ...(ca === undefined ? {} : { ca }) });
  const now = options.now ?? Date.now;
  const target: Target = { host, port: port ?? options.port ?? DEFAULT_PORT, agent, timeoutMs };
  const ask = async (request: ApiRequest) => send(target, request, await tokenOf(login, host, now()));
  const streams: StreamTransport = async (request) => stream(target, request, await tokenOf(login, host, now()));
  const [files, registryJobs] = [fileCalls(ask, streams), registryJobCalls(ask, streams)];
  const live = liveCalls(streams);
  return { ...apiCalls(ask), files, live, registryJobs, close: () => agent.destroy() };
}

async function tokenOf(login: Login, host: string, now: number): Promise<string> {
  if (login.proof.kind === 'token') return login.proof.token;
  const { key, policyName } = login.proof;
  return signSas({ resource: host.toLowerCase(), key, policyName, expiresAt: now + TOKEN_LIFE_MS });
}

interface Target {
  readonly host: string;
  readonly port: number;
  readonly agent: https.Agent;
  readonly timeoutMs: number;
}

function send(target: Target, request: ApiRequest, token: string): Promise<ApiResponse> {
  return new Promise((resolve, reject) => {
    const call = https.request(
      {
        host: target.host,
        port: target.port,
        agent: target.agent,
        method: request.method,
        path: request.path,
        // A name is sent as SNI; an address must not be (RFC 6066 section 3).
        servername: isIP(target.host) === 0 ? target.host : '',
        signal: AbortSignal.timeout(request.timeoutMs ?? target.timeoutMs),
        headers: {
          ...request.headers,
          authorization: token,
          ...(request.body === undefined ? {} : { 'content-length': Buffer.byteLength(request.body) }),
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > limits.apiAnswerBytesMax) response.destroy(new Error('the answer is larger than any of a hub'));
          else chunks.push(chunk);
        });
        response.on('error', (error) => reject(unreachable(target, error)));
        response.on('end', () => {
          const body = Buffer.concat(chunks).toString('utf8');
          resolve({ status: response.statusCode ?? 0, headers: plainHeaders(response), body });
        });
      },
    );
    call.on('error', (error) => reject(unreachable(target, error)));
    call.end(request.body);
  });
}

/** The answer may come while the body is still being sent: the hub has refused it then, and the rest is not sent. */
function stream(target: Target, request: StreamRequest, token: string): Promise<StreamResponse> {
  const { host, port, agent, timeoutMs } = target;
  const { method, path, signal } = request;
  return new Promise((resolve, reject) => {
    const servername = isIP(host) === 0 ? host : '';
    const headers = { ...request.headers, authorization: token };
    const call = https.request({ host, port, agent, method, path, servername, headers, signal }, (response) => {
      resolve({ status: response.statusCode ?? 0, headers: plainHeaders(response), body: response });
    });
    call.setTimeout(timeoutMs, () => call.destroy(Object.assign(new Error('silence'), { name: 'TimeoutError' })));
    call.on('error', (error) => reject(unreachable(target, error)));
    if (request.body === undefined) call.end();
    // What goes wrong on the wire is told by the request itself; what is left is the source's own error.
    else
      pipeline(request.body, call).catch((error) =>
        reject(call.errored === error ? unreachable(target, error) : error),
      );
  });
}

function plainHeaders(response: IncomingMessage): ApiResponse['headers'] {
  return Object.fromEntries(
    Object.entries(response.headers).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]),
  );
}

function unreachable(target: Target, error: Error): Error {
  const code = (error as NodeJS.ErrnoException).code;
  const place = `${target.host}:${target.port}`;
  return new Error(`No answer from the hub at ${place}: ${explain(error, code, target.timeoutMs)}`, { cause: error });
}

function explain(error: Error, code: string | undefined, timeoutMs: number): string {
  if (error.name === 'TimeoutError' || error.name === 'AbortError') return `none came within ${timeoutMs} ms.`;
  if (code === 'ECONNREFUSED') return 'nothing listens there. Is the hub running, and is this its HTTPS port?';
  if (code === 'ENOTFOUND') return 'there is no such host.';
  if (code === 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' || code === 'SELF_SIGNED_CERT_IN_CHAIN') {
    return "its certificate comes from a CA that is not trusted here. Name the hub's CA file.";
  }
  return error.message === '' ? (code ?? 'the connection failed') : `${error.message}.`;
}
