/**
 * Keeps one adapter running: starts it, watches that it lives, starts it again when it has ended, with growing pauses. Whatever it does
 * (throws, hangs, leaks, floods, is killed) ends its own process and its devices' connections, and nothing else.
 */
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { Hub } from '../../core/hub.ts';
import type { Recorder } from '../../core/monitoring/types.ts';
import type { Health } from '../../gateway/host-parts.ts';
import { type AdapterSettings, adapterNameOf } from '../config/adapter-settings.ts';
import { type CheckResult, fine } from '../observe/health/health.ts';
import { type AdapterCounts, AdapterEnd, type AdapterEndParts } from './adapter-end.ts';
import { openBeside } from './beside.ts';
import { openProcess } from './open-process.ts';
import type { Proofs } from './proofs.ts';
import type { AdapterProcess, OpenAdapter } from './supervisor-types.ts';
import type { ToAdapter, ToHub } from './words.ts';

export interface SupervisorParts {
  readonly settings: AdapterSettings;
  readonly hub: Hub;
  readonly recorder: Recorder;
  readonly proofs: Proofs;
  readonly files?: AdapterEndParts['files'];
  /** File of the adapter's memory. */
  readonly memory: string;
  readonly certificate: () => { readonly cert: readonly string[]; readonly key: readonly string[] };
}

interface Run {
  readonly end: AdapterEnd;
  readonly process: AdapterProcess;
  readonly since: number;
  isStarted: boolean;
  heardAt: number;
  /** Why the hub has ended it. */
  reason: string | undefined;
  cancel: Cancel;
}

export interface AdapterFacts extends AdapterCounts {
  readonly isRunning: boolean;
  readonly restarts: number;
  readonly memoryBytes: number;
  readonly ports: readonly string[];
  readonly numbers: Readonly<Record<string, number>>;
  readonly gauges: ReadonlySet<string>;
}

