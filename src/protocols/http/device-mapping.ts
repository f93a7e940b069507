/** Requests and answers of a device (device reference 4.1 and 4.2) <-> telemetry and commands. */

import { z } from 'zod';
import { limits } from '../../base/limits.ts';
import { utcTime } from '../../base/utc-time.ts';
import type { Command } from '../../core/commands/types.ts';
import { HubError } from '../../core/errors.ts';
import { claimsSender } from '../../core/events/rules.ts';
import type { Telemetry, TelemetrySystem } from '../../core/events/types.ts';
import { commandAddress } from '../shared/command-address.ts';
import { parseJson, refusePrototypeName } from './json-body.ts';
import { headerName, headerPairs, headerValue, type MessageHeaders, messageHeaders } from './message-headers.ts';
import { invalidArgument } from './refusals.ts';

type TextProperty = Exclude<keyof TelemetrySystem, 'expiry' | 'creationTime'>;
type MutableSystem = { -readonly [Name in keyof TelemetrySystem]: TelemetrySystem[Name] };

/** By the header's name behind `iothub-`. */
const textProperties: ReadonlyMap<string, TextProperty> = new Map([
  ['messageid', 'messageId'],
  ['correlationid', 'correlationId'],
  ['userid', 'userId'],
  ['to', 'to'],
  ['contenttype', 'contentType'],
  ['contentencoding', 'contentEncoding'],
  ['interface-id', 'interfaceId'],
  ['messageschema', 'messageSchema'],
  ['dt-subject', 'subject'],
] satisfies [string, TextProperty][]);

/** Java writes the creation time with hyphens. */
const timeProperties: ReadonlyMap<string, 'expiry' | 'creationTime'> = new Map([
  ['expiry', 'expiry'],
  ['creationtimeutc', 'creationTime'],
  ['creation-time-utc', 'creationTime'],
] satisfies [string, 'expiry' | 'creationTime'][]);

export const BATCH_CONTENT_TYPE = 'application/vnd.microsoft.iothub.json';

const batchItemSchema = z.object({
  body: z.string(),
  base64Encoded: z.boolean().optional(),
  properties: z.record(z.string(), z.string()).nullish(),
});

/**
 * The messages of one request: the body is one, unless its content type says that it is a batch.
 * @throws HubError IotHubFormatError, ArgumentInvalid
 */
export function telemetryOf(rawHeaders: readonly string[], body: Buffer): readonly Telemetry[] {
  const pairs = [...headerPairs(rawHeaders)];
  const type = pairs.find(([name]) => name.toLowerCase() === 'content-type')?.[1];
  const isBatch = type?.split(';')[0].trim().toLowerCase() === BATCH_CONTENT_TYPE;
  return isBatch ? batchOf(body) : [{ ...telemetryProperties(messageHeaders(pairs)), body }];
}

function batchOf(body: Buffer): readonly Telemetry[] {
  const items = parseJson(body, { valuesMax: limits.httpBatchValuesMax, elementsMax: limits.httpBatchMessagesMax });
  if (!Array.isArray(items)) throw new HubError('ArgumentInvalid', 'The batch is not a list of messages.');
  return items.map(messageOf);
}

/** Stops at the first message that is wrong, and at its number of properties before any of them is looked at. */
function messageOf(item: unknown, place: number): Telemetry {
  const given = (item as { readonly properties?: unknown } | null)?.properties;
  if (typeof given === 'object' && given !== null) checkPropertyCount(Object.keys(given).length, place);
  refusePrototypeName(given);
  const parsed = batchItemSchema.safeParse(item);
  if (!parsed.success) throw invalidArgument(parsed.error, 'body', place);
  const { body, base64Encoded, properties } = parsed.data;
  return {
    ...telemetryProperties(messageHeaders(Object.entries(properties ?? {}))),
    // Node leaves the flag out and encodes; C sets it to false for text.
    body: base64Encoded === false ? Buffer.from(body) : decodedBase64(body),
  };
}

