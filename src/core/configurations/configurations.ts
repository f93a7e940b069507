/** The room of configurations: what back ends ask for. What comes of it for the fleet is carried out beside (`carrying.ts`). */
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import type { Guard, Guarded } from '../identity/guard.ts';
import { generateEtag } from '../identity/rules.ts';
import { type ApplyingParts, applyContent } from './applying.ts';
import { configurationCalls } from './calls.ts';
import { readContent, type SectionCheck } from './content.ts';
import type { ConfigurationStore } from './ports.ts';
import type { ConditionLanguage } from './prepared.ts';
import type { Configurations, TestedErrors } from './room.ts';
import { checkConfiguration, checkId, checkMetric, checkTarget } from './rules.ts';
import type { Configuration, ConfigurationContent } from './types.ts';

export interface ConfigurationsParts extends ApplyingParts {
  readonly guard: Guard;
  readonly store: ConfigurationStore;
  readonly language: ConditionLanguage;
  readonly checkSection: SectionCheck;
}

export function createConfigurations(parts: ConfigurationsParts): Guarded<Configurations> {
  const { store, language, clock, random } = parts;
  const checked = (content: ConfigurationContent): ConfigurationContent =>
    readContent({ ...content }, parts.checkSection);
  /** Devices to which content is being applied. */
  const applying = new Set<string>();

  const room: Configurations = {
    async get(_principal, id) {
      const kept = await store.get(id);
      if (kept === undefined) throw notFound(id);
      return kept;
    },
    async list(_principal, top = limits.configurationsMax) {
      const all = await store.list();
      return top >= 1 && top < all.length ? all.slice(0, top) : all;
    },
    async put(_principal, draft, ifMatch) {
      const content = draft.content === undefined ? undefined : checked(draft.content);
      const now = clock.now();
      const stamped = { ...draft, createdTime: now, lastUpdatedTime: now, etag: generateEtag(random) };
      if (ifMatch === undefined) {
        const configuration: Configuration = { ...stamped, content: content ?? {} };
        checkConfiguration(configuration, language);
        const outcome = await store.create(configuration, limits.configurationsMax);
        if (outcome.kind === 'done') return outcome.kept;
        if (outcome.kind === 'exists') {
          throw new HubError('ConfigurationAlreadyExists', `The configuration ${draft.id} exists already.`);
        }
        const max = limits.configurationsMax;
        const limit = { name: 'configurationsMax', scope: 'hub', current: max, max };
        throw new HubError('IotHubQuotaExceeded', `The hub has ${max} configurations, as many as it takes.`, { limit });
      }
      checkId(draft.id);
      const before = await store.get(draft.id);
      if (before === undefined) throw notFound(draft.id);
      // Which content it is does not change.
      checkConfiguration({ ...stamped, content: before.content }, language);
      const outcome = await store.replace({ ...stamped, content }, ifMatch);
      switch (outcome.kind) {
        case 'done':
          return outcome.kept;
        case 'notFound':
          throw notFound(draft.id);
        case 'etagMismatch':
          throw changed(draft.id);
        case 'otherContent':
          throw new HubError(
            'CannotModifyImmutableConfigurationContent',
            `The content of ${draft.id} stays as it was created. Create another configuration with a higher priority.`,
          );
      }
    },
    async delete(_principal, id, ifMatch = '*') {
      const outcome = await store.delete(id, ifMatch);
      if (outcome === 'notFound') throw notFound(id);
      if (outcome === 'etagMismatch') throw changed(id);
    },
    async test(_principal, { targetCondition, metrics }) {
      const wrong = (check: () => void): string | null => {
        try {
          check();
          return null;
        } catch (error) {
          if (error instanceof HubError) return error.message;
          throw error;
        }
      };
      const errors = Object.create(null) as Record<string, string>;
      for (const name of Object.keys(metrics)) {
        const error = wrong(() => checkMetric(name, metrics[name], language));
        if (error !== null) errors[name] = error;
      }
      const target = targetCondition === undefined ? null : wrong(() => checkTarget(targetCondition, language));
      return { targetCondition: target, metrics: errors } satisfies TestedErrors;
    },
    async apply(_principal, deviceId, content) {
      const own = checked(content);
      if (applying.has(deviceId)) throw new HubError('ApplyConfigurationAlreadyInProgressOnDevice');
      applying.add(deviceId);
      try {
        await applyContent(parts, deviceId, own);
      } finally {
        applying.delete(deviceId);
      }
    },
  };
  return parts.guard.room(room, configurationCalls);
}

function notFound(id: string): HubError {
  return new HubError('ConfigurationNotFound', `The configuration ${id.slice(0, 128)} does not exist.`);
}

function changed(id: string): HubError {
  return new HubError('PreconditionFailed', `The configuration ${id} has changed: the ETag is not the current one.`);
}
