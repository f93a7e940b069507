/** What monitoring is told of refusals, heard inside the hub's own process, and requests of back ends that cause them. */
import assert from 'node:assert/strict';
import type { MonitoringReport, Recorder } from '../../src/core/monitoring/types.ts';
import type { HttpHub } from './http.ts';

/** A hub's recorder that keeps what it is told until a test takes it. */
export class HeardReports implements Recorder {
  #reports: MonitoringReport[] = [];

  record(report: MonitoringReport): void {
    this.#reports.push(report);
  }

  /** Everything since the last time. */
  take(): readonly MonitoringReport[] {
    return this.#reports.splice(0);
  }

  /** The refused operations since the last time. */
  takeRefusals(): readonly string[] {
    return refusalLines(this.take());
  }
}

/** Of each refused operation: `operation code reason`, whom it concerns, the policy (or what it went to), the peer. */
function refusalLines(reports: readonly MonitoringReport[]): readonly string[] {
  return reports.flatMap((report) => {
    if (report.type !== 'operationRefused') return [];
    const { operation, code, reason, limit, policyName, deviceId, moduleId, target, peer } = report;
    const why = [operation, code, reason ?? limit?.name].filter((text) => text !== undefined).join(' ');
    return `${why} | ${[deviceId, moduleId].filter(Boolean).join('/')} | ${policyName ?? `target ${target}`} | ${peer}`;
  });
}

/** One request of a back end, and what comes of it. */
export interface Attempt {
  /** The policy; `iothubowner` by default. */
  readonly by?: string;
  readonly method: string;
  /** Without `api-version`, which the emulated service's own paths are given. */
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number;
  /** `operation code reason | whom it concerns`; undefined = it is an answer, of which nothing is told. */
  readonly told?: string;
}

/** Makes the attempts one after another; each is told as it says, and never with a credential. */
export async function attempt(http: HttpHub, heard: HeardReports, attempts: readonly Attempt[]): Promise<void> {
  for (const { by = 'iothubowner', method, path, body, headers, status, told } of attempts) {
    const authorization = await http.token(by);
    const answer = await http.request(method, versioned(path), { body, headers: { ...headers, authorization } });
    assert.equal(answer.status, status, `${method} ${path}: ${answer.body}`);
    const reports = heard.take();
    const expected = told === undefined ? [] : [`${told} | ${by} | 127.0.0.1`];
    assert.deepEqual(refusalLines(reports), expected, `${method} ${path} by ${by}`);
    assert.ok(!JSON.stringify(reports).includes('sig='), `${method} ${path} by ${by}: a credential is told`);
  }
}

/** Paths of the hub's own have their version in them. */
export function versioned(path: string): string {
  return path.startsWith('/mooring/') ? path : `${path}?api-version=2021-04-12`;
}
