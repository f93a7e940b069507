/** A twin as back ends see it (twins reference 1.1): the whole document, and single values of it for queries. */
import type { ConfigurationStates, ConfigurationStatus } from '../configurations/types.ts';
import type { IdentityView } from '../identity/registry-room.ts';
import type { IdentityAuthentication } from '../identity/types.ts';
import type { FieldPath } from '../query/fields.ts';
import type { FleetPlace, FleetRow } from '../query/ports.ts';
import type { Value } from '../query/values.ts';
import { metadataJson, sectionJson, stampText, thumbprintsJson } from './json.ts';
import { twinETag, twinVersion } from './rules.ts';
import type { Section, Stamp, Twin } from './types.ts';

/** What a twin's document tells of its identity; no keys. */
export type TwinIdentity = Omit<IdentityView, 'authentication' | 'generationId' | 'managedBy'> & {
  readonly authentication: Pick<IdentityAuthentication, 'type' | 'x509Thumbprint'>;
};

export interface TwinFacts {
  readonly identity: TwinIdentity;
  readonly modelId: string;
  readonly twin: Twin;
  /** Absent = it has none. */
  readonly configurations?: ConfigurationStates;
}

export function twinDocument({ identity, twin, modelId, configurations }: TwinFacts) {
  return {
    deviceId: identity.deviceId,
    ...(identity.moduleId !== undefined && { moduleId: identity.moduleId }),
    etag: twinETag(twin),
    deviceEtag: identity.etag,
    status: identity.status,
    ...(identity.statusReason !== null && { statusReason: identity.statusReason }),
    statusUpdateTime: stampText(identity.statusUpdatedTime),
    connectionState: connectionState(identity),
    connectionStateUpdatedTime: stampText(identity.connectionStateUpdatedTime),
    lastActivityTime: stampText(identity.lastActivityTime),
    cloudToDeviceMessageCount: identity.cloudToDeviceMessageCount,
    authenticationType: identity.authentication.type,
    x509Thumbprint: thumbprintsJson(identity.authentication),
    modelId,
    version: twinVersion(twin),
    tags: twin.tags,
    properties: { desired: sectionJson(twin.desired), reported: sectionJson(twin.reported) },
    capabilities: identity.capabilities,
    ...(configurations !== undefined && { configurations: configurationsJson(configurations) }),
    ...(identity.deviceScope !== null && { deviceScope: identity.deviceScope }),
    ...(identity.parentScopes.length > 0 && { parentScopes: [...identity.parentScopes] }),
  };
}

/** As the service shows them: `{"<id>": {"status": "applied"}}`. */
function configurationsJson(states: ConfigurationStates) {
  const json = Object.create(null) as Record<string, { status: ConfigurationStatus }>;
  for (const id of Object.keys(states)) json[id] = { status: states[id] };
  return json;
}

/**
 * The same as JSON text, without the objects between: queries answer with hundreds of them, and making the objects and writing them costs
 * twice as much. Members whose names are numbers may stand in another order.
 */
export function twinText({ identity, twin, modelId, configurations }: TwinFacts): string {
  const { moduleId, statusReason, deviceScope, parentScopes } = identity;
  const x509 =
    identity.authentication.x509Thumbprint === null
      ? NO_THUMBPRINTS
      : JSON.stringify(thumbprintsJson(identity.authentication));
  return (
    `{"deviceId":${JSON.stringify(identity.deviceId)}` +
    (moduleId === undefined ? '' : `,"moduleId":${JSON.stringify(moduleId)}`) +
    `,"etag":"${twinETag(twin)}","deviceEtag":${JSON.stringify(identity.etag)},"status":"${identity.status}"` +
    (statusReason === null ? '' : `,"statusReason":${JSON.stringify(statusReason)}`) +
    `,"statusUpdateTime":"${stampText(identity.statusUpdatedTime)}"` +
    `,"connectionState":"${identity.connected ? 'Connected' : 'Disconnected'}"` +
    `,"connectionStateUpdatedTime":"${stampText(identity.connectionStateUpdatedTime)}"` +
    `,"lastActivityTime":"${stampText(identity.lastActivityTime)}"` +
    `,"cloudToDeviceMessageCount":${identity.cloudToDeviceMessageCount}` +
    `,"authenticationType":"${identity.authentication.type}","x509Thumbprint":${x509}` +
    `,"modelId":${JSON.stringify(modelId)},"version":${twinVersion(twin)},"tags":${JSON.stringify(twin.tags)}` +
    `,"properties":{"desired":${sectionText(twin.desired)},"reported":${sectionText(twin.reported)}}` +
    `,"capabilities":${JSON.stringify(identity.capabilities)}` +
    (configurations === undefined ? '' : `,"configurations":${JSON.stringify(configurationsJson(configurations))}`) +
    (deviceScope === null ? '' : `,"deviceScope":${JSON.stringify(deviceScope)}`) +
    (parentScopes.length === 0 ? '' : `,"parentScopes":${JSON.stringify(parentScopes)}`) +
    '}'
  );
}

const NO_THUMBPRINTS = '{"primaryThumbprint":null,"secondaryThumbprint":null}';

