/**
 * A first reader of the monitoring events, which another may replace: it says when something is out of the ordinary,
 * once when a threshold is crossed and once when it is no longer.
 *
 * Counts are kept per subject in the minutes of a sliding window. A detection is cleared when the count of its window
 * has fallen below the threshold again. Subjects are bounded, of each kind; the ones longest unheard of are forgotten
 * first, after what they had raised has been cleared.
 */
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Concerned, DetectionKind, MonitoringEvent, Recorder } from './types.ts';

export interface DetectionsParts {
  readonly clock: Clock;
  readonly recorder: Recorder;
  /** From how many on it is told; 0 = not looked for. Units: `docs/monitoring.md`. */
  readonly thresholds: Readonly<Record<DetectionKind, number>>;
  readonly subjectsMax?: number;
}

export interface Detections {
  observe(event: MonitoringEvent): void;
  /** Raised now, per kind. */
  active(): ReadonlyMap<DetectionKind, number>;
  close(): void;
}

const MINUTE_MS = 60_000;
/** Minutes that each kind looks back. */
const windowMinutes: Readonly<Record<DetectionKind, number>> = {
  'authentication-failures-of-device': 1,
  'authentication-failures-of-address': 1,
  'flapping-device': 10,
  'silent-device': 0,
  'rejected-commands': 10,
  'rate-change': 60,
};
/** Fewer events than this in a minute are no sudden change, however quiet the hour was. */
const RATE_FLOOR = 60;

/** What is kept of one kind. Of a device that has connected it is a short list: in a rush there are as many as connections. */
interface Watch {
  /** By subject: in turn a time and how many, oldest first. */
  readonly counts: Map<string, number[]>;
  /** What is raised now, by subject. */
  readonly raised: Map<string, { readonly who: Concerned; readonly time: number }>;
}

