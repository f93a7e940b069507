/** One line of a file of identities -> what is wished, and back (query reference 3, service reference 2.4). Pure. */
import { scanJson } from '../../base/json-scan.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import type { IdentityDraft, ImportMode } from '../identity/registry-room.ts';
import type { JsonObject, JsonValue, TwinChange } from '../twins/types.ts';
import type { ImportedTwin } from './types.ts';

export interface ImportItem {
  readonly draft: IdentityDraft;
  readonly mode: ImportMode;
  /** Unquoted. */
  readonly etag: string | undefined;
  readonly twinEtag: string | undefined;
  /** Undefined = the line says nothing of it. */
  readonly twin: ImportedTwin | HubError | undefined;
}

/** As `importedTwin` of the room of twins. @throws HubError ArgumentInvalid */
export type ReadTwin = (
  tags: JsonValue | undefined,
  properties: JsonValue | undefined,
  kind: TwinChange['kind'],
) => ImportedTwin;

const modes: readonly ImportMode[] = [
  'create',
  'update',
  'updateIfMatchETag',
  'createOrUpdate',
  'createOrUpdateIfMatchETag',
  'delete',
  'deleteIfMatchETag',
  'updateTwin',
  'updateTwinIfMatchETag',
];

/** The text of a line as a JSON object. @throws HubError IotHubFormatError, ArgumentInvalid; never with a word of the text */
export function parseLine(bytes: Uint8Array): JsonObject {
  const cost = scanJson(bytes, limits.registryJobLineValuesMax);
  if (cost.depth > limits.registryJobLineDepthMax) {
    throw new HubError('ArgumentInvalid', `The line nests deeper than ${limits.registryJobLineDepthMax} levels.`);
  }
  if (cost.values > limits.registryJobLineValuesMax) {
    throw new HubError('ArgumentInvalid', `The line has more than ${limits.registryJobLineValuesMax} values.`);
  }
  let value: JsonValue;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw new HubError('IotHubFormatError', 'The line is not JSON in UTF-8.');
  }
  if (!isObject(value)) throw new HubError('IotHubFormatError', 'The line is not a JSON object.');
  return value;
}

/** Which identity a line names, as far as it does: for the list of what could not be taken. */
export function namedIn(line: JsonObject): { readonly deviceId?: string; readonly moduleId?: string } {
  const clipped = (value: JsonValue | undefined): string | undefined =>
    typeof value === 'string' ? value.slice(0, limits.identityIdCharsMax) : undefined;
  const [deviceId, moduleId] = [clipped(own(line, 'id') ?? own(line, 'deviceId')), clipped(own(line, 'moduleId'))];
  return { ...(deviceId !== undefined && { deviceId }), ...(moduleId !== undefined && { moduleId }) };
}

export function modeOf(line: JsonObject): ImportMode | undefined {
  const text = own(line, 'importMode');
  if (text === undefined || text === null || text === '') return 'createOrUpdate';
  return typeof text === 'string' ? modes.find((mode) => mode.toLowerCase() === text.toLowerCase()) : undefined;
}

/** @throws HubError ArgumentInvalid, ArgumentNull */
export function readItem(line: JsonObject, readTwin: ReadTwin): ImportItem {
  const id = textOf(line, 'id') ?? textOf(line, 'deviceId');
  if (id === undefined) throw new HubError('ArgumentNull', 'The line has no id.');
  const moduleId = textOf(line, 'moduleId');
  const mode = modeOf(line);
  if (mode === undefined) throw invalid(`importMode must be one of ${modes.join(', ')}.`);
  return {
    draft: { deviceId: id, ...(moduleId !== undefined && { moduleId }), ...draftFields(line) },
    mode,
    etag: unquoted(textOf(line, 'eTag') ?? textOf(line, 'etag')),
    twinEtag: unquoted(textOf(line, 'twinETag')),
    twin: twinOf(line, mode, readTwin),
  };
}

/** What is wrong with the twin alone is told behind what becomes of the identity. */
function twinOf(line: JsonObject, mode: ImportMode, readTwin: ReadTwin): ImportItem['twin'] {
  const [tags, properties] = [own(line, 'tags'), own(line, 'properties')];
  if (mode === 'delete' || mode === 'deleteIfMatchETag') return undefined;
  try {
    const twin = readTwin(tags, properties, mode.startsWith('updateTwin') ? 'merge' : 'replace');
    return twin.change === undefined && twin.reported === undefined ? undefined : twin;
  } catch (error) {
    if (error instanceof HubError) return error;
    throw error;
  }
}

/** Null and absent are the same: not given. Values are judged by the rules of identities. */
function draftFields(line: JsonObject): Omit<IdentityDraft, 'deviceId' | 'moduleId'> {
  const status = textOf(line, 'status')?.toLowerCase();
  const statusReason = textOf(line, 'statusReason');
  const authentication = objectOf(line, 'authentication');
  const capabilities = objectOf(line, 'capabilities');
  const [deviceScope, managedBy] = [textOf(line, 'deviceScope'), textOf(line, 'managedBy')];
  const parentScopes = own(line, 'parentScopes');
  if (parentScopes != null && !isTexts(parentScopes)) throw invalid('parentScopes must be a list of texts.');
  return {
    ...(status !== undefined && { status: status as 'enabled' }),
    ...(statusReason !== undefined && { statusReason }),
    ...(authentication !== undefined && { authentication: authenticationOf(authentication) }),
    ...(capabilities !== undefined && { capabilities: { iotEdge: own(capabilities, 'iotEdge') === true } }),
    ...(deviceScope !== undefined && deviceScope !== '' && { deviceScope }),
    ...(parentScopes != null && { parentScopes: (parentScopes as readonly string[]).filter((scope) => scope !== '') }),
    ...(managedBy !== undefined && { managedBy }),
  };
}

function authenticationOf(given: JsonObject): NonNullable<IdentityDraft['authentication']> {
  const type = textOf(given, 'type');
  const keys = objectOf(given, 'symmetricKey');
  const thumbprints = objectOf(given, 'x509Thumbprint');
  return {
    ...(type !== undefined && { type: type as 'sas' }),
    ...(keys !== undefined && {
      symmetricKey: { primaryKey: textOf(keys, 'primaryKey') ?? '', secondaryKey: textOf(keys, 'secondaryKey') ?? '' },
    }),
    ...(thumbprints !== undefined && {
      x509Thumbprint: {
        primaryThumbprint: textOf(thumbprints, 'primaryThumbprint') ?? null,
        secondaryThumbprint: textOf(thumbprints, 'secondaryThumbprint') ?? null,
      },
    }),
  };
}

const isTexts = (value: JsonValue): boolean =>
  Array.isArray(value) && value.every((each: JsonValue) => typeof each === 'string');

/** Undefined also for null. @throws HubError ArgumentInvalid: the value itself may be a key, and is not shown */
function textOf(object: JsonObject, name: string): string | undefined {
  const value = own(object, name);
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw invalid(`${name} must be a text.`);
  return value;
}

function objectOf(object: JsonObject, name: string): JsonObject | undefined {
  const value = own(object, name);
  if (value === undefined || value === null) return undefined;
  if (!isObject(value)) throw invalid(`${name} must be an object.`);
  return value;
}

function own(object: JsonObject, name: string): JsonValue | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function unquoted(etag: string | undefined): string | undefined {
  return etag?.replace(/^(?:W\/)?"(.*)"$/, '$1');
}

function invalid(message: string): HubError {
  return new HubError('ArgumentInvalid', message);
}
