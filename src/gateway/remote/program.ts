/** `mooring gateway run`: an adapter, its host, and what the operator sees of them. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { builtInAdapters } from '../../adapters/built-in.ts';
import { systemClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { AdapterFault, loadAdapter } from '../load.ts';
import { checkSettings } from '../settings.ts';
import type { Adapter, AdapterDefinition, Facts, Host, Log } from '../types.ts';
import type { HubCredential, HubPlace } from './amqp/connection.ts';
import { type GatewayConfig, GatewayConfigError, type LoadedConfig } from './config.ts';
import { RemoteHost } from './remote-host.ts';
import { metricsText, progressOf, serveStatus, statusOf } from './status.ts';
import { GatewayStoreError } from './store.ts';

export interface GatewayProgram {
  readonly hub: HubPlace;
  readonly credential: HubCredential;
  /** Of the login; undefined = it names none. */
  readonly httpsPort?: number | undefined;
  readonly loaded: LoadedConfig;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Lines for the operator, or for a program. */
  say(level: 'debug' | 'info' | 'warn' | 'error', text: string, facts: Facts): void;
  /** A listener is open, or everything is. */
  ready(text: string): void;
  readonly stop: AbortSignal;
}

/** What the operator can mend. */
export const operatorErrors = [AdapterFault, GatewayConfigError, GatewayStoreError] as const;

/**
 * Runs until `stop`, then ends the adapter, which may finish what it does, and the connection. What is on the disk stays there.
 * @throws AdapterFault, GatewayConfigError, GatewayStoreError
 */
export async function runGatewayProgram(program: GatewayProgram): Promise<void> {
  const { loaded, env, stop } = program;
  const { config, base } = loaded;
  if (config.adapter === undefined) throw new GatewayConfigError('No adapter is named.');
  const definition = await loadAdapter(config.adapter, builtInAdapters, base);
  const name = config.name ?? definition.name;
  const settings = await checkSettings(definition, config.settings, base, env);
  const certificate = certificateOf(config, base);
  const log: Log = {
    debug: (text, facts = {}) => program.say('debug', text, facts),
    info: (text, facts = {}) => program.say('info', text, facts),
    warn: (text, facts = {}) => program.say('warn', text, facts),
    error: (text, facts = {}) => program.say('error', text, facts),
  };
  const remote = new RemoteHost({
    hub: program.hub,
    credential: program.credential,
    folder: path.resolve(base, config.folder),
    httpsPort: config.httpsPort ?? program.httpsPort,
    clock: systemClock,
    log,
    queueBytesMax: config.queueMiB * 1024 * 1024,
    whenFull: config.whenFull,
    lingerMs: config.lingerSeconds * 1000,
    idleMs: config.idleSeconds * 1000,
    vouchFor: config.vouchFor,
    certificatesOf: config.certificatesOf,
    sharedKeysOf: config.sharedKeysOf,
    create: config.create,
    certificate,
    listening: ({ host, port }) => program.ready(`${name} listens on ${host}:${port}`),
  });
  const keeper = new AdapterKeeper(definition, settings, remote.host, log, () => remote.parts.listeners.close());
  const status = () => statusOf(name, remote, keeper.failure);
  let served: Awaited<ReturnType<typeof serveStatus>> | undefined;
  const unwatch = watchErrors(log);
  const ticker = setInterval(lookAt(status, log), limits.gatewayProgressMs);
  try {
    remote.start();
    await keeper.start();
    if (config.statusPort !== undefined) {
      served = await serveStatus(config.statusPort, status, () => metricsText(status(), remote.parts));
      program.ready(`health and metrics on http://127.0.0.1:${served.port}`);
    }
    program.ready('ready');
    await new Promise<void>((resolve) => {
      if (stop.aborted) resolve();
      stop.addEventListener('abort', () => resolve(), { once: true });
    });
  } finally {
    clearInterval(ticker);
    served?.close();
    await remote.parts.listeners.stopAccepting();
    await keeper.stop();
    await remote.stop();
    unwatch();
    const { queued, forwarded } = status();
    log.info('the gateway has stopped', { forwarded, queued });
  }
}

/** Starts an adapter, again and again after growing pauses where it fails, and stops it. */
class AdapterKeeper {
  readonly #definition: AdapterDefinition;
  readonly #settings: unknown;
  readonly #host: Host;
  readonly #log: Log;
  readonly #cleanUp: () => Promise<void>;
  #adapter: Adapter | undefined;
  #isStopping = false;
  #attempts = 0;
  failure: string | undefined;

  constructor(definition: AdapterDefinition, settings: unknown, host: Host, log: Log, cleanUp: () => Promise<void>) {
    this.#definition = definition;
    this.#settings = settings;
    this.#host = host;
    this.#log = log;
    this.#cleanUp = cleanUp;
  }

  /** Resolves when it runs, or is to be tried again. */
  async start(): Promise<void> {
    try {
      const adapter = this.#definition.create(this.#host, this.#settings);
      await adapter.start();
      this.#adapter = adapter;
      this.failure = undefined;
    } catch (error) {
      this.failure = error instanceof Error ? error.message : String(error);
      await this.#cleanUp();
      const pauseMs = Math.min(limits.gatewayPauseMsMax, limits.gatewayPauseMsMin * 2 ** this.#attempts++);
      this.#log.error('the adapter cannot start', { error: this.failure, retryInSeconds: pauseMs / 1000 });
      setTimeout(() => {
        if (!this.#isStopping) void this.start();
      }, pauseMs).unref();
    }
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    try {
      await this.#adapter?.stop?.(AbortSignal.timeout(limits.gatewayStopMs));
    } catch (error) {
      this.#log.warn('the adapter has failed while it stopped', { error: String(error) });
    }
  }
}

/** A promise of the adapter that nobody awaits ends nothing; what is thrown out of it ends the program, whose queue is on the disk. */
function watchErrors(log: Log): () => void {
  const rejected = (error: unknown): void =>
    log.error('the adapter has left an error unhandled', {
      error: error instanceof Error ? error.stack : String(error),
    });
  process.on('unhandledRejection', rejected);
  return () => void process.off('unhandledRejection', rejected);
}

function lookAt(status: () => ReturnType<typeof statusOf>, log: Log): () => void {
  let before = status();
  return () => {
    const now = status();
    const text = progressOf(before, now, limits.gatewayProgressMs / 1000);
    if (text !== undefined) log.info(text);
    else if (before.queued > 0 && now.queued === 0) log.info('the backlog is sent');
    before = now;
  };
}

function certificateOf({ certificateFile, keyFile }: GatewayConfig, base: string) {
  if (certificateFile === undefined && keyFile === undefined) return () => undefined;
  if (certificateFile === undefined || keyFile === undefined) {
    throw new GatewayConfigError('certificateFile and keyFile belong together.');
  }
  const read = () => ({
    cert: [readFileSync(path.resolve(base, certificateFile), 'utf8')],
    key: [readFileSync(path.resolve(base, keyFile), 'utf8')],
  });
  try {
    read();
  } catch (error) {
    throw new GatewayConfigError(`The certificate of the gateway cannot be read: ${(error as Error).message}.`);
  }
  // With each handshake, for the files may be renewed.
  return read;
}
