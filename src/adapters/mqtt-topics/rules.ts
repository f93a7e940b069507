/**
 * Rules: what a topic means to the hub, and to which topic goes what the hub has for a device. Presets are nothing but rules
 * (`presets.ts`); the operator's own come before them.
 */

import { limits } from '../../base/limits.ts';
import { z } from '../../gateway/index.ts';
import { checkTopicShape, fill, namesIn, type Pattern, parsePattern, takesAll, type Variables } from './pattern.ts';

const names = z.record(z.string(), z.string());

/** One kind of topic that comes from devices. */
export const inboundRule = z.strictObject({
  /** Pattern, `tele/{device}/{kind}`. */
  topic: z.string(),
  /** `telemetry`; `reported`: the body is merged into the reported properties; `presence`: says whether the device is there; `answer`: of a method; `nothing`. */
  to: z.enum(['telemetry', 'reported', 'presence', 'answer', 'nothing']),
  /** `auto`: JSON where the body begins like it. */
  body: z.enum(['auto', 'json', 'text', 'bytes']).default('auto'),
  /** The body becomes the value of this member of an object: `{entity}` makes `{"temperature": 21.5}` of `21.5`. */
  wrap: z.string().optional(),
  /** Properties of the message, with names of the pattern in them. */
  properties: names.default({}),
  /** `presence`: bodies, or values of `state` in a JSON body, that mean that the device is there. Everything else means that it is not. */
  online: z.array(z.string()).min(1).optional(),
  /** `presence`: of this device, or of all that the connection speaks for. */
  of: z.enum(['device', 'all']).default('device'),
  /** `answer`: members of a JSON answer that hold the call's number, its status, the result and an error; without `id` it answers the oldest call. */
  id: z.string().optional(),
  status: z.string().optional(),
  result: z.string().optional(),
  error: z.string().optional(),
  /** `answer`: what becomes of a message that no call waits for. */
  otherwise: z.enum(['telemetry', 'reported', 'nothing']).default('nothing'),
});

/** One kind of message that the hub has for devices. */
export const outboundRule = z.strictObject({
  from: z.enum(['command', 'method', 'desired']),
  /** `cmnd/{device}/{command}`: names are properties of the command, `device`, and `name` of a method. */
  topic: z.string(),
  /** Absent = the body of the command, the payload of the method, the changed properties. Otherwise JSON with `{name}` in its texts; `{payload}` alone is the payload itself. */
  body: z.json().optional(),
  /** What a name is when the command does not say it. */
  defaults: names.default({}),
  qos: z.union([z.literal(0), z.literal(1)]).default(1),
  retain: z.boolean().default(false),
  /** `method`: the call is answered by a message that a rule with `to: answer` matches; otherwise by status 202 once it is delivered. */
  answered: z.boolean().default(false),
  answerSeconds: z.number().int().min(1).max(300).default(limits.mqttTopicsAnswerSeconds),
});

export type InboundRule = z.output<typeof inboundRule>;
export type OutboundRule = z.output<typeof outboundRule>;
export type Dialect = {
  readonly name: string;
  readonly inbound: readonly InboundRule[];
  readonly outbound: readonly OutboundRule[];
};

/** A rule that a topic has matched. */
export interface Match {
  readonly rule: InboundRule;
  readonly dialect: string;
  readonly variables: Variables;
  /** Name of the device in the topic; undefined where the pattern has none. */
  readonly device: string | undefined;
  /** Made once for all messages on that topic. */
  readonly properties: Readonly<Record<string, string>>;
  readonly wrap: string | undefined;
}

export interface Outgoing {
  readonly dialect: string;
  readonly rule: OutboundRule;
  readonly topic: string;
  readonly body: Uint8Array;
}

/** What rules ask for. */
export interface Asked {
  readonly from: OutboundRule['from'];
  /** `device`, `name`, `id`, and properties of a command. */
  readonly variables: Variables;
  /** Undefined = none. */
  readonly payload: unknown;
  /** The payload as it is sent where the rule has no body of its own. */
  readonly bytes: Uint8Array;
}

export class Mapping {
  readonly #inbound: { readonly pattern: Pattern; readonly rule: InboundRule; readonly dialect: string }[] = [];
  readonly #outbound: { readonly rule: OutboundRule; readonly dialect: string; readonly device: Pattern }[] = [];
  /** Names that stand for several levels wherever they come from. */
  readonly #wide = new Set<string>();

