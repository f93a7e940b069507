/** Events of twins and identities among the telemetry, in the service's form (service reference 7.3, twins reference 7). */
import type { EventStamp, Telemetry } from '../events/types.ts';
import { reportedIn, type TwinEventContent } from './changes.ts';
import { emptyObject } from './content.ts';
import { metadataJson, sectionJson, stampText } from './json.ts';
import { mergedSection } from './merge.ts';
import type { KeptTwinEvent, TwinEvent } from './ports.ts';
import { freshTwin, twinETag, twinVersion } from './rules.ts';
import type { JsonObject, JsonValue, Twin } from './types.ts';

/** As `eventSources` names them. */
export type TwinEventSource = 'twinChangeEvents' | 'deviceLifecycleEvents' | 'deviceJobLifecycleEvents';

interface Form {
  readonly source: TwinEventSource;
  readonly schema: string;
  readonly opType: string;
  /** Where the service has another name for modules. */
  readonly moduleOpType?: string;
}

const forms: Readonly<Record<TwinEvent['kind'], Form>> = {
  update: { source: 'twinChangeEvents', schema: 'twinChangeNotification', opType: 'updateTwin' },
  replace: { source: 'twinChangeEvents', schema: 'twinChangeNotification', opType: 'replaceTwin' },
  created: lifecycle('create'),
  deleted: lifecycle('delete'),
  job: { source: 'deviceJobLifecycleEvents', schema: 'deviceJobLifecycleNotification', opType: 'deviceJobEnded' },
};

function lifecycle(verb: string): Form {
  return {
    source: 'deviceLifecycleEvents',
    schema: 'deviceLifecycleNotification',
    opType: `${verb}DeviceIdentity`,
    moduleOpType: `${verb}ModuleIdentity`,
  };
}

export interface TwinEventMessage {
  readonly stamp: Pick<EventStamp, 'source'> & Partial<EventStamp>;
  readonly telemetry: Telemetry;
}

export function sourceOf({ kind }: Pick<TwinEvent, 'kind'>): TwinEventSource {
  return forms[kind].source;
}

/** The correlation id names the event: it is told by it that it is in the log already. */
export function twinEventMessage(event: KeptTwinEvent, hubName: string): TwinEventMessage {
  const { deviceId, moduleId } = event.key;
  const { source, schema, opType, moduleOpType } = forms[event.kind];
  const properties: readonly (readonly [string, string])[] = [
    ['deviceId', deviceId],
    ...(moduleId === undefined ? [] : [['moduleId', moduleId] as const]),
    ['hubName', hubName],
    ['operationTimestamp', stampText(event.time)],
    ['iothub-message-schema', schema],
    ['opType', moduleId === undefined ? opType : (moduleOpType ?? opType)],
  ];
  return {
    stamp: { deviceId, ...(moduleId !== undefined && { moduleId }), source },
    telemetry: {
      system: {
        contentType: 'application/json',
        contentEncoding: 'utf-8',
        userId: hubName,
        correlationId: event.sequence.toString(16),
      },
      properties,
      body: Buffer.from(reportedText(event) ?? bodyText(event)),
    },
  };
}

/** The sequence of the event that a record with that correlation id is of. */
export function sequenceOf(correlationId: string): number | undefined {
  return /^[0-9a-f]{1,13}$/.test(correlationId) ? Number.parseInt(correlationId, 16) : undefined;
}

/** The body of the event of one reported patch, whose text stands in it as it came: thousands of them come in a second. */
function reportedText({ version, time, content }: TwinEvent): string | undefined {
  const patch = reportedIn(content);
  if (patch === undefined) return undefined;
  const values = JSON.parse(patch.text) as JsonObject;
  const before = { ...freshTwin().reported, version: patch.version - 1 };
  const metadata = JSON.stringify(metadataJson(mergedSection(before, values, time, false).stamp));
  const members = patch.text === '{}' ? '' : `${patch.text.slice(1, -1)},`;
  const section = `{${members}"$metadata":${metadata},"$version":${patch.version}}`;
  return `{"version":${version},"properties":{"reported":${section}}}`;
}

/** The record of a job is written down as it is shown. */
const bodyText = (event: TwinEvent): string => (event.kind === 'job' ? event.content : JSON.stringify(bodyOf(event)));

function bodyOf({ key, version, time, content }: TwinEvent): JsonObject {
  const read = JSON.parse(content) as TwinEventContent;
  if ('twin' in read) return wholeTwin(key.deviceId, key.moduleId, read.twin);
  const properties = emptyObject();
  if (read.desired !== undefined) properties.desired = changedSection(read.desired, time, true);
  if (read.reported !== undefined) properties.reported = changedSection(read.reported, time, false);
  const body = emptyObject();
  body.version = version;
  if (read.tags !== undefined) body.tags = read.tags;
  if (Object.keys(properties).length > 0) body.properties = properties;
  return body;
}

/** What was merged, as it was merged, with the stamps that it has left. */
function changedSection(
  { version, patch }: { readonly version: number; readonly patch: JsonObject },
  time: number,
  isVersioned: boolean,
): JsonObject {
  const before = { ...freshTwin().desired, version: version - 1 };
  const section = emptyObject();
  for (const name of Object.keys(patch)) section[name] = patch[name];
  section.$metadata = metadataJson(mergedSection(before, patch, time, isVersioned).stamp);
  section.$version = version;
  return section;
}

function wholeTwin(deviceId: string, moduleId: string | undefined, twin: Twin): JsonObject {
  const json: Record<string, JsonValue> = { deviceId };
  if (moduleId !== undefined) json.moduleId = moduleId;
  json.etag = twinETag(twin);
  json.version = twinVersion(twin);
  if (Object.keys(twin.tags).length > 0) json.tags = twin.tags;
  json.properties = { desired: sectionJson(twin.desired), reported: sectionJson(twin.reported) };
  return json;
}