/** The bound counts the application's properties only; a message has a dozen others at most. */
function checkPropertyCount(current: number, place: number): void {
  const max = limits.messagePropertiesMax + SYSTEM_PROPERTIES_MAX;
  if (current <= max) return;
  throw new HubError('ArgumentInvalid', `body.${place}: a message has at most ${max} properties.`, {
    limit: { name: 'messagePropertiesMax', scope: 'message', current, max },
  });
}

const SYSTEM_PROPERTIES_MAX = 16;

function decodedBase64(text: string): Buffer {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) {
    throw new HubError('IotHubFormatError', 'A body of the batch is not base64, and base64Encoded is not false.');
  }
  return Buffer.from(text, 'base64');
}

/** Expiry and creation that are no times stay as application properties, so that nothing is lost. */
function telemetryProperties({ system, properties }: MessageHeaders): Pick<Telemetry, 'system' | 'properties'> {
  const known: MutableSystem = {};
  const unread: [string, string][] = [];
  for (const [name, value] of system) {
    const text = textProperties.get(name);
    const time = timeProperties.get(name);
    if (text !== undefined) known[text] = value;
    if (time === undefined) continue;
    const at = utcTime(value);
    if (Number.isNaN(at) || at < 0) unread.push([`iothub-${name}`, value]);
    else known[time] = at;
  }
  return { system: known, properties: [...properties.filter(([name]) => !claimsSender(name)), ...unread] };
}

/** What a device reads of a command beside its body; names in lower case, as the C SDK compares them. */
export function commandHeaders(command: Command): readonly (readonly [name: string, value: string])[] {
  const { message } = command;
  const headers: (readonly [string, string | undefined])[] = [
    ['iothub-messageid', message.messageId],
    ['iothub-to', commandAddress(command.target)],
    ['iothub-expiry', new Date(command.expiresAt).toISOString()],
    ['iothub-correlationid', message.correlationId],
    ['iothub-userid', message.userId],
    ['iothub-ack', message.ack],
    ['iothub-sequencenumber', String(command.sequence)],
    ['iothub-enqueuedtime', new Date(command.enqueuedTime).toISOString()],
    ['iothub-deliverycount', String(command.deliveryCount)],
    ['iothub-contenttype', message.contentType],
    ['iothub-contentencoding', message.contentEncoding],
    // These two are what the C SDK looks for.
    ['ContentType', message.contentType],
    ['ContentEncoding', message.contentEncoding],
    ...message.properties.map(([name, value]) => [`iothub-app-${headerName(name)}`, value] as const),
  ];
  return headers.filter((header) => header[1] !== undefined).map(([name, value]) => [name, headerValue(value ?? '')]);
}

const LOCK_TIMEOUT = 'iothub-messagelocktimeout';

/**
 * How long the device asks to hold the command: a header or a query parameter, in seconds. Undefined = not asked.
 * @throws HubError ArgumentInvalid
 */
export function lockMsOf(rawHeaders: readonly string[], query: Readonly<Record<string, unknown>>): number | undefined {
  const named = (pairs: Iterable<readonly [string, unknown]>): unknown =>
    [...pairs].find(([name]) => name.toLowerCase() === LOCK_TIMEOUT)?.[1];
  const text = named(headerPairs(rawHeaders)) ?? named(Object.entries(query));
  if (text === undefined) return undefined;
  if (typeof text !== 'string' || !/^\d{1,9}$/.test(text) || Number(text) === 0) {
    throw new HubError('ArgumentInvalid', `${LOCK_TIMEOUT} must be a whole number of seconds from 1 on.`);
  }
  return Number(text) * 1000;
}

/** Java's query has `?reject=true`, the others a bare `reject` (device reference 4.2). */
export function asksToReject(query: Readonly<Record<string, unknown>>): boolean {
  return Object.keys(query).some((name) => name.toLowerCase().endsWith('reject'));
}
