/**
 * Topic patterns of rules. `{name}` stands for one level, or a part of one (`{model}-{device}`); `{name...}` for one or more levels,
 * `+` and `#` as in a filter, without a name. `tele/{device}/{kind}` matches `tele/plug/STATE`, with `device` = `plug`.
 */
import { limits } from '../../base/limits.ts';

export type Variables = Readonly<Record<string, string>>;

export interface Pattern {
  readonly text: string;
  /** Names in their order. */
  readonly names: readonly string[];
  /** Undefined = the topic is another one. */
  match(topic: string): Variables | undefined;
  /** Filter that covers all topics of the pattern. */
  readonly filter: string;
}

const PART = /\{([a-zA-Z][a-zA-Z0-9_]{0,31})(\.\.\.)?\}/g;

/** @throws Error that says what is wrong with the pattern */
export function parsePattern(text: string): Pattern {
  checkTopicShape(text, 'pattern');
  const names: string[] = [];
  const filter: string[] = [];
  const levels: string[] = [];
  let wide = 0;
  const parts = text.split('/');
  for (const [at, level] of parts.entries()) {
    if (level === '#') {
      if (at < parts.length - 1) throw new Error(`"${text}": # may stand at the end only`);
      wide++;
      levels.push('.*');
    } else if (level === '+') levels.push('[^/]+');
    else levels.push(levelExpression(text, level, names, () => wide++));
    filter.push(filterLevel(level));
  }
  if (wide > 1) throw new Error(`"${text}": only one part may stand for several levels ({name...} or #)`);
  if (new Set(names).size < names.length) throw new Error(`"${text}": a name comes twice`);
  const expression = new RegExp(`^${levels.join('/')}$`, 's');
  const firstWide = filter.indexOf('#');
  return {
    text,
    names,
    filter: (firstWide < 0 ? filter : filter.slice(0, firstWide + 1)).join('/'),
    match: (topic) => {
      const found = expression.exec(topic);
      if (found === null) return undefined;
      const variables: Record<string, string> = Object.create(null);
      for (const [at, name] of names.entries()) variables[name] = found[at + 1];
      return variables;
    },
  };
}

/**
 * One level, or several with `{name...}`, as a regular expression. A level with two names is divided in one way alone, the first: of
 * several such levels, each with many ways, a topic of dashes would else try all combinations.
 */
function levelExpression(text: string, level: string, names: string[], isWide: () => void): string {
  let expression = '';
  let at = 0;
  let parts = 0;
  for (const found of level.matchAll(PART)) {
    expression += escaped(text, level.slice(at, found.index));
    at = found.index + found[0].length;
    parts++;
    names.push(found[1]);
    if (found[2] === undefined) expression += '([^/]+?)';
    else if (found[0] === level) {
      isWide();
      expression += '(.+)';
    } else throw new Error(`"${text}": {${found[1]}...} must be a level of its own`);
  }
  if (parts > 2) throw new Error(`"${text}": a level may have two names at most`);
  expression += escaped(text, level.slice(at));
  // What looks ahead is not tried again. The level's end is fixed by what it may hold.
  return parts < 2 ? expression : `(?=${expression}(?:/|$))[^/]+`;
}

function escaped(text: string, literal: string): string {
  if (/[{}+#]/.test(literal)) throw new Error(`"${text}": "${literal}" is neither text nor {name}`);
  return literal.replace(/[.*?^$()|[\]\\]/g, '\\$&');
}

function filterLevel(level: string): string {
  if (level === '#' || /^\{[^}]*\.\.\.\}$/.test(level)) return '#';
  return level.includes('{') ? '+' : level;
}

/** @throws Error when it is longer or deeper than a topic or filter may be, or empty */
export function checkTopicShape(topic: string, what: string): void {
  const { mqttTopicsTopicBytesMax: bytesMax, mqttTopicsLevelsMax: levelsMax } = limits;
  if (topic === '' || topic.includes('\0')) throw new Error(`the ${what} is empty, or holds U+0000`);
  if (topic.length > bytesMax || Buffer.byteLength(topic) > bytesMax)
    throw new Error(`the ${what} has more than ${bytesMax} bytes`);
  let levels = 1;
  for (let at = topic.indexOf('/'); at >= 0; at = topic.indexOf('/', at + 1)) levels++;
  if (levels > levelsMax) throw new Error(`the ${what} has ${levels} levels, at most ${levelsMax} are allowed`);
}

/**
 * Fills a topic or text: each `{name}` with its value. In a topic a value is one level, unless it is that of a wide name.
 * @throws Error that names the value which is missing or cannot stand there
 */
export function fill(template: string, variables: Variables, wide: ReadonlySet<string> | 'text'): string {
  return template.replace(PART, (_, name: string) => {
    const value = Object.hasOwn(variables, name) ? variables[name] : undefined;
    if (value === undefined) throw new Error(`it needs a value for "${name}"`);
    if (wide === 'text') return value;
    if (value === '' || /[+#\0]/.test(value)) throw new Error(`the value of "${name}" cannot be part of a topic`);
    if (value.includes('/') && !wide.has(name))
      throw new Error(`the value of "${name}" has a "/", and is one level of a topic`);
    return value;
  });
}

/** Names in a template. */
export function namesIn(template: string): string[] {
  return Array.from(template.matchAll(PART), (found) => found[1]);
}

/** Whether a filter is one that the standard allows (4.7). */
export function isFilter(filter: string): boolean {
  const levels = filter.split('/');
  return levels.every(
    (level, at) => level === '+' || (level === '#' && at === levels.length - 1) || !/[+#]/.test(level),
  );
}

/** Section 4.7. Wildcards do not match a first level that begins with `$` [MQTT-4.7.2-1]. */
export function filterMatches(filter: string, topic: string): boolean {
  if (filter === topic) return true;
  if (topic.startsWith('$') && !filter.startsWith('$')) return false;
  const levels = topic.split('/');
  const wanted = filter.split('/');
  for (const [at, level] of wanted.entries()) {
    if (level === '#') return true;
    if (at >= levels.length || (level !== '+' && level !== levels[at])) return false;
  }
  return wanted.length === levels.length;
}

/** Whether every topic of one pattern is surely one of the other, too. */
export function takesAll(wide: Pattern, narrow: Pattern): boolean {
  const topics = narrow.filter.split('/');
  const levels = wide.text.split('/');
  for (const [at, level] of levels.entries()) {
    if (level === '#' || /^\{\w+\.\.\.\}$/.test(level)) return at === levels.length - 1 && at < topics.length;
    const isAny = level === '+' || /^\{\w+\}$/.test(level);
    if (at >= topics.length || topics[at] === '#' || (isAny ? topics[at] === '' : level !== topics[at])) return false;
  }
  return levels.length === topics.length;
}

/** Filters without those that another one covers. */
export function fewestFilters(filters: Iterable<string>): string[] {
  const all = [...new Set(filters)];
  return all.filter((filter) => !all.some((other) => other !== filter && covers(other, filter)));
}

function covers(wide: string, narrow: string): boolean {
  const [a, b] = [wide.split('/'), narrow.split('/')];
  for (const [at, level] of a.entries()) {
    if (level === '#') return true;
    if (at >= b.length || b[at] === '#' || (level !== '+' && level !== b[at])) return false;
  }
  return a.length === b.length;
}
