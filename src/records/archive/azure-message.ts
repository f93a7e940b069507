/** A row as Azure's storage endpoints write messages: the names and forms of its Avro and JSON files. */
import { type EventRow, messageIdOf, shownProperties } from './event-row.ts';

/** The four fields of the record `Microsoft.Azure.Devices.Message`. */
export interface AzureMessage {
  readonly enqueuedTimeUtc: string;
  readonly properties: readonly (readonly [name: string, value: string])[];
  readonly systemProperties: readonly (readonly [name: string, value: string])[];
}

/** Annotations by the names that they have among the system properties there. */
const annotationNames = [
  ['iothub-connection-device-id', 'connectionDeviceId'],
  ['iothub-connection-module-id', 'connectionModuleId'],
  ['iothub-connection-auth-method', 'connectionAuthMethod'],
  ['iothub-connection-auth-generation-id', 'connectionDeviceGenerationId'],
  ['dt-dataschema', 'dt-dataschema'],
  ['dt-subject', 'dt-subject'],
  ['iothub-message-source', 'messageSource'],
] as const;

export function azureMessage(row: EventRow): AzureMessage {
  const enqueuedTimeUtc = azureTime(row.time);
  const { userId, to, correlationId, contentType, contentEncoding, expiry } = row.properties;
  const system: [string, string][] = [];
  const say = (name: string, value: string | undefined): void => {
    if (value !== undefined) system.push([name, value]);
  };
  say('messageId', messageIdOf(row));
  say('correlationId', correlationId);
  say('userId', userId);
  say('to', to);
  say('contentType', contentType);
  say('contentEncoding', contentEncoding);
  if (expiry !== undefined) say('absoluteExpiryTime', azureTime(expiry));
  for (const [annotation, name] of annotationNames) say(name, row.annotations.values.get(annotation));
  say('enqueuedTime', enqueuedTimeUtc);
  return {
    enqueuedTimeUtc,
    properties: shownProperties(row).map(({ key, value }) => [key, value ?? '']),
    systemProperties: system,
  };
}

/** Seven decimals. A time that the calendar does not have is its number. */
export function azureTime(time: number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? String(time) : date.toISOString().replace('Z', '0000Z');
}

/** Whether the body is a JSON value there, and not Base64: both say so, in whatever case, and it is one. */
export function saysJson({ properties }: EventRow): boolean {
  return (
    properties.contentType?.toLowerCase() === 'application/json' &&
    properties.contentEncoding?.toLowerCase() === 'utf-8'
  );
}
