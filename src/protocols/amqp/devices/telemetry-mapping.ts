/** Messages of devices -> telemetry (device reference 3.4). */
import { utcTime } from '../../../base/utc-time.ts';
import { claimsSender } from '../../../core/events/rules.ts';
import type { Telemetry, TelemetrySystem } from '../../../core/events/types.ts';
import type { BareMessage } from '../../../wire/amqp/bare-message.ts';
import type { HeapBudget } from '../../../wire/amqp/values.ts';
import { readOrRefuse } from '../command-mapping.ts';

type MutableSystem = { -readonly [Name in keyof TelemetrySystem]: TelemetrySystem[Name] };

/** System properties that travel as annotations. */
const annotated: Readonly<Record<string, 'subject' | 'interfaceId' | 'diagnosticId' | 'correlationContext'>> = {
  'dt-subject': 'subject',
  'iothub-interface-id': 'interfaceId',
  'Diagnostic-Id': 'diagnosticId',
  'Correlation-Context': 'correlationContext',
};

/** System properties that travel among the application's. */
const named: Readonly<Record<string, 'messageSchema' | 'outputName'>> = {
  'iothub-message-schema': 'messageSchema',
  'iothub-outputname': 'outputName',
};
const CREATION_TIME = 'iothub-creation-time-utc';

/** @param budget what all messages of a batch share. @throws HubError IotHubFormatError */
export function readTelemetry(payload: Buffer, budget?: HeapBudget): Telemetry {
  const sent = readOrRefuse(payload, budget);
  const system = systemOf(sent);
  const properties: (readonly [string, string | null])[] = [];
  for (const [name, value] of sent.properties) {
    if (claimsSender(name) || readSystemProperty(name, value, system)) continue;
    properties.push([name, value]);
  }
  return { system, properties, body: sent.body };
}

/** The `to` that Node sends is the link's own address: it says nothing. */
function systemOf({
  messageId,
  correlationId,
  idTypes,
  userId,
  contentType,
  contentEncoding,
  expiry,
  annotations,
}: BareMessage): MutableSystem {
  const system: MutableSystem = {};
  if (messageId !== undefined) system.messageId = messageId;
  if (correlationId !== undefined) system.correlationId = correlationId;
  if (idTypes !== undefined) system.idTypes = idTypes;
  if (userId !== undefined) system.userId = userId;
  if (contentType !== undefined) system.contentType = contentType;
  if (contentEncoding !== undefined) system.contentEncoding = contentEncoding;
  if (expiry !== undefined) system.expiry = expiry;
  for (const [name, value] of annotations) {
    if (value !== null && Object.hasOwn(annotated, name)) system[annotated[name]] = value;
  }
  return system;
}

/** False = an application property, or one without a usable value: kept as it came, so nothing is lost. */
function readSystemProperty(name: string, value: string | null, system: MutableSystem): boolean {
  if (value === null) return false;
  if (Object.hasOwn(named, name)) {
    system[named[name]] = value;
    return true;
  }
  if (name !== CREATION_TIME) return false;
  const time = utcTime(value);
  if (Number.isNaN(time) || time < 0) return false;
  system.creationTime = time;
  return true;
}
