/** Reads the settings of an endpoint out of JSON, each by its name; what is not asked for is refused at the end. */
import { limits } from '../../../base/limits.ts';
import { HubError } from '../../errors.ts';

/** @throws HubError ArgumentInvalid from every call, with the place: which endpoint, which setting, and what it must be */
export interface Fields {
  text(name: string, or?: { readonly default?: string; readonly charsMax?: number }): string;
  optionalText(name: string, charsMax?: number): string | undefined;
  /** Whole numbers. */
  integer(name: string, of: { readonly min: number; readonly max: number; readonly default: number }): number;
  flag(name: string, byDefault: boolean): boolean;
  oneOf<Word extends string>(name: string, words: readonly Word[], byDefault: Word): Word;
  texts(name: string, countMax: number): readonly string[];
  /** Says that a value, which was read, cannot be. */
  fail(name: string, what: string): never;
  /** Nothing else may stand there. */
  end(): void;
}

/** @param place What messages call it: `endpoints[2]` */
export function fieldsOf(value: unknown, place: string): Fields {
  const fail = (name: string, what: string): never => {
    throw new HubError('ArgumentInvalid', `${name === '' ? place : `${place}.${name}`}: ${what}`);
  };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail('', 'it must be an object.');
  const members = new Map<string, unknown>(Object.entries(value));
  const take = (name: string): unknown => {
    const found = members.get(name);
    members.delete(name);
    return found ?? undefined;
  };
  const optionalText = (name: string, charsMax = limits.endpointSettingCharsMax): string | undefined => {
    const found = take(name);
    if (found === undefined) return undefined;
    if (typeof found !== 'string') return fail(name, 'it must be a text.');
    if (found.length > charsMax) return fail(name, `it has ${found.length} characters, ${charsMax} are allowed.`);
    if (found.includes('\0')) return fail(name, 'it holds a NUL character.');
    return found;
  };
  return {
    optionalText,
    text(name, or) {
      const found = optionalText(name, or?.charsMax) ?? or?.default;
      if (found === undefined || found === '') return fail(name, 'it is missing.');
      return found;
    },
    integer(name, { min, max, default: byDefault }) {
      const found = take(name) ?? byDefault;
      const isGood = typeof found === 'number' && Number.isInteger(found) && found >= min && found <= max;
      return isGood ? found : fail(name, `it must be a whole number from ${min} to ${max}.`);
    },
    flag(name, byDefault) {
      const found = take(name) ?? byDefault;
      return typeof found === 'boolean' ? found : fail(name, 'it must be true or false.');
    },
    oneOf(name, words, byDefault) {
      const found = take(name) ?? byDefault;
      return words.find((word) => word === found) ?? fail(name, `it must be one of ${words.join(', ')}.`);
    },
    texts(name, countMax) {
      const found = take(name) ?? [];
      const isList =
        Array.isArray(found) && found.length <= countMax && found.every((each) => typeof each === 'string');
      return isList ? found : fail(name, `it must be a list of at most ${countMax} texts.`);
    },
    fail,
    end() {
      for (const name of members.keys()) fail(name, 'there is no such setting.');
    },
  };
}
