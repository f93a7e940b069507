/** Messages of the twin and method links of a device <-> what they ask and answer (device reference 3.6 and 3.7). */
import { HubError } from '../../../core/errors.ts';
import { versionNamed } from '../../../core/twins/rules.ts';
import { readCorrelationId } from '../../../wire/amqp/message.ts';
import { AmqpWriter, format, section } from '../../../wire/amqp/writer.ts';
import { readOrRefuse } from '../command-mapping.ts';

const REPORTED = '/properties/reported';
const DESIRED_NOTES = '/notifications/twin/properties/desired';

export type TwinRequest = {
  /** In its own type, to be echoed; undefined = none. */
  readonly correlationId: Buffer | undefined;
} & (
  | { readonly kind: 'get' | 'subscribe' | 'unsubscribe' }
  | { readonly kind: 'patch'; readonly body: Buffer; readonly version: number | undefined }
  | { readonly kind: 'refused'; readonly error: HubError }
);

/** @throws HubError IotHubFormatError for bytes that are no message */
export function readTwinRequest(payload: Buffer): TwinRequest {
  const { annotations, body } = readOrRefuse(payload);
  const correlationId = readCorrelationId(payload);
  const operation = annotations.get('operation')?.toUpperCase();
  const resource = annotations.get('resource')?.toLowerCase();
  const kind = `${operation} ${resource ?? ''}`;
  if (operation === 'GET') return { correlationId, kind: 'get' };
  if (kind === `PUT ${DESIRED_NOTES}`) return { correlationId, kind: 'subscribe' };
  if (kind === `DELETE ${DESIRED_NOTES}`) return { correlationId, kind: 'unsubscribe' };
  if (kind !== `PATCH ${REPORTED}`) {
    return { correlationId, kind: 'refused', error: new HubError('InvalidOperation', 'No operation of the twin.') };
  }
  return { correlationId, kind: 'patch', body, version: versionNamed(annotations.get('version')) };
}

const scratch = new AmqpWriter(4096);

export interface TwinAnswer {
  readonly status: number;
  readonly version?: number;
  /** JSON text; empty where there is nothing to say. */
  readonly text: string;
}

/** Exactly one data section: the C SDK counts them. `status` is an int, `version` a long (device reference 3.6). */
export function twinAnswerMessage({ status, version, text }: TwinAnswer, correlationId: Buffer | undefined): Buffer {
  scratch.reset();
  scratch.descriptor(section.messageAnnotations);
  const annotations = scratch.beginMap();
  scratch.symbol('status');
  scratch.int(status);
  if (version !== undefined) {
    scratch.symbol('version');
    scratch.long(version);
  }
  scratch.end(annotations, version === undefined ? 2 : 4);
  if (correlationId !== undefined) writeCorrelationId(correlationId);
  scratch.descriptor(section.data);
  scratch.binary(Buffer.from(text));
  return scratch.copy();
}

/** Without a correlation id: that is how a client tells it from an answer. */
export function desiredMessage({ version, text }: { readonly version: number; readonly text: string }): Buffer {
  scratch.reset();
  scratch.descriptor(section.messageAnnotations);
  const annotations = scratch.beginMap();
  scratch.symbol('resource');
  scratch.string(DESIRED_NOTES);
  scratch.symbol('version');
  scratch.long(version);
  scratch.end(annotations, 4);
  scratch.descriptor(section.data);
  scratch.binary(Buffer.from(text));
  return scratch.copy();
}

/** @param payload JSON text; absent = an empty body */
export function methodMessage(id: number, name: string, payload: string | undefined): Buffer {
  scratch.reset();
  writeCorrelationId(Buffer.concat([Buffer.from([format.uuid]), methodUuid(id)]));
  scratch.descriptor(section.applicationProperties);
  const properties = scratch.beginMap();
  scratch.string('IoThub-methodname');
  scratch.string(name);
  scratch.end(properties, 2);
  scratch.descriptor(section.data);
  scratch.binary(Buffer.from(payload ?? ''));
  return scratch.copy();
}

export interface MethodAnswer {
  readonly id: number;
  readonly status: number;
  readonly body: Buffer;
}

/** Undefined = an answer to no method of ours. @throws HubError IotHubFormatError */
export function readMethodAnswer(payload: Buffer): MethodAnswer | undefined {
  const { correlationId, properties, body } = readOrRefuse(payload);
  const status = Number(properties.find(([name]) => name.toLowerCase() === 'iothub-status')?.[1]);
  const id = correlationId === undefined ? undefined : methodIdOf(correlationId);
  return id === undefined || !Number.isInteger(status) ? undefined : { id, status, body };
}

/** The SDKs read a UUID; the call's id stands in its last six bytes, the rest is always the same. */
const UUID_HEAD = Buffer.from('00000000000040008000', 'hex');
const UUID_HEAD_TEXT = '00000000-0000-4000-8000-';

function methodUuid(id: number): Buffer {
  const bytes = Buffer.alloc(16);
  UUID_HEAD.copy(bytes);
  bytes.writeUIntBE(id, 10, 6);
  return bytes;
}

function methodIdOf(text: string): number | undefined {
  const lower = text.toLowerCase();
  if (!lower.startsWith(UUID_HEAD_TEXT)) return undefined;
  const rest = lower.slice(UUID_HEAD_TEXT.length);
  return /^[0-9a-f]{12}$/.test(rest) ? Number.parseInt(rest, 16) : undefined;
}

const CORRELATION_ID_FIELD = 5;

/** @param raw with its constructor */
function writeCorrelationId(raw: Buffer): void {
  scratch.descriptor(section.properties);
  const list = scratch.beginList();
  for (let field = 0; field < CORRELATION_ID_FIELD; field++) scratch.null();
  scratch.raw(raw);
  scratch.end(list, CORRELATION_ID_FIELD + 1);
}
