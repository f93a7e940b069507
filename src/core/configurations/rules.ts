/** What a configuration may be (query reference 4), beyond its content. Pure. */
import { limits } from '../../base/limits.ts';
import { type ErrorCode, HubError } from '../errors.ts';
import type { FieldPath } from '../query/fields.ts';
import { kindOf, systemQueries } from './metrics.ts';
import type { ConditionLanguage } from './prepared.ts';
import type { Configuration, ConfigurationContent } from './types.ts';

const idPattern = /^[a-z0-9\-:+%_#*?!(),=@;'.$]+$/;

/** @throws HubError ArgumentInvalid */
export function checkId(id: string): void {
  if (id.length > limits.configurationIdCharsMax || !idPattern.test(id)) {
    throw new HubError(
      'ArgumentInvalid',
      `The id of a configuration has 1 to ${limits.configurationIdCharsMax} characters: small letters, digits and -:+%_#*?!(),=@;'.$`,
    );
  }
}

/** @throws HubError ArgumentInvalid, InvalidConfigurationTargetCondition, InvalidConfigurationCustomMetricsQuery */
export function checkConfiguration(configuration: Configuration, language: ConditionLanguage): void {
  const { id, schemaVersion, priority, labels, metrics, targetCondition, content } = configuration;
  checkId(id);
  if (schemaVersion.length > limits.configurationLabelCharsMax) {
    throw new HubError('ArgumentInvalid', `schemaVersion has at most ${limits.configurationLabelCharsMax} characters.`);
  }
  if (!Number.isInteger(priority) || priority < 0 || priority > limits.configurationPriorityMax) {
    throw new HubError('ArgumentInvalid', `The priority is an integer from 0 to ${limits.configurationPriorityMax}.`);
  }
  const names = Object.keys(labels);
  const tooLong = (text: string): boolean => text.length > limits.configurationLabelCharsMax;
  if (names.length > limits.configurationLabelsMax || names.some((name) => tooLong(name) || tooLong(labels[name]))) {
    const { configurationLabelsMax: count, configurationLabelCharsMax: characters } = limits;
    throw new HubError('ArgumentInvalid', `There are at most ${count} labels of ${characters} characters.`);
  }
  checkTarget(targetCondition, language, content);
  // The hub shows the condition in queries of its own, which have the bounds of queries.
  const { targetedCount } = systemQueries(configuration);
  if (targetedCount !== undefined) as('InvalidConfigurationTargetCondition', () => language.counted(targetedCount));
  const queries = Object.keys(metrics);
  if (queries.length > limits.configurationMetricsMax) {
    throw new HubError(
      'InvalidConfigurationCustomMetricsQuery',
      `A configuration has at most ${limits.configurationMetricsMax} metrics of its own.`,
    );
  }
  for (const name of queries) checkMetric(name, metrics[name], language);
}

/** Fields of a row that a condition may ask for: what no configuration changes, and what tells when it changes. */
const targetFields: ReadonlySet<string> = new Set([
  ...['deviceId', 'moduleId', 'tags', 'properties', 'capabilities', 'status', 'authenticationType', 'modelId'],
  ...['deviceScope', 'parentScopes'],
]);

/** @param content Absent = any @throws HubError InvalidConfigurationTargetCondition */
export function checkTarget(text: string, language: ConditionLanguage, content?: ConfigurationContent): void {
  const code = 'InvalidConfigurationTargetCondition';
  const target = as(code, () => language.target(text));
  if (target === undefined) return;
  const wrong = target.fields.find((path) => !targetFields.has(path.field) || isDesired(path));
  if (wrong !== undefined) {
    const name = [wrong.field, ...wrong.below].join('.');
    throw new HubError(
      code,
      `A target condition asks for ids, tags, properties.reported, capabilities, status, modelId and scopes, and not for ${name}: ` +
        'what it asks for must not be changed by configurations, and must say when it changes.',
    );
  }
  if (content === undefined || kindOf(content) === 'none') return;
  if ((kindOf(content) === 'module') !== (target.from === 'devices.modules')) {
    const needs = kindOf(content) === 'module' ? 'begins with FROM devices.modules WHERE' : 'is about devices';
    throw new HubError(code, `The target condition of this content ${needs}.`);
  }
}

const isDesired = ({ field, below }: FieldPath): boolean => field === 'properties' && below[0] !== 'reported';

/** @throws HubError InvalidConfigurationCustomMetricsQuery */
export function checkMetric(name: string, query: string, language: ConditionLanguage): void {
  const code = 'InvalidConfigurationCustomMetricsQuery';
  if (name === '' || name.length > limits.configurationMetricNameCharsMax) {
    throw new HubError(code, `The name of a metric has 1 to ${limits.configurationMetricNameCharsMax} characters.`);
  }
  const counted = as(code, () => language.counted(query));
  const restless = counted.fields.find(({ field }) => restlessFields.has(field));
  if (restless !== undefined) {
    throw new HubError(
      code,
      `A metric does not ask for ${restless.field}: it is counted when identities and twins change, and not when devices come and go.`,
    );
  }
}

/** What changes without a change of the identity or the twin. */
const restlessFields: ReadonlySet<string> = new Set([
  ...['connectionState', 'connectionStateUpdatedTime', 'lastActivityTime', 'cloudToDeviceMessageCount'],
]);

function as<Answer>(code: ErrorCode, read: () => Answer): Answer {
  try {
    return read();
  } catch (error) {
    throw error instanceof HubError && error.code === 'ArgumentInvalid' ? new HubError(code, error.message) : error;
  }
}
