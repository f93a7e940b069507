const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const units: Readonly<Record<string, number>> = { ms: 1, s: SECOND, m: MINUTE, h: HOUR, d: DAY };

/** `500ms`, `30s`, `10m`, `1h30m`, `2d` as milliseconds; undefined if it is not a duration. */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, count, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) total += Number(count) * units[unit];
  return total;
}

/** Milliseconds as a person says them: `850 ms`, `12.3 s`, `4m 05s`, `2h 03m`, `3d 4h`, `396 days`. */
export function duration(ms: number): string {
  if (ms < SECOND) return `${Math.round(ms)} ms`;
  if (ms < MINUTE) return `${(ms / SECOND).toFixed(1)} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)}m ${two((ms % MINUTE) / SECOND)}s`;
  if (ms < DAY) return `${Math.floor(ms / HOUR)}h ${two((ms % HOUR) / MINUTE)}m`;
  if (ms < 10 * DAY) return `${Math.floor(ms / DAY)}d ${Math.floor((ms % DAY) / HOUR)}h`;
  return `${count(ms / DAY)} days`;
}

/** A latency with three figures: `0.84 ms`, `12.3 ms`, `1.20 s`. */
export function latency(ms: number): string {
  if (ms >= 999.5) return `${(ms / SECOND).toPrecision(3)} s`;
  return `${ms >= 100 ? Math.round(ms) : Number(ms.toPrecision(3))} ms`;
}

/** `1234567` as `1,234,567`. */
export function count(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',');
}

/** A rate with as many digits as matter: `0.25`, `12.5`, `1,234`. */
export function rate(perSecond: number): string {
  if (perSecond >= 100) return count(perSecond);
  return perSecond >= 10 ? perSecond.toFixed(1) : perSecond.toFixed(2);
}

/** Bytes as a person says them: `850 B`, `12.3 KiB`, `4.00 GiB`. */
export function byteCount(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let [size, at] = [value, 0];
  for (; size >= 1023.5 && at < units.length - 1; at++) size /= 1024;
  return `${at === 0 || size >= 99.95 ? Math.round(size) : size.toPrecision(3)} ${units[at]}`;
}

/** UTC milliseconds as ISO 8601 with milliseconds. */
export function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

/** `2026-01-02 03:04:05` in the local time of the person who looks. */
export function localTime(ms: number): string {
  const at = new Date(ms);
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${date} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

const two = (value: number): string => Math.floor(value).toString().padStart(2, '0');
