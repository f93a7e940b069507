/** Kinds of values that a setting can have. Each takes JSON values, and the text that flags and variables carry. */
import { z } from 'zod';

/** A port, 0 = any free one, `off` = not served. */
export type Port = number | 'off';

const units: Readonly<Record<string, number>> = { '': 1, B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };

const numberOf = (value: unknown): unknown =>
  typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value;

export const whole = (min: number, max: number) => z.preprocess(numberOf, z.number().int().min(min).max(max));

export const port = () => z.preprocess(numberOf, z.union([z.literal('off'), z.number().int().min(0).max(65_535)]));

/** So many in a time, or `off` = as many as they like. */
export const rate = (min: number, max: number) =>
  z.preprocess(numberOf, z.union([z.literal('off'), z.number().int().min(min).max(max)]));

/** Bytes, also with a unit: `64KiB`. @param words what may stand instead, as `off` for "no bound" */
export function byteSize(min: number, max: number): z.ZodType<number>;
export function byteSize<Word extends string>(min: number, max: number, ...words: Word[]): z.ZodType<number | Word>;
export function byteSize(min: number, max: number, ...words: string[]): z.ZodType<number | string> {
  const bytes = z.number().int().min(min).max(max);
  return z.preprocess(sizeOf, words.length === 0 ? bytes : z.union([z.enum(words), bytes]));
}

export const text = (pattern: RegExp) => z.string().max(4096).regex(pattern);

/** Several texts: an array, or one text with commas. */
export const list = (pattern: RegExp, countMax = 100) =>
  z.preprocess(
    (value) => (typeof value === 'string' ? value.split(',').map((part) => part.trim()) : value),
    z.array(z.string().regex(pattern)).max(countMax),
  );

export const flag = () =>
  z.preprocess(
    (value) => (value === 'on' || value === 'true' ? true : value === 'off' || value === 'false' ? false : value),
    z.boolean(),
  );

/** Base64 of `bytesMin` to `bytesMax` bytes, in its one canonical form. */
export const key = (bytesMin: number, bytesMax: number) =>
  z.string().refine((value) => {
    const bytes = Buffer.from(value, 'base64');
    return bytes.toString('base64') === value && bytes.length >= bytesMin && bytes.length <= bytesMax;
  });

function sizeOf(value: unknown): unknown {
  const match = typeof value === 'string' ? /^(\d{1,15})\s*([KMGT]iB|B)?$/.exec(value) : null;
  return match === null ? value : Number(match[1]) * units[match[2] ?? ''];
}