export class Supervisor {
  readonly name: string;
  readonly #parts: SupervisorParts;
  readonly #clock: Clock;
  readonly #log: Log;
  #run: Run | undefined;
  #restarts = 0;
  #pauseMs: number = limits.adapterPauseMsMin;
  #cancelPause: Cancel = () => {};
  #isStopping = false;
  #whenEnded: (() => void) | undefined;
  #problem: string | undefined;
  #told: Health = { status: 'ok', text: '' };
  #memoryBytes = 0;
  /** Of its log, in this second. */
  #lines = { second: 0, count: 0 };
  #ports: string[] = [];
  #numbers: Readonly<Record<string, number>> = {};
  #gauges: ReadonlySet<string> = new Set();
  readonly #before: AdapterCounts = {
    sessions: 0,
    messages: 0,
    refusedMessages: 0,
    logins: 0,
    refusedLogins: 0,
    held: 0,
  };

  constructor(parts: SupervisorParts) {
    this.#parts = parts;
    this.name = adapterNameOf(parts.settings);
    this.#clock = parts.hub.clock;
    this.#log = parts.hub.log.child({ adapter: this.name });
  }

  start(): void {
    if (this.#isStopping) return;
    const { settings, hub, proofs, files } = this.#parts;
    const open: OpenAdapter = settings.run === 'process' ? openProcess : openBeside;
    const now = this.#clock.monotonic();
    let end: AdapterEnd | undefined;
    const process = open(settings, {
      received: (chunk) => end?.received(chunk),
      drained: () => end?.drained(),
      ended: (reason, words) => this.#ended(run, reason, words),
    });
    const link = {
      write: (bytes: Buffer) => process.write(bytes),
      waiting: () => process.waiting(),
      hold: (isHeld: boolean) => process.hold(isHeld),
      broken: (reason: string) => this.#kill(run, reason),
    };
    const control = (word: ToHub): void => this.#word(run, word);
    end = new AdapterEnd({
      hub,
      name: this.name,
      proofs,
      files,
      link,
      messagesPerSecond: settings.messagesPerSecond,
      control,
    });
    const run: Run = {
      ...{ end, process, since: now, isStarted: false, heardAt: now, reason: undefined },
      cancel: this.#clock.after(limits.adapterPingMs, () => this.#look(run)),
    };
    this.#run = run;
    this.#ports = [];
    end.say({
      ...{ kind: 'start', adapter: settings.adapter, folder: globalThis.process.cwd(), settings: settings.settings },
      memory: this.#parts.memory,
      ...(settings.hubCertificate && { certificate: this.#certificate() }),
    });
  }

  /** The hub's certificate has changed. */
  certificateChanged(): void {
    if (this.#parts.settings.hubCertificate) this.#run?.end.say({ kind: 'certificate', ...this.#certificate() });
  }

  /** Gives it so long to finish, then ends it. */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    this.#cancelPause();
    const run = this.#run;
    if (run === undefined) return;
    const ended = new Promise<void>((resolve) => {
      this.#whenEnded = resolve;
    });
    run.reason = 'hub-stopping';
    run.end.say({ kind: 'stop', graceMs } satisfies ToAdapter);
    const late = this.#clock.after(graceMs + 500, () => run.process.kill());
    await ended;
    late();
  }

  /** For `mooring health`. An adapter never makes the hub unready. */
  health(): CheckResult {
    if (this.#problem !== undefined) {
      const remedy = 'Look into the log of the hub for its name; `mooring config check` tells of its settings.';
      return { status: 'warn', reason: this.#problem, remedy };
    }
    if (this.#run?.isStarted !== true)
      return { status: 'warn', reason: 'it is starting', remedy: 'Wait; the log says more.' };
    if (this.#told.status === 'ok') return fine;
    return { status: 'warn', reason: this.#told.text, remedy: 'The adapter says so itself: see its page.' };
  }

  facts(): AdapterFacts {
    const now = this.#run?.end.counts;
    const sum = (name: keyof AdapterCounts): number => this.#before[name] + (now?.[name] ?? 0);
    return {
      ...{ isRunning: this.#run?.isStarted === true, restarts: this.#restarts, memoryBytes: this.#memoryBytes },
      ...{ ports: this.#ports, numbers: this.#numbers, gauges: this.#gauges },
      ...{ sessions: now?.sessions ?? 0, messages: sum('messages'), refusedMessages: sum('refusedMessages') },
      ...{ logins: sum('logins'), refusedLogins: sum('refusedLogins'), held: sum('held') },
    };
  }

  #word(run: Run, word: ToHub): void {
    run.heardAt = this.#clock.monotonic();
    switch (word.kind) {
      case 'started':
        run.isStarted = true;
        this.#problem = undefined;
        this.#log.info({ ports: this.#ports }, 'the adapter serves devices');
        this.#parts.recorder.record({ type: 'adapterStarted', adapter: this.name });
        return;
      case 'failed':
        run.reason = `it cannot start: ${String(word.text).slice(0, limits.adapterLastWordsCharsMax)}`;
        return;
      case 'log': {
        // Its host bounds them too, if it is what it should be.
        if (this.#isTooLoud(run.heardAt)) return;
        const level = ['debug', 'info', 'warn', 'error'].includes(word.level) ? word.level : 'info';
        this.#log[level]({ facts: factsOf(word.facts) }, String(word.text).slice(0, limits.adapterLastWordsCharsMax));
        return;
      }
      case 'health':
        this.#told = { status: word.status, text: String(word.text).slice(0, limits.adapterAddressCharsMax) };
        return;
      case 'listening':
        if (this.#ports.length < 100) this.#ports.push(`${word.host}:${word.port}`);
        return;
      case 'pong':
        this.#memoryBytes = Number(word.memoryBytes);
        this.#numbers = Object.fromEntries(Object.entries(word.numbers).slice(0, limits.adapterMetricsMax));
        this.#gauges = new Set(word.gauges);
        return;
      default:
    }
  }

  #isTooLoud(now: number): boolean {
    const second = Math.floor(now / 1000);
    if (this.#lines.second !== second) this.#lines = { second, count: 0 };
    return ++this.#lines.count > limits.adapterLogLinesPerSecond;
  }

  /** Whether it lives, and how large it is. */
  #look(run: Run): void {
    if (run !== this.#run) return;
    const now = this.#clock.monotonic();
    const { memoryMiB, run: where } = this.#parts.settings;
    if (!run.isStarted && now - run.since > limits.adapterStartMs) this.#kill(run, 'it has not started in time');
    else if (now - run.heardAt > limits.adapterSilenceMs) this.#kill(run, 'it hangs');
    else if (where === 'process' && this.#memoryBytes > memoryMiB * 2 ** 20)
      this.#kill(run, 'it takes more memory than it may');
    else run.end.say({ kind: 'ping' });
    run.cancel = this.#clock.after(limits.adapterPingMs, () => this.#look(run));
  }

  #kill(run: Run, reason: string): void {
    run.reason ??= reason;
    run.process.kill();
  }

  #ended(run: Run, how: string, words: string): void {
    if (run !== this.#run) return;
    this.#run = undefined;
    run.cancel();
    run.end.close(this.#isStopping ? 'hub-stopping' : 'connection-lost');
    for (const name of Object.keys(this.#before) as (keyof AdapterCounts)[]) this.#before[name] += run.end.counts[name];
    this.#memoryBytes = 0;
    const reason = run.reason ?? how;
    const detail = words === '' ? {} : { detail: words };
    this.#parts.recorder.record({ type: 'adapterEnded', adapter: this.name, reason, ...detail });
    if (this.#isStopping) {
      this.#whenEnded?.();
      return;
    }
    const now = this.#clock.monotonic();
    if (now - run.since > limits.adapterLifeMs) this.#pauseMs = limits.adapterPauseMsMin;
    this.#problem = `the adapter has ended: ${reason}`;
    this.#log.warn({ reason, words, againInMs: this.#pauseMs }, 'the adapter has ended, and is started again');
    this.#cancelPause = this.#clock.after(this.#pauseMs, () => {
      this.#restarts++;
      this.start();
    });
    this.#pauseMs = Math.min(2 * this.#pauseMs, limits.adapterPauseMsMax);
  }

  #certificate(): { readonly cert: readonly string[]; readonly key: readonly string[] } {
    const { cert, key } = this.#parts.certificate();
    return { cert, key };
  }
}

/** As an adapter says them, bounded: a line of the log is no place for a megabyte. */
function factsOf(facts: unknown): unknown {
  const text = JSON.stringify(facts) ?? '';
  return text.length <= limits.adapterFactsCharsMax ? facts : `${text.slice(0, limits.adapterFactsCharsMax)}…`;
}
