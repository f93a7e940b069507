/** A time that ends in its zone: `Z`, a name for UTC, or an offset. */
const ZONED = /(?:[zZ]|UTC|GMT|[+-]\d{2}:?\d{2})\s*$/;
const ISO = /^\d{4}-\d{2}-\d{2}T/;

/**
 * UTC milliseconds of a time that a client wrote; one without a zone is UTC, wherever the hub runs. `Date.parse` alone reads it
 * in the machine's own zone.
 * @returns NaN where the text is no time
 */
export function utcTime(text: string): number {
  const time = text.trim();
  if (ZONED.test(time)) return Date.parse(time);
  return Date.parse(ISO.test(time) ? `${time}Z` : `${time} UTC`);
}
