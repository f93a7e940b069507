import { fill } from './pattern.ts';

/** Characters that an id in the hub may have; of them `%` is what the others are written with. */
const ALLOWED = /[A-Za-z0-9\-.+_#*?!(),=@;$']/;

/**
 * The id in the hub of a device that has a name in a topic. Two names never have one id: what an id may not hold is written as `%20`
 * is for a space. @param template `home-{device}`
 */
export function deviceId(template: string, name: string): string {
  const own = Array.from(name, (char) => (ALLOWED.test(char) ? char : percent(char))).join('');
  return fill(template, { device: own }, 'text');
}

function percent(char: string): string {
  return Array.from(Buffer.from(char), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
}
