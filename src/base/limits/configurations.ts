/** Configurations of many devices. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB, SECOND_MS } from './units.ts';

export const configurationsLimits = {
  /** Service: configurations of a hub, Edge deployments among them. Each is looked at with every change of a twin. */
  configurationsMax: 100,
  configurationIdCharsMax: 128,
  /** Service: queries of its own that one configuration counts by. */
  configurationMetricsMax: 5,
  configurationMetricNameCharsMax: 128,
  /** Labels of one configuration, and characters of a name or a value of them, and of its schemaVersion. */
  configurationLabelsMax: 64,
  configurationLabelCharsMax: 256,
  /** Paths that one configuration sets on a twin: all of them are compared with those of the others. */
  configurationSettingsMax: 256,
  /** Service: modules of one Edge deployment. */
  configurationModulesMax: 50,
  /** JSON text of the whole content: a deployment may fill the desired properties of several modules. */
  configurationContentCharsMax: 256 * KiB,
  configurationValuesMax: 16 * KiB,
  /** Service: the largest priority. */
  configurationPriorityMax: 2 ** 31 - 1,
  /** Identities that are looked at in one step of the store: some milliseconds of its thread, between which others have their turn. */
  configurationsAtOnce: 32,
  /** Of these, what those may be that have changed, while a walk over the whole fleet is under way. */
  configurationMarksShare: 3 / 4,
  /** Of the walk over the whole fleet, so much of the time is left to others: the pause behind a step, in times of the step. */
  configurationWalkPause: 1,
  /** How often content is set on a twin that others change at the same time. */
  configurationAttemptsMax: 8,
  /** Until a step that failed, or that another node has the turn of, is tried again. */
  configurationRetryMs: 1 * SECOND_MS,
  /** Marks that a metric counts: each costs a look at a row. */
  configurationMarksCounted: 10_000,
  /** Devices of which a node knows that it has told which modules they have no place for. */
  configurationsToldMax: 10_000,
  /** How often a node looks for what another one has left. */
  configurationLookMs: 10 * SECOND_MS,
} as const;
