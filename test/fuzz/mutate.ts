/** Damage, of texts and of bytes: what parsers stumble over, rather than noise. */
import type { Chance } from './campaign.ts';

const texts = [
  '',
  '/',
  '//',
  '/../',
  '%2e%2e%2f',
  '%',
  '%2',
  '%00',
  '%ff',
  '%25',
  '%252F',
  '\0',
  '\r\n',
  '\t',
  '&',
  '=',
  ';',
  '#',
  '+',
  '$',
  "'",
  '"',
  '\\',
  '\ud800',
  '\u202e',
  'İ',
  'ſ',
  '\ufeff',
  '{}',
  '[]',
  '__proto__',
  'constructor',
  'toString',
  '-1',
  '0',
  '1e309',
  'NaN',
  '9007199254740993',
  '99999999999999999999999999',
  'sr=',
  'sig=',
  'skn=',
  'se=',
  'devices/',
  'modules/',
  'SharedAccessSignature ',
  'A'.repeat(300),
] as const;

/** The text with one to five pieces of damage. */
export function damagedText(chance: Chance, text: string, others: readonly string[]): string {
  let out = text;
  for (let times = chance.below(5); times >= 0; times--) {
    const at = chance.below(out.length + 1);
    const length = chance.below(Math.min(out.length - at, 12) + 1);
    switch (chance.below(8)) {
      case 0:
        out = out.slice(0, at) + out.slice(at + length);
        break;
      case 1:
        out = out.slice(0, at) + chance.pick(texts) + out.slice(at);
        break;
      case 2:
        out = out.slice(0, at) + out.slice(at, at + length).repeat(1 + chance.below(40)) + out.slice(at + length);
        break;
      case 3:
        out = out.slice(0, at) + String.fromCharCode(chance.below(0x10000)) + out.slice(at + 1);
        break;
      case 4:
        out = out.slice(0, at) + chance.pick(others).slice(chance.below(20));
        break;
      case 5:
        out = encodeURIComponentLoosely(out);
        break;
      case 6:
        out = chance.once(2) ? out.toUpperCase() : out.toLowerCase();
        break;
      default:
        out = chance.once(20) ? repeated(out, 1 + chance.below(2000)) : out + chance.pick(texts);
    }
  }
  return out;
}

/** So many times, as far as that stays within `LENGTH_MAX`: a string of all of it may not be possible. */
function repeated(text: string, times: number): string {
  return text.repeat(Math.min(times, Math.ceil(LENGTH_MAX / Math.max(1, text.length)))).slice(0, LENGTH_MAX);
}

const LENGTH_MAX = 400_000;

function encodeURIComponentLoosely(text: string): string {
  return encodeURIComponent(text.toWellFormed().slice(0, 20_000));
}

const numbers = [0, 1, 0x7f, 0x80, 0xfe, 0xff] as const;

/** The bytes with up to six pieces of damage, sometimes none. */
export function damagedBytes(chance: Chance, bytes: Buffer): Buffer {
  let out = Buffer.from(bytes);
  for (let times = chance.below(7); times > 0 && out.length > 0; times--) {
    const at = chance.below(out.length);
    const length = 1 + chance.below(Math.min(out.length - at, 32));
    switch (chance.below(7)) {
      case 0:
        out[at] = chance.below(256);
        break;
      case 1:
        out[at] ^= 1 << chance.below(8);
        break;
      case 2:
        out[at] = chance.pick(numbers);
        break;
      case 3:
        if (at + 4 <= out.length) out.writeUInt32BE(chance.pick([0, 1, 7, 8, 0x7fffffff, 0x80000000, 0xffffffff]), at);
        break;
      case 4:
        out = Buffer.concat([out.subarray(0, at), out.subarray(at + length)]);
        break;
      case 5:
        out = Buffer.concat([out.subarray(0, at + length), out.subarray(at, at + length), out.subarray(at + length)]);
        break;
      default:
        out = Buffer.concat([out.subarray(0, at), chance.bytes(chance.below(24)), out.subarray(at)]);
    }
  }
  return out;
}

/** The bytes with a piece of them very many times, up to `bytesMax` in all. */
export function swollen(chance: Chance, bytes: Buffer, bytesMax: number): Buffer {
  const at = chance.below(bytes.length + 1);
  const piece = bytes.subarray(at, at + 1 + chance.below(chance.once(2) ? 4 : 40));
  if (piece.length === 0) return bytes;
  const times = chance.below(Math.max(1, Math.floor((bytesMax - bytes.length) / piece.length)));
  const more = Buffer.alloc(Math.max(0, times) * piece.length, piece);
  return Buffer.concat([bytes.subarray(0, at), more, bytes.subarray(at)]);
}

/** JSON text that is mean: deep, long, with names that objects have anyway, with numbers that are none. */
export function meanJson(chance: Chance, depth = 0): string {
  switch (chance.below(depth > 4 ? 6 : 10)) {
    case 0:
      return chance.pick(['1e999', '-0', '0.1e-400', '123456789012345678901234567890', 'true', 'null', '-', '01']);
    case 1:
    case 2:
      return JSON.stringify(chance.pick(texts));
    case 3:
      return '"\\ud800"';
    case 4:
      return JSON.stringify('x'.repeat(chance.below(400)));
    case 5:
      return '['.repeat(chance.once(6) ? 100_000 : 3) + (chance.once(2) ? '' : ']]]');
    case 6:
      return `[${Array.from({ length: chance.below(5) }, () => meanJson(chance, depth + 1)).join(',')}]`;
    default: {
      const names = ['deviceId', 'deviceId', 'status', 'authentication', 'symmetricKey', 'primaryKey', 'type', 'etag'];
      const members = Array.from({ length: chance.below(6) }, () => {
        const name = chance.once(4)
          ? chance.pick(['__proto__', 'constructor', 'prototype', 'toJSON'])
          : chance.pick(names);
        return `${JSON.stringify(name)}:${meanJson(chance, depth + 1)}`;
      });
      return `{${members.join(',')}}`;
    }
  }
}
