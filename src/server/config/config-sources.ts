/** Collects settings from flags, variables and a file, and checks them against the schema, all at once. */
import { readFileSync } from 'node:fs';
import { clusterProblems } from './cluster-settings.ts';
import {
  type SettingFacts,
  type SettingName,
  type Settings,
  settingFacts,
  settingNames,
  settingsSchema,
} from './config.ts';
import { storeProblems } from './file-store-settings.ts';

export type SettingSource = 'flag' | 'variable' | 'file' | 'default';

export interface LoadedSettings {
  readonly settings: Settings;
  /** Where each value came from. */
  readonly sources: Readonly<Record<SettingName, SettingSource>>;
}

/** Settings that cannot be used, with every reason. Never holds a secret. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

/** Variables of ours that are no settings of the hub: the file's place and what the CLI logs in with. */
const otherVariables: readonly string[] = ['MOORING_CONFIG', 'MOORING_CONNECTION_STRING'];
/** Kubernetes sets these in every container beside a service of the name `mooring`. */
const foreignVariable = /^MOORING_(PORT|PORT_\d.*|SERVICE_HOST|SERVICE_PORT|SERVICE_PORT_.*)$/;

/**
 * @param args what stands behind the command's name
 * @param env variables of the process
 * @throws SettingsError with everything that is wrong
 */
export function loadSettings(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): LoadedSettings {
  const problems: string[] = [];
  const facts = settingNames.map(settingFacts);
  const flags = readFlags(args, facts, problems);
  const variables = readVariables(env, facts, problems);
  const file = readFile(flags.config ?? env.MOORING_CONFIG, facts, problems);

  const settings: Record<string, unknown> = {};
  const sources: Record<string, SettingSource> = {};
  for (const fact of facts) {
    const [source, value] = pick(fact.name, flags.values, variables, file);
    const parsed = settingsSchema.shape[fact.name].safeParse(value);
    sources[fact.name] = source;
    if (parsed.success) settings[fact.name] = parsed.data;
    else problems.push(refusal(fact, source, value));
  }
  if ((settings.tlsCertFile === undefined) !== (settings.tlsKeyFile === undefined)) {
    problems.push('tlsCertFile and tlsKeyFile: give both or none.');
  }
  const { tlsSecondCertFile, tlsSecondKeyFile } = settings;
  if ((tlsSecondCertFile === undefined) !== (tlsSecondKeyFile === undefined)) {
    problems.push('tlsSecondCertFile and tlsSecondKeyFile: give both or none.');
  }
  if (tlsSecondCertFile !== undefined && settings.tlsCertFile === undefined) {
    problems.push('tlsSecondCertFile is a second one: give tlsCertFile and tlsKeyFile too.');
  }
  if (settings.otlpEndpoint !== undefined && settings.monitoring === false) {
    problems.push('otlpEndpoint: traces are made of monitoring events. Switch monitoring on, or leave it out.');
  }
  if (settings.retentionWaitsForArchive === true && settings.retentionBytes === 'off') {
    problems.push(
      'retentionWaitsForArchive: while an archive does not take events, only retentionBytes keeps them from filling the disk. ' +
        'Give it a bound, or leave it at auto.',
    );
  }
  problems.push(...clusterProblems(settings));
  problems.push(...storeProblems(settings, (name) => sources[name] !== 'default'));
  if (problems.length > 0) throw new SettingsError(problems);
  return { settings: settings as Settings, sources: sources as LoadedSettings['sources'] };
}

type Values = ReadonlyMap<SettingName, unknown>;

function pick(name: SettingName, flags: Values, variables: Values, file: Values): [SettingSource, unknown] {
  if (flags.has(name)) return ['flag', flags.get(name)];
  if (variables.has(name)) return ['variable', variables.get(name)];
  if (file.has(name)) return ['file', file.get(name)];
  return ['default', undefined];
}

function refusal(fact: SettingFacts, source: SettingSource, value: unknown): string {
  const place =
    source === 'flag' ? fact.flag : source === 'variable' ? variableNames(fact) : `key "${fact.name}" of the file`;
  const got = fact.secret || mayHoldSecret(value) ? 'what is given' : JSON.stringify(value);
  return `${place}: ${got} is not allowed. It takes ${fact.form}.`;
}

/** A URL with a user, a password or a query, where a text without them is wanted. */
const mayHoldSecret = (value: unknown): boolean => typeof value === 'string' && /:\/\/([^/]*@|[^?]*\?)/.test(value);

