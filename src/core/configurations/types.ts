/** Configurations (automatic device management) and Edge deployments, which are configurations of modules. Plain data, no behaviour. */
import type { JsonObject } from '../twins/types.ts';

/**
 * What a configuration sets: by dotted paths that begin with `properties.desired`, null = removed. One kind at most; nothing of it =
 * it only counts.
 */
export interface ConfigurationContent {
  /** On the devices that it is for. */
  readonly deviceContent?: JsonObject;
  /** On the modules that it is for. */
  readonly moduleContent?: JsonObject;
  /** An Edge deployment: on the modules of the edge devices that it is for, by module id. */
  readonly modulesContent?: { readonly [moduleId: string]: JsonObject };
}

/** What a back end wants a configuration to be. */
export interface ConfigurationDraft {
  readonly id: string;
  readonly schemaVersion: string;
  readonly labels: { readonly [name: string]: string };
  /** Undefined = that of the configuration that is there. */
  readonly content: ConfigurationContent | undefined;
  /** `*`, a condition, or `FROM devices.modules WHERE` and one; empty = for nobody. */
  readonly targetCondition: string;
  /** From 0 on; the higher one wins. */
  readonly priority: number;
  /** Queries whose rows are counted, by name. */
  readonly metrics: { readonly [name: string]: string };
}

export interface Configuration extends Omit<ConfigurationDraft, 'content'> {
  readonly content: ConfigurationContent;
  /** UTC milliseconds. */
  readonly createdTime: number;
  readonly lastUpdatedTime: number;
  readonly etag: string;
}

/** With what the store knows of it. */
export interface KeptConfiguration extends Configuration {
  /** Not given twice, whatever becomes of the id. */
  readonly serial: number;
  /** How many rows the hub's own metrics and the custom ones count, by name. */
  readonly systemCounts: { readonly [name: string]: number };
  readonly metricCounts: { readonly [name: string]: number };
  /** Whether all of the fleet has been looked at since it was changed last. */
  readonly isEverywhere: boolean;
}

/** `applied`: something that it sets has been set by it. `targeted`: it is for this one, and others have won all that it sets. */
export type ConfigurationStatus = 'targeted' | 'applied';

/** Of one twin, by configuration id: those that are for it. */
export type ConfigurationStates = { readonly [id: string]: ConfigurationStatus };

/** Names below `properties.desired`; none = the whole section. */
export type SettingPath = readonly string[];

/** What is kept of one identity beside its twin. */
export interface Configured {
  readonly states: ConfigurationStates;
  /** What configurations have set in the twin: to be taken away when none does any more. None begins with another. */
  readonly paths: readonly SettingPath[];
  /** Of a device: serials of the Edge deployments that its modules get, in the order in which they are laid. */
  readonly deployed: readonly number[];
  /** Keys of the counters that count this identity, in order. */
  readonly counted: readonly number[];
}
