/** An event of the log as an endpoint sends it on: what the device set, what the hub says of it, and the body. */
import { type BareMessage, readBareMessage } from '../wire/amqp/bare-message.ts';
import { RECORD_HEADER_BYTES } from '../wire/amqp/record.ts';

export interface EventView {
  readonly partition: number;
  readonly sequence: number;
  /** UTC milliseconds. */
  readonly enqueuedTime: number;
  /** `Telemetry`, or the name of a hub event's source. */
  readonly source: string;
  readonly deviceId?: string;
  readonly moduleId?: string;
  /** What the hub says of it, by the name of its annotation. */
  readonly hubFacts: ReadonlyMap<string, string>;
  /** Application properties, those that were added by enrichments included. A name without a value is null. */
  readonly properties: readonly (readonly [name: string, value: string | null])[];
  readonly message: BareMessage;
}

/** Where an event stands in the log. */
export type EventPlace = Pick<EventView, 'partition' | 'sequence' | 'enqueuedTime'>;

/**
 * @param record as the log keeps it, with its header
 * @param added properties of enrichments; one that the device has set as well is replaced
 */
export function eventView(
  record: Buffer,
  place: EventPlace,
  added: readonly (readonly [name: string, value: string])[] = [],
): EventView {
  const message = readBareMessage(record.subarray(RECORD_HEADER_BYTES));
  const hubFacts = new Map<string, string>();
  for (const [name, value] of message.annotations) if (value !== null) hubFacts.set(name, value);
  const names = new Set(added.map(([name]) => name));
  const own = names.size === 0 ? message.properties : message.properties.filter(([name]) => !names.has(name));
  const deviceId = hubFacts.get('iothub-connection-device-id');
  const moduleId = hubFacts.get('iothub-connection-module-id');
  return {
    ...place,
    source: hubFacts.get('iothub-message-source') ?? 'Telemetry',
    ...(deviceId !== undefined && { deviceId }),
    ...(moduleId !== undefined && { moduleId }),
    hubFacts,
    properties: names.size === 0 ? own : [...own, ...added],
    message,
  };
}

/** The body as a JSON value where its sender says that it is one (content type and encoding) and it is; else undefined. */
export function jsonBody({ message }: EventView): { readonly value: unknown; readonly text: string } | undefined {
  const [type] = (message.contentType ?? '').split(';');
  const isJson = /^application\/(json|[\w.+-]+\+json)$/i.test(type.trim());
  if (!isJson || !/^utf-?8$/i.test(message.contentEncoding ?? 'utf-8')) return undefined;
  const text = message.body.toString('utf8');
  try {
    return { value: JSON.parse(text), text };
  } catch {
    return undefined;
  }
}
