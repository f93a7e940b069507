/** What a configuration may set (query reference 4): checked when it is written, and as settings when it is evaluated. */
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import { isIdentityId } from '../identity/rules.ts';
import type { JsonObject, JsonValue } from '../twins/types.ts';
import type { Setting } from './overlay.ts';
import type { ConfigurationContent } from './types.ts';

/** Checks content of a section as a change of a twin is checked: names, sizes, depth. @throws HubError ArgumentInvalid */
export type SectionCheck = (content: JsonObject, place: string) => JsonObject;

const ROOT = 'properties.desired';
const kinds = ['deviceContent', 'moduleContent', 'modulesContent'] as const;

/**
 * Content as it was sent; members that are null count as absent.
 * @throws HubError InvalidConfigurationContent
 */
export function readContent(content: JsonObject, check: SectionCheck): ConfigurationContent {
  const given = kinds.filter((kind) => own(content, kind) !== undefined && own(content, kind) !== null);
  if (given.length > 1) throw invalid(`${given.join(' and ')}: a configuration has one kind of content.`);
  const [kind] = given;
  if (kind === undefined) {
    const other = Object.keys(content).find((name) => (content[name] ?? null) !== null);
    if (other === undefined) return {};
    throw invalid(`"${other.slice(0, 128)}" is no kind of content: ${kinds.join(', ')}.`);
  }
  if (JSON.stringify(content).length > limits.configurationContentCharsMax) {
    throw invalid(`The content has at most ${limits.configurationContentCharsMax} characters of JSON.`);
  }
  const value = content[kind];
  if (!isObject(value)) throw invalid(`${kind} is an object.`);
  if (kind !== 'modulesContent') {
    checkSettings(settingsOf(value, kind), check);
    return { [kind]: value };
  }
  const names = Object.keys(value);
  checkModuleCount(names.length);
  const settings = names.flatMap((name) => {
    const module = value[name];
    checkModuleId(name);
    if (!isObject(module)) throw invalid(`${kind}.${name} is an object.`);
    const own = settingsOf(module, `${kind}.${name}`);
    checkSettings(own, check);
    return own;
  });
  checkCount(settings);
  const agent = own(value, '$edgeAgent');
  const managed = isObject(agent) ? managedModules(settingsOf(agent, '$edgeAgent')) : [];
  for (const name of managed) checkModuleId(name);
  checkModuleCount(new Set([...names, ...managed]).size);
  return { modulesContent: value as Readonly<Record<string, JsonObject>> };
}

/** Modules are made by these names. */
function checkModuleId(name: string): void {
  if (!isIdentityId(name)) throw invalid(`"${name.slice(0, 128)}" is no id of a module.`);
}

function checkModuleCount(count: number): void {
  const max = limits.configurationModulesMax;
  if (count > max) throw invalid(`A deployment has at most ${max} modules.`);
}

function checkSettings(settings: readonly Setting[], check: SectionCheck): void {
  checkCount(settings);
  for (const { path, value } of settings) {
    // As it stands in the twin.
    const nested = path.reduceRight<JsonValue>((below, name) => {
      const object = Object.create(null) as Record<string, JsonValue>;
      object[name] = below;
      return object;
    }, value);
    try {
      check(nested as JsonObject, ROOT);
    } catch (error) {
      throw error instanceof HubError ? invalid(error.message) : error;
    }
  }
}

function checkCount(settings: readonly Setting[]): void {
  const max = limits.configurationSettingsMax;
  if (settings.length > max) throw invalid(`A configuration sets at most ${max} paths.`);
}

/**
 * The settings of content, those above others first: `properties.desired` is the whole section.
 * @throws HubError InvalidConfigurationContent
 */
export function settingsOf(content: JsonObject, place: string): readonly Setting[] {
  const settings = Object.keys(content).map((key): Setting => {
    const value = content[key];
    if (key === ROOT) {
      if (!isObject(value)) throw invalid(`${place}: ${ROOT} is an object.`);
      return { path: [], value: withoutStamps(value) };
    }
    if (!key.startsWith(`${ROOT}.`)) {
      throw invalid(`${place}: "${key.slice(0, 128)}" is not ${ROOT}, nor a path that begins with it.`);
    }
    const path = key.slice(ROOT.length + 1).split('.');
    if (stamps.has(path[0])) throw invalid(`${place}: ${ROOT}.${path[0]} is the hub's own.`);
    return { path, value };
  });
  return settings.sort((a, b) => a.path.length - b.path.length);
}

/** The same where other properties of the twin stay: the members of the section one by one. */
export function settingsBeside(content: JsonObject, place: string): readonly Setting[] {
  return settingsOf(content, place).flatMap((setting) => {
    const { path, value } = setting;
    if (path.length > 0 || !isObject(value)) return [setting];
    return Object.keys(value).map((name) => ({ path: [name], value: value[name] }));
  });
}

/** What the hub sets itself in a section, and tools send along with a whole one. */
const stamps: ReadonlySet<string> = new Set(['$metadata', '$version']);

function withoutStamps(section: JsonObject): JsonObject {
  const copy = Object.create(null) as Record<string, JsonValue>;
  for (const name of Object.keys(section)) if (!stamps.has(name)) copy[name] = section[name];
  return copy;
}

/** The modules that the runtime of an edge device is to run by these settings of `$edgeAgent`: they are managed by it. */
export function managedModules(agent: readonly Setting[]): readonly string[] {
  const names = agent.flatMap(({ path, value }) => {
    if (path.length === 0) return isObject(value) && isObject(value.modules) ? present(value.modules) : [];
    if (path[0] !== 'modules') return [];
    if (path.length === 1) return isObject(value) ? present(value) : [];
    return path.length > 2 || value !== null ? [path[1]] : [];
  });
  return [...new Set(names)];
}

const present = (modules: JsonObject): readonly string[] =>
  Object.keys(modules).filter((name) => modules[name] !== null);

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function own(object: JsonObject, name: string): JsonValue | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

function invalid(message: string): HubError {
  return new HubError('InvalidConfigurationContent', message);
}