const variableNames = ({ variable, standardVariable }: SettingFacts): string =>
  standardVariable === undefined ? variable : `${variable} (or ${standardVariable})`;

/**
 * By hand: `parseArgs` ends at the first fault, or takes the next flag for a value that is missing. Here all faults are told at
 * once, each with the nearest name that there is.
 */
function readFlags(args: readonly string[], facts: readonly SettingFacts[], problems: string[]) {
  const values = new Map<SettingName, unknown>();
  let config: string | undefined;
  for (let at = 0; at < args.length; at++) {
    const [name, attached] = splitFlag(args[at]);
    const fact = facts.find((candidate) => candidate.flag === name);
    if (fact === undefined && name !== '--config') {
      problems.push(unknownFlag(name, facts));
      if (attached === undefined && args[at + 1]?.startsWith('--') === false) at++;
      continue;
    }
    const value = attached ?? args[++at];
    if (value === undefined || (attached === undefined && value.startsWith('--'))) {
      problems.push(`${name} needs a value: ${fact?.form ?? 'the path of a JSON file'}.`);
      if (value !== undefined) at--;
    } else if (fact === undefined) config = value;
    else if (fact.isList) values.set(fact.name, [...listed(values.get(fact.name)), ...value.split(',').map(trim)]);
    else if (values.has(fact.name)) problems.push(`${name} is given twice.`);
    else values.set(fact.name, value);
  }
  return { values, config };
}

const trim = (part: string): string => part.trim();
const listed = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

function splitFlag(argument: string): [name: string, value: string | undefined] {
  const equals = argument.startsWith('--') ? argument.indexOf('=') : -1;
  return equals === -1 ? [argument, undefined] : [argument.slice(0, equals), argument.slice(equals + 1)];
}

function unknownFlag(name: string, facts: readonly SettingFacts[]): string {
  const secret = facts.find((fact) => fact.secret && `--${flagWords(fact)}` === name);
  if (secret !== undefined) {
    return `${name} does not exist: other users can see arguments. Use ${secret.variable} or the key "${secret.name}" of --config.`;
  }
  const known = [...facts.flatMap((fact) => fact.flag ?? []), '--config'];
  return `${name} is no setting. ${suggestion(name, known)}`;
}

const flagWords = (fact: SettingFacts): string =>
  fact.variable.slice('MOORING_'.length).toLowerCase().replaceAll('_', '-');

function readVariables(
  env: Readonly<Record<string, string | undefined>>,
  facts: readonly SettingFacts[],
  problems: string[],
) {
  const values = new Map<SettingName, unknown>();
  for (const { name, standardVariable } of facts) {
    const value = standardVariable === undefined ? undefined : env[standardVariable];
    // An empty one counts as not set (OpenTelemetry's environment variables, "parsing empty value").
    if (value !== undefined && value !== '') values.set(name, value);
  }
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith('MOORING_') || otherVariables.includes(variable) || value === undefined) continue;
    const fact = facts.find((candidate) => candidate.variable === variable);
    if (fact !== undefined) values.set(fact.name, value);
    else if (!foreignVariable.test(variable)) {
      const known = [...facts.map((candidate) => candidate.variable), ...otherVariables];
      problems.push(`The variable ${variable} is no setting. ${suggestion(variable, known)}`);
    }
  }
  return values;
}

function readFile(path: string | undefined, facts: readonly SettingFacts[], problems: string[]): Values {
  if (path === undefined) return new Map();
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    // A JSON error quotes the text around the fault, which may be a secret: only its kind is told.
    const why = error instanceof SyntaxError ? 'it is not JSON' : (error as Error).message;
    problems.push(`--config ${path} cannot be read: ${why}.`);
    return new Map();
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    problems.push(`--config ${path} must hold one JSON object.`);
    return new Map();
  }
  const values = new Map<SettingName, unknown>();
  for (const [name, value] of Object.entries(content)) {
    if (facts.some((fact) => fact.name === name)) values.set(name as SettingName, value);
    else problems.push(`The key "${name}" of ${path} is no setting. ${suggestion(name, settingNames)}`);
  }
  return values;
}

function suggestion(name: string, known: readonly string[]): string {
  const nearest = known.toSorted((a, b) => distance(name, a) - distance(name, b))[0];
  return `The nearest is ${nearest}.`;
}

/** Letters to insert, delete or replace until `from` is `to` (Levenshtein). */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (from[i - 1] === to[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[to.length];
}
