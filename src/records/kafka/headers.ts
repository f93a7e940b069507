/**
 * The headers of a message as a record of Kafka: key = device id, value = body, headers = properties as text, by these names. A
 * message's own property that has one of them, or begins with the mark, has the mark before its name.
 */
import type { IdType } from '../../base/id-type.ts';
import type { RoutingMark } from '../../core/events/ports.ts';
import type { HubEventStamp, Telemetry, TelemetrySystem } from '../../core/events/types.ts';

export const PROPERTY_MARK = '~';
/** When the hub took the message, UTC milliseconds in thirteen digits: the last header of what the hub writes. */
export const HUB_TIME = 'iothub-enqueuedtime';
export const TIME_DIGITS = 13;
/** Where the message goes (`RoutingMark`), in five hexadecimal digits; absent = nowhere but to readers of the event hub. */
export const ROUTING = 'x-opt-mooring-route';
export const ROUTING_DIGITS = 5;

/** What the hub says of a message; the device id is the key. A field that is missing in these lists does not compile: it would be lost. */
const ofStamp = {
  moduleId: 'iothub-connection-module-id',
  authMethod: 'iothub-connection-auth-method',
  generationId: 'iothub-connection-auth-generation-id',
  source: 'iothub-message-source',
  modelId: 'dt-dataschema',
} as const satisfies Readonly<Record<Exclude<keyof HubEventStamp, 'deviceId'>, string>>;

/** UTC milliseconds, in digits. */
const ofTimes = {
  expiry: 'absolute-expiry-time',
  creationTime: 'iothub-creation-time',
} as const satisfies Partial<Readonly<Record<keyof TelemetrySystem, string>>>;

const ofSystem = {
  messageId: 'message-id',
  correlationId: 'correlation-id',
  userId: 'user-id',
  to: 'to',
  contentType: 'content-type',
  contentEncoding: 'content-encoding',
  subject: 'dt-subject',
  interfaceId: 'iothub-interface-id',
  messageSchema: 'iothub-message-schema',
  outputName: 'iothub-outputname',
  diagnosticId: 'Diagnostic-Id',
  correlationContext: 'Correlation-Context',
} as const satisfies Readonly<Record<Exclude<keyof TelemetrySystem, keyof typeof ofTimes | 'idTypes'>, string>>;
const ofIdTypes = { messageId: 'message-id-type', correlationId: 'correlation-id-type' } as const;
const TRACE = 'x-opt-mooring-trace';

const reserved: ReadonlySet<string> = new Set<string>([
  ...[ofStamp, ofSystem, ofTimes, ofIdTypes].flatMap((names) => Object.values(names)),
  TRACE,
  HUB_TIME,
  ROUTING,
]);

export type Header = readonly [name: string, value: string | null];

/** All but the time. */
export function headersOf(
  stamp: HubEventStamp,
  { system, properties, traceId }: Omit<Telemetry, 'body'>,
): readonly Header[] {
  const headers: Header[] = [];
  const add = (name: string, value: string | number | undefined): void => {
    if (value !== undefined) headers.push([name, String(value)]);
  };
  for (const [field, name] of entriesOf(ofStamp)) add(name, stamp[field]);
  for (const [field, name] of entriesOf(ofSystem)) add(name, system[field]);
  for (const [field, name] of entriesOf(ofTimes)) add(name, system[field]);
  for (const [field, name] of entriesOf(ofIdTypes)) add(name, system.idTypes?.[field]);
  add(TRACE, traceId);
  for (const [name, value] of properties) {
    headers.push([reserved.has(name) || name.startsWith(PROPERTY_MARK) ? PROPERTY_MARK + name : name, value]);
  }
  return headers;
}

/** What headers say; of a record that another program wrote, everything but the hub's names is a property. */
export function messageOf(
  key: string | undefined,
  headers: readonly Header[],
): { readonly stamp: HubEventStamp; readonly message: Omit<Telemetry, 'body'>; readonly mark: RoutingMark } {
  const named = new Map<string, string>();
  const properties: [string, string | null][] = [];
  for (const [name, value] of headers) {
    if (reserved.has(name)) {
      if (value !== null) named.set(name, value);
    } else properties.push([name.startsWith(PROPERTY_MARK) ? name.slice(1) : name, value]);
  }
  const pick = <Field extends string>(names: Readonly<Record<Field, string>>): Partial<Record<Field, string>> => {
    const found: Partial<Record<Field, string>> = {};
    for (const [field, name] of entriesOf(names)) {
      const value = named.get(name);
      if (value !== undefined) found[field] = value;
    }
    return found;
  };
  const times = Object.fromEntries(
    Object.entries(pick(ofTimes)).flatMap(([field, text]) => (isTime(text) ? [[field, Number(text)]] : [])),
  );
  const idTypes = Object.fromEntries(Object.entries(pick(ofIdTypes)).filter(([, type]) => isIdType(type)));
  const traceId = named.get(TRACE);
  const mark = named.get(ROUTING);
  return {
    stamp: { source: 'Telemetry', ...(key !== undefined && { deviceId: key }), ...pick(ofStamp) },
    message: {
      system: { ...pick(ofSystem), ...times, ...(Object.keys(idTypes).length > 0 && { idTypes }) },
      properties,
      ...(traceId !== undefined && { traceId }),
    },
    mark: mark !== undefined && /^[01][0-9a-f]{4}$/.test(mark) ? Number.parseInt(mark, 16) : 0,
  };
}

/** A time of the hub's, or nothing: others may write what they like under its names. */
export function isTime(text: string): boolean {
  return /^[0-9]{1,15}$/.test(text);
}

const idTypes: readonly string[] = ['uuid', 'ulong', 'binary', 'hex'] satisfies readonly IdType[];

function isIdType(text: string | undefined): boolean {
  return text !== undefined && idTypes.includes(text);
}

function entriesOf<Field extends string>(
  names: Readonly<Record<Field, string>>,
): readonly (readonly [Field, string])[] {
  return Object.entries(names) as [Field, string][];
}
