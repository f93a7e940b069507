/** JSON of the API <-> values of core. Times and states get their protocol form only here. */
import type { z } from 'zod';
import type { ConsumerGroupJson, HubFacts } from '../../api/hub.ts';
import type {
  BulkResultJson,
  bulkItemSchema,
  Device,
  deviceDraftSchema,
  InScopeJson,
  Module,
  moduleDraftSchema,
  RegeneratedKeysJson,
} from '../../api/identities.ts';
import { HubError } from '../../core/errors.ts';
import type { ConsumerGroup } from '../../core/events/ports.ts';
import type { EventHubFacts } from '../../core/events/room.ts';
import type {
  BulkItem,
  BulkResult,
  IdentityDraft,
  IdentityView,
  InScope,
  WhichKeys,
} from '../../core/identity/registry-room.ts';
import type { Identity, IdentityKey } from '../../core/identity/types.ts';
import { readTwinChange } from '../../core/twins/rules.ts';
import { unquoteETag } from './addresses.ts';

/** The service shows the first instant of its calendar for "never", without a zone (service reference 2.3). */
const NEVER = '0001-01-01T00:00:00';

/** ISO 8601 of UTC milliseconds. */
export function timeText(time: number): string {
  return time === 0 ? NEVER : new Date(time).toISOString();
}

/** @throws HubError ArgumentInvalid when the body names another identity than the path */
export function deviceDraft(key: IdentityKey, body: z.output<typeof deviceDraftSchema>): IdentityDraft {
  checkSameId('deviceId', key.deviceId, body.deviceId);
  return { deviceId: key.deviceId, ...draftFields(body) };
}

/** @throws HubError ArgumentInvalid when the body names another identity than the path */
export function moduleDraft(key: IdentityKey, body: z.output<typeof moduleDraftSchema>): IdentityDraft {
  checkSameId('deviceId', key.deviceId, body.deviceId);
  checkSameId('moduleId', key.moduleId, body.moduleId);
  return { ...key, ...draftFields(body), managedBy: body.managedBy ?? null };
}

function checkSameId(name: string, inPath: string | undefined, inBody: string | null | undefined): void {
  if (inBody === null || inBody === undefined || inBody === inPath) return;
  throw new HubError('ArgumentInvalid', `The ${name} of the body is not that of the path.`);
}

export function bulkItem(item: z.output<typeof bulkItemSchema>): BulkItem {
  const key = item.moduleId == null ? { deviceId: item.id } : { deviceId: item.id, moduleId: item.moduleId };
  const etag = item.eTag ?? item.etag;
  return {
    draft: { ...key, ...draftFields(item), ...(item.managedBy == null ? {} : { managedBy: item.managedBy }) },
    importMode: item.importMode ?? 'createOrUpdate',
    ...(etag == null ? {} : { etag: unquoteETag(etag) }),
    ...(item.twinETag == null ? {} : { twinEtag: unquoteETag(item.twinETag) }),
    ...bulkTwin(item),
  };
}

/** What of the item is its twin's: read as the body of a PATCH is, so that the same bounds hold for it; but null says nothing here. */
function bulkTwin({ tags, properties, importMode }: z.output<typeof bulkItemSchema>): Pick<BulkItem, 'twin'> {
  const desired = properties?.desired;
  const isTwins = importMode === 'updateTwin' || importMode === 'updateTwinIfMatchETag';
  // Empty sections are what serializers send of an identity whose twin nobody has touched.
  if (!isTwins && isEmpty(tags) && isEmpty(desired)) return {};
  const body = { ...(tags != null && { tags }), ...(desired != null && { properties: { desired } }) };
  try {
    const change = readTwinChange(Buffer.from(JSON.stringify(body)), 'merge');
    if (isTwins || change.kind !== 'merge') return { twin: change };
    // A version stands there when the item was exported: it is not this twin's.
    const { desiredVersion: _, ...merge } = change;
    return { twin: merge };
  } catch (error) {
    if (!(error instanceof HubError)) throw error;
    return { twin: error };
  }
}

function isEmpty(section: unknown): boolean {
  return section == null || (typeof section === 'object' && Object.keys(section).length === 0);
}

type DraftFields = Partial<Pick<z.output<typeof bulkItemSchema>, Exclude<keyof IdentityDraft, keyof IdentityKey>>>;

