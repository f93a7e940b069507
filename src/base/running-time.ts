/**
 * Time by which events age: what the hub has seen pass. One look at the machine's clock proves nothing, for it jumps; so time
 * that passes while the hub runs is counted by the monotonic clock alone, and of the time between two runs only what a clock
 * that has stood firm says, up to a bound. `docs/decisions/0018-age-by-running-time.md` tells why.
 */
import { limits } from './limits.ts';

/** Both faces of a `Clock` at one moment, in milliseconds. */
export interface Reading {
  readonly monotonic: number;
  readonly wall: number;
}

/** What outlives the process. */
export interface KeptTime {
  readonly passedMs: number;
  /** What the clock showed then; UTC milliseconds. */
  readonly wall: number;
}

export interface TimeSeen extends Reading {
  /** Running time so far. Never goes back, over restarts either. */
  readonly passedMs: number;
  /** Time between this run and the one before, as the clock says; it counts once the clock has stood firm for long enough. */
  readonly offMs: number;
  /** For how long the clock has gone without a jump. */
  readonly steadyMs: number;
}

export interface Look {
  readonly seen: TimeSeen;
  /** By how much the clock is off from where it should be; 0 = it has not jumped. */
  readonly jumpMs: number;
}

/** The first look of a run. @param kept by an earlier one; undefined = there was none, or it is not known */
export function firstLook(kept: KeptTime | undefined, reading: Reading): Look {
  const between = kept === undefined ? 0 : reading.wall - kept.wall;
  const seen = {
    ...reading,
    passedMs: kept?.passedMs ?? 0,
    offMs: Math.min(Math.max(0, between), limits.offTimeMsMax),
    steadyMs: 0,
  };
  return { seen, jumpMs: between <= -limits.clockJumpMs ? between : 0 };
}

/** Every further look. @param reading its monotonic part is not before that of `seen` */
export function nextLook(seen: TimeSeen, reading: Reading): Look {
  const elapsed = Math.max(0, reading.monotonic - seen.monotonic);
  const drift = reading.wall - seen.wall - elapsed;
  const passedMs = seen.passedMs + elapsed;
  if (Math.abs(drift) >= limits.clockJumpMs) {
    // Neither the old time nor the new one is known to be right: what was waiting to be believed never counts.
    return { seen: { ...reading, passedMs, offMs: 0, steadyMs: 0 }, jumpMs: drift };
  }
  const steadyMs = seen.steadyMs + elapsed;
  const isFirm = steadyMs >= limits.clockFirmMs;
  const offMs = isFirm ? 0 : seen.offMs;
  return { seen: { ...reading, passedMs: isFirm ? passedMs + seen.offMs : passedMs, offMs, steadyMs }, jumpMs: 0 };
}
