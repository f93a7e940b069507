/** Content that is set once on one edge device (query reference 4): no configuration stands behind it, and nothing repeats it. */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';
import { HubError } from '../errors.ts';
import type { IdentityStore } from '../identity/ports.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { TwinStore } from '../twins/ports.ts';
import type { JsonObject } from '../twins/types.ts';
import { managedModules, settingsBeside, settingsOf } from './content.ts';
import { makeModules } from './modules.ts';
import { mergeBetween, overlay, type Setting, withSettings } from './overlay.ts';
import type { ConfigurationContent } from './types.ts';

export interface ApplyingParts {
  readonly identities: Pick<IdentityStore, 'get' | 'listModules' | 'write'>;
  readonly twins: Pick<TwinStore, 'load' | 'change'>;
  /** Whether changes of twins are kept as events. */
  readonly withEvents: boolean;
  readonly modulesPerDeviceMax: number;
  readonly clock: Pick<Clock, 'now'>;
  readonly random: Random;
}

/** @throws HubError DeviceNotFound, ArgumentInvalid, InvalidConfigurationContent, TooManyModulesOnDevice, PreconditionFailed */
export async function applyContent(
  parts: ApplyingParts,
  deviceId: string,
  { deviceContent, moduleContent, modulesContent = {} }: ConfigurationContent,
): Promise<void> {
  if (moduleContent !== undefined) {
    throw new HubError('InvalidConfigurationContent', 'To one device deviceContent and modulesContent can be applied.');
  }
  const device = await parts.identities.get({ deviceId });
  if (device === undefined) throw new HubError('DeviceNotFound', `The device ${deviceId} does not exist.`);
  if (!device.capabilities.iotEdge) {
    throw new HubError('ArgumentInvalid', `${deviceId} is no edge device, and has no modules that are deployed.`);
  }
  await makeMissing(parts, deviceId, modulesContent);
  // The agent hears last: what it is to run finds its settings.
  const names = Object.keys(modulesContent).sort((a, b) => Number(a === '$edgeAgent') - Number(b === '$edgeAgent'));
  if (deviceContent !== undefined) await set(parts, { deviceId }, settingsBeside(deviceContent, 'deviceContent'));
  for (const moduleId of names) {
    await set(parts, { deviceId, moduleId }, settingsOf(modulesContent[moduleId], moduleId));
  }
}

async function makeMissing(
  parts: ApplyingParts,
  deviceId: string,
  content: { readonly [moduleId: string]: JsonObject },
): Promise<void> {
  const agent = Object.hasOwn(content, '$edgeAgent') ? settingsOf(content.$edgeAgent, '$edgeAgent') : [];
  const managed = new Set(managedModules(agent));
  const there = new Set((await parts.identities.listModules(deviceId)).map(({ moduleId }) => moduleId));
  const modules = [...new Set([...Object.keys(content), ...managed])]
    .filter((moduleId) => !there.has(moduleId))
    .map((moduleId) => ({ moduleId, isManaged: managed.has(moduleId) }));
  if (modules.length === 0) return;
  const outcomes = await makeModules(parts, deviceId, modules);
  if (outcomes.some(({ kind }) => kind === 'deviceNotFound')) throw new HubError('DeviceNotFound');
  if (outcomes.some(({ kind }) => kind === 'full')) {
    const max = parts.modulesPerDeviceMax;
    const limit = { name: 'modulesPerDeviceMax', scope: `device ${deviceId}`, current: max, max };
    throw new HubError('TooManyModulesOnDevice', undefined, { limit });
  }
}

/** Until what was read has not changed in between. */
async function set(parts: ApplyingParts, key: IdentityKey, settings: readonly Setting[]): Promise<void> {
  const over = overlay(settings.map((setting) => ({ ...setting, owner: true })));
  for (let attempt = 1; ; attempt++) {
    const kept = await parts.twins.load(key);
    if (kept === undefined) throw new HubError('ModuleNotFound');
    const { values, version } = kept.twin.desired;
    const desired = mergeBetween(values, withSettings(values, [], over));
    if (desired === undefined) return;
    const terms = { ifMatch: '*', time: parts.clock.now(), withEvents: parts.withEvents };
    const outcome = await parts.twins.change(key, { kind: 'merge', desired, desiredVersion: version }, terms);
    if (outcome.kind === 'done') return;
    if (outcome.kind === 'gone') throw new HubError('ModuleNotFound');
    if (outcome.code !== 'PreconditionFailed' || attempt >= limits.configurationAttemptsMax) {
      throw new HubError(outcome.code, outcome.message, outcome.limit === undefined ? {} : { limit: outcome.limit });
    }
  }
}