/** Null and absent are the same: not given. */
function draftFields(body: DraftFields): Omit<IdentityDraft, keyof IdentityKey> {
  const { status, statusReason, authentication, capabilities, deviceScope, parentScopes } = body;
  return {
    ...(status == null ? {} : { status }),
    ...(statusReason == null ? {} : { statusReason }),
    ...(authentication == null
      ? {}
      : {
          authentication: {
            ...(authentication.type == null ? {} : { type: authentication.type }),
            ...(authentication.symmetricKey == null ? {} : { symmetricKey: authentication.symmetricKey }),
            ...(authentication.x509Thumbprint == null ? {} : { x509Thumbprint: authentication.x509Thumbprint }),
          },
        }),
    ...(capabilities == null ? {} : { capabilities: { iotEdge: capabilities.iotEdge ?? false } }),
    ...(deviceScope == null ? {} : { deviceScope }),
    ...(parentScopes == null ? {} : { parentScopes }),
  };
}

export function deviceJson(view: IdentityView): Device {
  return {
    deviceId: view.deviceId,
    ...shownFields(view),
    status: view.status,
    statusReason: view.statusReason,
    statusUpdatedTime: timeText(view.statusUpdatedTime),
    capabilities: { iotEdge: view.capabilities.iotEdge },
    ...(view.deviceScope === null ? {} : { deviceScope: view.deviceScope }),
    parentScopes: [...view.parentScopes],
  };
}

export function moduleJson(view: IdentityView): Module {
  return {
    moduleId: view.moduleId ?? '',
    managedBy: view.managedBy,
    deviceId: view.deviceId,
    ...shownFields(view),
  };
}

/** @param linkTo the next page, behind the child of that id */
export function inScopeJson({ devices, modules, next }: InScope, linkTo: (after: string) => string): InScopeJson {
  return {
    devices: devices.map(deviceJson),
    modules: modules.map(moduleJson),
    continuationLink: next === undefined ? null : linkTo(next),
  };
}

function shownFields(view: IdentityView) {
  const { type, symmetricKey, x509Thumbprint } = view.authentication;
  return {
    generationId: view.generationId,
    etag: view.etag,
    connectionState: view.connected ? ('Connected' as const) : ('Disconnected' as const),
    connectionStateUpdatedTime: timeText(view.connectionStateUpdatedTime),
    lastActivityTime: timeText(view.lastActivityTime),
    cloudToDeviceMessageCount: view.cloudToDeviceMessageCount,
    authentication: {
      symmetricKey: {
        primaryKey: symmetricKey?.primaryKey ?? null,
        secondaryKey: symmetricKey?.secondaryKey ?? null,
      },
      x509Thumbprint: {
        primaryThumbprint: x509Thumbprint?.primaryThumbprint ?? null,
        secondaryThumbprint: x509Thumbprint?.secondaryThumbprint ?? null,
      },
      type,
    },
  };
}

export function bulkResultJson(result: BulkResult): BulkResultJson {
  return {
    isSuccessful: result.isSuccessful,
    errors: result.errors.map(({ isTold: _, ...error }) => error),
    warnings: result.withoutTwin.map(({ deviceId, reason }) => ({
      deviceId,
      warningCode: 'DeviceRegisteredWithoutTwin',
      warningStatus: reason,
    })),
  };
}

export function consumerGroupJson(group: ConsumerGroup): ConsumerGroupJson {
  return { name: group.name, createdTime: timeText(group.createdTime) };
}

export async function eventHubJson(log: EventHubFacts): Promise<HubFacts['eventHubs'][number]> {
  const partitions = Array.from({ length: log.partitionCount }, (_, at) => log.partition(at));
  return {
    name: log.name,
    createdTime: timeText(log.createdTime),
    partitions: (await Promise.all(partitions)).map((facts, at) => ({
      id: String(at),
      firstSequenceNumber: facts.firstSequence,
      lastSequenceNumber: facts.lastSequence,
      lastEnqueuedTime: timeText(facts.lastTime),
    })),
  };
}

/** @param outcomes of `keys`, in their order */
export function regeneratedKeysJson(
  policyKey: WhichKeys,
  keys: readonly IdentityKey[],
  outcomes: readonly (Identity | HubError)[],
): RegeneratedKeysJson {
  const answer: RegeneratedKeysJson = { policyKey, rotatedKeys: [], errors: [] };
  for (const [at, { deviceId, moduleId }] of keys.entries()) {
    const outcome = outcomes[at];
    const id = { id: deviceId, ...(moduleId !== undefined && { moduleId }) };
    if (outcome instanceof HubError) {
      answer.errors.push({ ...id, errorCode: outcome.code, errorStatus: outcome.message });
      continue;
    }
    const { primaryKey, secondaryKey } = outcome.authentication.symmetricKey ?? {};
    answer.rotatedKeys.push({
      ...id,
      ...(policyKey !== 'secondaryKey' && { primaryKey }),
      ...(policyKey !== 'primaryKey' && { secondaryKey }),
    });
  }
  return answer;
}
