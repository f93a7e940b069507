/**
 * How long the loop of the main thread stood still: as a metric, as a health check, and as a line of the log that says what
 * was worked off meanwhile. A loop that stands still serves nobody, whatever its throughput is.
 */
import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';
import { Gauge, type Registry } from 'prom-client';
import { limits } from '../../../base/limits.ts';
import type { Log } from '../../../base/log.ts';
import { type Work, work, workBetween } from '../../../base/work.ts';
import { type CheckResult, fine, type HealthCheck } from './health.ts';

export interface Stalls {
  /** Milliseconds of the longest stall in the window that is under way or the one before it. */
  longestMs(): number;
  readonly check: HealthCheck;
  close(): void;
}

/** Watches the loop of this thread from now on. */
export function watchStalls(registry: Registry, log: Log): Stalls {
  const delays = monitorEventLoopDelay({ resolution: limits.stallResolutionMs });
  delays.enable();
  let collectionMs = 0;
  const collections = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) collectionMs += duration;
  });
  collections.observe({ entryTypes: ['gc'] });

  let before = 0;
  const longestMs = (): number => Math.max(before, delays.max / 1e6);
  const window = setInterval(() => {
    before = delays.max / 1e6;
    delays.reset();
  }, limits.stallWindowMs).unref();

  let done: Work = { ...work };
  let cpu = process.cpuUsage();
  let at = performance.now();
  const look = setInterval(() => {
    const now = performance.now();
    const stalledMs = now - at - limits.stallLookMs;
    at = now;
    const spent = process.cpuUsage(cpu);
    const was = done;
    const collectedMs = collectionMs;
    done = { ...work };
    cpu = process.cpuUsage();
    collectionMs = 0;
    if (stalledMs < limits.stallToldMs) return;
    const fields = {
      stalledMs: Math.round(stalledMs),
      // Far less than the stall: the machine had no time for the hub, and the cause is elsewhere.
      cpuMs: Math.round((spent.user + spent.system) / 1000),
      collectionMs: Math.round(collectedMs),
      work: workBetween(was, done),
    };
    log.warn(fields, 'the loop stood still; what was worked off meanwhile is `work`');
  }, limits.stallLookMs).unref();

  new Gauge({
    name: 'mooring_loop_stall_seconds',
    help: 'Longest time for which the main thread served nobody, in the last one to two minutes',
    registers: [registry],
    collect() {
      this.set(longestMs() / 1000);
    },
  });
  return { longestMs, check: stallCheck(longestMs), close: () => stop() };

  function stop(): void {
    clearInterval(window);
    clearInterval(look);
    collections.disconnect();
    delays.disable();
  }
}

/** Quiet: each stall has its line in the log. */
export function stallCheck(longestMs: () => number): HealthCheck {
  return {
    name: 'loop',
    isQuiet: true,
    look(): CheckResult {
      const longest = longestMs();
      if (longest < limits.stallWarnMs) return fine;
      return {
        status: 'warn',
        reason: `everything stood still for ${(longest / 1000).toFixed(1)} s within the last two minutes`,
        remedy:
          'The log has a line for it that says what was worked off; a busy machine and a full memory do it as well.',
      };
    },
  };
}