export function createDetections(parts: DetectionsParts): Detections {
  const { clock, recorder, thresholds } = parts;
  const subjectsMax = parts.subjectsMax ?? limits.detectionSubjectsMax;
  const watches = new Map<DetectionKind, Watch>();
  /** Devices that have disconnected, and when, in order of time. */
  const gone = new Map<string, { readonly who: Concerned; readonly time: number; raised: boolean }>();
  const active = new Map<DetectionKind, number>();
  const minutes: number[] = [];
  let thisMinute = 0;
  let rateRaised = 0;
  let timer: Cancel | undefined;

  const tell = (
    raised: boolean,
    detection: DetectionKind,
    who: Concerned,
    observed: number,
    raisedTime: number,
  ): void => {
    active.set(detection, (active.get(detection) ?? 0) + (raised ? 1 : -1));
    const facts = { ...who, detection, observed, threshold: thresholds[detection] };
    recorder.record(
      raised ? { type: 'detectionRaised', ...facts } : { type: 'detectionCleared', ...facts, raisedTime },
    );
  };

  /** The sum of what lies in the kind's window; what lies before it is forgotten. */
  const sumOf = (kind: DetectionKind, counts: number[], now: number): number => {
    const from = now - windowMinutes[kind] * MINUTE_MS;
    let sum = 0;
    let over = 0;
    for (let at = 0; at < counts.length; at += 2) {
      if (counts[at] <= from) over = at + 2;
      else sum += counts[at + 1];
    }
    if (over > 0) counts.splice(0, over);
    return sum;
  };

  const clear = (kind: DetectionKind, { raised }: Watch, name: string, observed: number): void => {
    const known = raised.get(name);
    if (known === undefined) return;
    raised.delete(name);
    tell(false, kind, known.who, observed, known.time);
  };

  const count = (kind: DetectionKind, name: string | undefined, who: Concerned, add: number): void => {
    if (name === undefined || thresholds[kind] === 0) return;
    const now = clock.now();
    const watch = watches.get(kind) ?? { counts: new Map(), raised: new Map() };
    watches.set(kind, watch);
    const known = watch.counts.get(name);
    const counts = known ?? [now, add];
    if (known !== undefined) addTo(known, now, add);
    // The first is the one to forget. While nobody has to be for long, nothing moves: each move leaves a hole in the table.
    if (watch.counts.size > subjectsMax / 2) watch.counts.delete(name);
    watch.counts.set(name, counts);
    const observed = sumOf(kind, counts, now);
    if (observed >= thresholds[kind] && !watch.raised.has(name)) {
      watch.raised.set(name, { who, time: now });
      tell(true, kind, who, observed, 0);
    }
    if (watch.counts.size > subjectsMax) {
      const [oldest, forgotten] = watch.counts.entries().next().value as [string, number[]];
      watch.counts.delete(oldest);
      clear(kind, watch, oldest, sumOf(kind, forgotten, now));
    }
  };

  const left = (name: string, who: Concerned): void => {
    if (thresholds['silent-device'] === 0) return;
    gone.delete(name);
    gone.set(name, { who, time: clock.now(), raised: false });
    if (gone.size > subjectsMax) came(gone.keys().next().value as string);
  };

  const came = (name: string): void => {
    const away = gone.get(name);
    gone.delete(name);
    if (away?.raised) tell(false, 'silent-device', away.who, (clock.now() - away.time) / MINUTE_MS, away.time);
  };

  const checkSilence = (now: number): void => {
    const minutesMax = thresholds['silent-device'];
    for (const away of gone.values()) {
      const observed = Math.floor((now - away.time) / MINUTE_MS);
      if (observed < minutesMax) break;
      if (away.raised) continue;
      away.raised = true;
      tell(true, 'silent-device', away.who, observed, 0);
    }
  };

  const checkRate = (now: number): void => {
    const factor = thresholds['rate-change'];
    const seen = thisMinute;
    thisMinute = 0;
    const average = minutes.length === 0 ? seen : minutes.reduce((sum, each) => sum + each, 0) / minutes.length;
    const isSudden = factor > 0 && seen >= RATE_FLOOR && seen > factor * Math.max(1, average);
    // A minute out of the ordinary does not make the next one ordinary.
    if (!isSudden) minutes.push(seen);
    if (minutes.length > windowMinutes['rate-change']) minutes.shift();
    if (isSudden && rateRaised === 0) {
      rateRaised = now;
      tell(true, 'rate-change', {}, seen, 0);
    } else if (!isSudden && rateRaised > 0) {
      tell(false, 'rate-change', {}, seen, rateRaised);
      rateRaised = 0;
    }
  };

  const everyMinute = (): void => {
    timer = clock.after(MINUTE_MS, () => {
      const now = clock.now();
      for (const [kind, watch] of watches) {
        for (const [name, counts] of watch.counts) {
          const observed = sumOf(kind, counts, now);
          if (observed < thresholds[kind]) clear(kind, watch, name, observed);
          if (observed === 0) watch.counts.delete(name);
        }
      }
      checkSilence(now);
      checkRate(now);
      everyMinute();
    });
  };
  everyMinute();

  return {
    observe(event) {
      // Neither its own words nor what was asked for by setting is out of the ordinary.
      if (event.type === 'detectionRaised' || event.type === 'detectionCleared' || event.type === 'traceStep') return;
      thisMinute += event.count ?? 1;
      const { deviceId, moduleId, peer } = event;
      const who = deviceId === undefined ? {} : { deviceId, ...(moduleId !== undefined && { moduleId }) };
      const name = moduleId === undefined ? deviceId : `${deviceId}/${moduleId}`;
      switch (event.type) {
        case 'authenticationFailed':
          count('authentication-failures-of-device', name, who, event.count ?? 1);
          count('authentication-failures-of-address', peer, peer === undefined ? {} : { peer }, event.count ?? 1);
          break;
        case 'connected':
          if (name !== undefined) came(name);
          count('flapping-device', name, who, 1);
          break;
        case 'disconnected':
          if (name !== undefined) left(name, who);
          break;
        case 'identityDeleted':
          if (name !== undefined) came(name);
          break;
        case 'commandRejected':
          count('rejected-commands', name, who, 1);
          break;
      }
    },
    active: () => active,
    close: () => timer?.(),
  };
}

/** One entry for each second at most: the window's length bounds them. */
function addTo(counts: number[], now: number, add: number): void {
  if (now - (counts.at(-2) ?? Number.NEGATIVE_INFINITY) < 1000) counts[counts.length - 1] += add;
  else counts.push(now, add);
}