  /** @throws Error that names the rule and what is wrong with it */
  constructor(dialects: readonly Dialect[]) {
    const count = dialects.reduce((sum, { inbound, outbound }) => sum + inbound.length + outbound.length, 0);
    if (count > limits.mqttTopicsRulesMax)
      throw new Error(`${count} rules, at most ${limits.mqttTopicsRulesMax} are allowed`);
    for (const { name, inbound, outbound } of dialects) {
      for (const rule of inbound) this.#inbound.push({ pattern: checkedInbound(rule), rule, dialect: name });
      for (const rule of outbound) this.#outbound.push({ rule, dialect: name, device: checkedOutbound(rule) });
    }
    for (const { pattern } of this.#inbound) addWide(pattern.text, this.#wide);
    for (const { device } of this.#outbound) addWide(device.text, this.#wide);
  }

  get isEmpty(): boolean {
    return this.#inbound.length + this.#outbound.length === 0;
  }

  /** The first rule that matches. Undefined = none. */
  match(topic: string): Match | undefined {
    for (const { pattern, rule, dialect } of this.#inbound) {
      const variables = pattern.match(topic);
      if (variables === undefined) continue;
      const properties: Record<string, string> = {};
      for (const [name, value] of Object.entries(rule.properties)) properties[name] = fill(value, variables, 'text');
      const wrap = rule.wrap === undefined ? undefined : fill(rule.wrap, variables, 'text');
      return { rule, dialect, variables, device: variables.device, properties, wrap };
    }
    return undefined;
  }

  /** Whether one that hears what it sends would take it for a message of another device, or for word of who is there. */
  misleads(topic: string, device: string): boolean {
    const match = this.match(topic);
    if (match === undefined || match.rule.to === 'nothing') return false;
    return match.rule.to === 'presence' || match.device !== device;
  }

  /** Which kinds of messages have a topic at all. */
  has(from: OutboundRule['from']): boolean {
    return this.#outbound.some(({ rule }) => rule.from === from);
  }

  /**
   * Where it may go, the likeliest first.
   * @param dialect that the device speaks, as far as is known: then only rules of that one count
   * @throws Error that says which value is missing, when no rule can be filled
   */
  outgoing(asked: Asked, dialect: string | undefined): Outgoing[] {
    const found: Outgoing[] = [];
    let reason: unknown;
    for (const entry of this.#outbound) {
      if (entry.rule.from !== asked.from || (dialect !== undefined && entry.dialect !== dialect)) continue;
      try {
        const variables = { ...entry.rule.defaults, ...asked.variables };
        const topic = fill(entry.rule.topic, variables, this.#wide);
        checkTopicShape(topic, 'topic');
        found.push({ dialect: entry.dialect, rule: entry.rule, topic, body: bodyOf(entry.rule, asked, variables) });
      } catch (error) {
        reason ??= error;
      }
    }
    if (found.length === 0) throw reason ?? new Error(`no rule says where a ${asked.from} goes`);
    return found;
  }

  /** The device that a subscription names, as `cmnd/plug/#` does where commands go to `cmnd/{device}/{command}`. */
  deviceInFilter(filter: string): { device: string; dialect: string } | undefined {
    const levels = filter.split('/');
    for (const { rule, dialect } of this.#outbound) {
      const wanted = rule.topic.split('/');
      const at = wanted.indexOf('{device}');
      if (at < 0 || at >= levels.length || /[+#]/.test(levels.slice(0, at + 1).join('/'))) continue;
      if (wanted.slice(0, at).every((level, place) => level === levels[place]) && at > 0) {
        return { device: levels[at], dialect };
      }
    }
    return undefined;
  }

  /** What a bridge asks the broker for. */
  filters(): string[] {
    return this.#inbound.filter(({ rule }) => rule.to !== 'nothing').map(({ pattern }) => pattern.filter);
  }
}

/** @throws Error that names a rule which no topic reaches, and the one before it that takes them all */
export function checkReached(rules: readonly InboundRule[]): void {
  const patterns = rules.map(({ topic }) => parsePattern(topic));
  for (const [at, pattern] of patterns.entries()) {
    const before = patterns.slice(0, at).find((other) => takesAll(other, pattern));
    if (before !== undefined) {
      throw new Error(
        `topic "${pattern.text}" is never reached: "${before.text}" before it takes all of its topics. Put it first`,
      );
    }
  }
}

function checkedInbound(rule: InboundRule): Pattern {
  const pattern = parsePattern(rule.topic);
  const used = [...Object.values(rule.properties), rule.wrap ?? ''].flatMap(namesIn);
  const unknown = used.find((name) => !pattern.names.includes(name));
  if (unknown !== undefined) throw new Error(`topic "${rule.topic}" has no {${unknown}}, which its rule uses`);
  if (rule.to === 'presence' && rule.online === undefined) {
    throw new Error(`topic "${rule.topic}": presence needs "online", the bodies that mean that the device is there`);
  }
  if (rule.to === 'presence' && rule.of === 'device' && !pattern.names.includes('device')) {
    throw new Error(`topic "${rule.topic}": presence of a device needs {device} in the topic, or "of": "all"`);
  }
  return pattern;
}

function checkedOutbound(rule: OutboundRule): Pattern {
  const pattern = parsePattern(rule.topic);
  if (/(^|\/)[+#](\/|$)/.test(rule.topic)) throw new Error(`topic "${rule.topic}": what is sent has no wildcards`);
  const known = {
    command: undefined,
    method: ['device', 'name', 'id', 'payload'],
    desired: ['device', 'version', 'payload'],
  };
  const allowed = known[rule.from];
  const used = [...namesIn(rule.topic), ...(rule.body === undefined ? [] : namesIn(JSON.stringify(rule.body)))];
  const unknown = allowed && used.find((name) => !allowed.includes(name) && !Object.hasOwn(rule.defaults, name));
  if (unknown) throw new Error(`topic "${rule.topic}": a ${rule.from} has no {${unknown}}`);
  if (rule.answered && rule.from !== 'method') throw new Error(`topic "${rule.topic}": only a method is answered`);
  return pattern;
}

function addWide(text: string, wide: Set<string>): void {
  for (const [, name] of text.matchAll(/\{(\w+)\.\.\.\}/g)) wide.add(name);
}

function bodyOf(rule: OutboundRule, asked: Asked, variables: Variables): Uint8Array {
  if (rule.body === undefined) return asked.bytes;
  const filled = fillJson(rule.body, variables, asked.payload);
  return Buffer.from(typeof filled === 'string' ? filled : JSON.stringify(filled));
}

/** A text that is one name alone keeps the type of its value: `{payload}` any, `{id}` a number. */
function fillJson(value: unknown, variables: Variables, payload: unknown): unknown {
  if (typeof value === 'string') {
    if (value === '{payload}') return payload;
    if (value === '{id}' && Object.hasOwn(variables, 'id')) return Number(variables.id);
    return fill(value, variables, 'text');
  }
  if (Array.isArray(value)) return value.map((item) => fillJson(item, variables, payload));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, fillJson(item, variables, payload)]));
}