function sectionText({ values, version, stamp }: Section): string {
  const text = JSON.stringify(values);
  const begin = text === '{}' ? '{' : `${text.slice(0, -1)},`;
  return `${begin}"$metadata":${metadataText(stamp)},"$version":${version}}`;
}

function metadataText([time, version, members]: Stamp): string {
  let text = `{"$lastUpdated":"${stampText(time)}"`;
  if (version > 0) text += `,"$lastUpdatedVersion":${version}`;
  if (members !== undefined) {
    for (const name of Object.keys(members)) text += `,${JSON.stringify(name)}:${metadataText(members[name])}`;
  }
  return `${text}}`;
}

const connectionState = ({ connected }: TwinIdentity) =>
  connected ? ('Connected' as const) : ('Disconnected' as const);

/** What queries ask of a twin. The document is made when something of it is asked for, and not before. */
export class TwinRow implements FleetRow {
  readonly #parts: TwinRowParts;
  #twin: Twin | undefined;

  constructor(parts: TwinRowParts) {
    this.#parts = parts;
  }

  get place(): FleetPlace {
    return this.#parts.place;
  }

  text(): string {
    const { modelId } = this.#parts;
    const identity = this.#parts.identity();
    const configurations = this.#parts.configurations?.();
    return twinText({ identity, modelId, twin: this.#whole(), ...(configurations && { configurations }) });
  }

  value(path: FieldPath): Value {
    const { place, modelId, versions, known } = this.#parts;
    switch (path.field) {
      case 'deviceId':
        return below(place.deviceId, path.below);
      case 'moduleId':
        return below(place.moduleId || undefined, path.below);
      case 'etag':
        return below(twinETag({ changes: versions.changes }), path.below);
      case 'version':
        return below(versions.changes + versions.reported, path.below);
      case 'modelId':
        return below(modelId, path.below);
      case 'configurations': {
        const states = this.#parts.configurations?.();
        return states && below(configurationsJson(states), path.below);
      }
      case 'tags':
      case 'properties':
        return known === undefined ? this.#ofTwin(path) : known(path.key);
      default:
        return ofIdentity(this.#parts.identity(), path);
    }
  }

  #ofTwin({ field, below: path }: FieldPath): Value {
    const twin = this.#whole();
    if (field === 'tags') return below(twin.tags, path);
    const [section] = path;
    if (section === 'desired') return ofSection(twin.desired, path);
    if (section === 'reported') return ofSection(twin.reported, path);
    if (section !== undefined) return undefined;
    return { desired: sectionJson(twin.desired), reported: sectionJson(twin.reported) };
  }

  #whole(): Twin {
    this.#twin ??= this.#parts.twin();
    return this.#twin;
  }
}

export interface TwinRowParts {
  readonly place: FleetPlace;
  /** Of what is asked for; not called when that is nothing of it. */
  readonly identity: () => TwinIdentity;
  readonly modelId: string;
  /** As `Twin.changes`, and the version of the reported properties. */
  readonly versions: { readonly changes: number; readonly reported: number };
  /** Called once at most. */
  readonly twin: () => Twin;
  /** Undefined = it has none; absent the same. */
  readonly configurations?: () => ConfigurationStates | undefined;
  /** Values of tags and properties that are known without the document, by `FieldPath.key`; absent = none is. */
  readonly known?: (key: string) => Value;
}

/** What the registry and presence know. */
function ofIdentity(identity: TwinIdentity, path: FieldPath): Value {
  switch (path.field) {
    case 'status':
    case 'cloudToDeviceMessageCount':
      return below(identity[path.field], path.below);
    case 'statusReason':
    case 'deviceScope':
      return below(identity[path.field] ?? undefined, path.below);
    case 'deviceEtag':
      return below(identity.etag, path.below);
    case 'statusUpdateTime':
      return below(stampText(identity.statusUpdatedTime), path.below);
    case 'connectionState':
      return below(connectionState(identity), path.below);
    case 'connectionStateUpdatedTime':
    case 'lastActivityTime':
      return below(stampText(identity[path.field]), path.below);
    case 'authenticationType':
      return below(identity.authentication.type, path.below);
    case 'x509Thumbprint':
      return below(thumbprintsJson(identity.authentication), path.below);
    case 'capabilities':
      return below(identity.capabilities, path.below);
    case 'parentScopes':
      return below(identity.parentScopes.length > 0 ? identity.parentScopes : undefined, path.below);
    default:
      return undefined;
  }
}

/** @param path Begins with the section's name */
function ofSection(section: Section, path: FieldPath['below']): Value {
  switch (path[1]) {
    case undefined:
      return sectionJson(section);
    case '$version':
      return below(section.version, path, 2);
    case '$metadata':
      return below(metadataJson(section.stamp), path, 2);
    default:
      return below(section.values, path, 1);
  }
}

/** What is below `path`; undefined where there is nothing. Arrays are entered by place, objects by name. */
function below(value: Value, path: FieldPath['below'], from = 0): Value {
  let at = value;
  for (let depth = from; depth < path.length; depth++) {
    const segment = path[depth];
    if (typeof at !== 'object' || at === null || Array.isArray(at) !== (typeof segment === 'number')) return undefined;
    at = Object.hasOwn(at, segment) ? (at as Record<string | number, Value>)[segment] : undefined;
  }
  return at;
}
