/** A PUBLISH's property bag and payload -> plain telemetry (device reference 2.3, 2.9); a command -> its bag (2.4). */

import { limits } from '../../base/limits.ts';
import { utcTime } from '../../base/utc-time.ts';
import type { CommandMessage } from '../../core/commands/types.ts';
import { HubError } from '../../core/errors.ts';
import { claimsSender } from '../../core/events/rules.ts';
import type { Telemetry, TelemetrySystem } from '../../core/events/types.ts';
import { decodeLeniently } from './user-name.ts';

type Property = readonly [name: string, value: string | null];
type MutableSystem = { -readonly [Name in keyof TelemetrySystem]: TelemetrySystem[Name] };

/** System properties that are text, by their name on the wire. */
const textProperties: Readonly<Record<string, Exclude<keyof TelemetrySystem, 'expiry' | 'creationTime'>>> = {
  '$.mid': 'messageId',
  '$.cid': 'correlationId',
  '$.uid': 'userId',
  '$.to': 'to',
  '$.ct': 'contentType',
  '$.ce': 'contentEncoding',
  '$.on': 'outputName',
  '$.ifid': 'interfaceId',
  '$.sub': 'subject',
  '$.schema': 'messageSchema',
  '$.diagid': 'diagnosticId',
  '$.diagctx': 'correlationContext',
};

/** System properties that are times. */
const timeProperties: Readonly<Record<string, 'expiry' | 'creationTime'>> = {
  '$.exp': 'expiry',
  '$.ctime': 'creationTime',
};

/** Claims about the sender, which only the hub makes. */
const ignoredProperties: ReadonlySet<string> = new Set(['$.cdid', '$.cmid']);

/** The hub does not retain; it says that the device asked for it (device reference 2.2). */
const RETAIN_PROPERTY: Property = ['mqtt-retain', 'true'];
/** Marks the event that a lost connection left (device reference 2.9). */
const WILL_PROPERTY: Property = ['iothub-MessageType', 'Will'];

/**
 * @param propertyBag the topic behind `messages/events/`, still encoded.
 * @param body is not copied.
 * @throws HubError ArgumentInvalid when there are more properties than allowed.
 */
export function telemetryOf(propertyBag: string, body: Uint8Array, retain: boolean): Telemetry {
  const system: MutableSystem = {};
  const properties: Property[] = [];
  if (propertyBag !== '') readBag(propertyBag, system, properties);
  if (retain) setProperty(properties, RETAIN_PROPERTY);
  return { system, properties, body };
}

/** A will as the event that it becomes. */
export function willOf(propertyBag: string, body: Uint8Array, retain: boolean): Telemetry {
  const telemetry = telemetryOf(propertyBag, body, retain);
  const properties = [...telemetry.properties];
  setProperty(properties, WILL_PROPERTY);
  return { ...telemetry, properties };
}

function readBag(bag: string, system: MutableSystem, properties: Property[]): void {
  checkPairs(bag);
  for (const pair of bag.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decodeLeniently(equals === -1 ? pair : pair.slice(0, equals));
    const value = equals === -1 ? null : decodeLeniently(pair.slice(equals + 1));
    if (!claimsSender(name) && !readSystemProperty(name, value, system)) setProperty(properties, [name, value]);
  }
}

/** A topic has room for thirty thousand pairs: they are counted before any is made, where there can be too many. */
function checkPairs(bag: string): void {
  const max = limits.mqttBagPairsMax;
  if (bag.length < max) return;
  let count = 1;
  for (let at = bag.indexOf('&'); at !== -1; at = bag.indexOf('&', at + 1)) {
    if (++count > max) throw tooManyProperties('mqttBagPairsMax', count);
  }
}

function tooManyProperties(name: 'mqttBagPairsMax' | 'messagePropertiesMax', current: number): HubError {
  const max = limits[name];
  return new HubError('ArgumentInvalid', `A message has at most ${max} properties.`, {
    limit: { name, scope: 'message', current, max },
  });
}

/** False = an application property, or a system property without a usable value: kept as it came, so nothing is lost. */
function readSystemProperty(name: string, value: string | null, system: MutableSystem): boolean {
  if (!name.startsWith('$.')) return false;
  if (ignoredProperties.has(name)) return true;
  if (value === null) return false;
  if (Object.hasOwn(textProperties, name)) {
    system[textProperties[name]] = value;
    return true;
  }
  if (!Object.hasOwn(timeProperties, name)) return false;
  const time = utcTime(value);
  if (Number.isNaN(time) || time < 0) return false;
  system[timeProperties[name]] = time;
  return true;
}

/** Adds a property; of a name given twice the last value counts, at the place of the first. */
function setProperty(properties: Property[], property: Property): void {
  const at = properties.findIndex(([name]) => name === property[0]);
  if (at !== -1) {
    properties[at] = property;
    return;
  }
  if (properties.length === limits.messagePropertiesMax) {
    throw tooManyProperties('messagePropertiesMax', properties.length + 1);
  }
  properties.push(property);
}

/**
 * The property bag of a command: never empty, `$.to` first, then what the system sets, then the application's properties,
 * every name and value percent-encoded (device reference 2.4).
 * @param to the command's address, as `/devices/{d}/messages/devicebound`.
 * @param omitEmpty leaves out properties without a value, for devices that cannot read them.
 */
export function commandBag(message: CommandMessage, to: string, omitEmpty: boolean): string {
  const { messageId, correlationId, userId, contentType, contentEncoding, expiry, ack } = message;
  const system: readonly (readonly [name: string, value: string | undefined])[] = [
    ['$.to', to],
    ['$.mid', messageId],
    ['$.cid', correlationId],
    ['$.uid', userId],
    ['$.ct', contentType],
    ['$.ce', contentEncoding],
    ['$.exp', expiry === undefined ? undefined : new Date(expiry).toISOString()],
    ['iothub-ack', ack === 'none' ? undefined : ack],
  ];
  const pairs: string[] = [];
  for (const [name, value] of system) if (value) pairs.push(pair(name, value));
  for (const [name, value] of message.properties) if (value !== '' || !omitEmpty) pairs.push(pair(name, value));
  return pairs.join('&');
}

/** Unpaired surrogates have no UTF-8 and cannot be percent-encoded. */
function pair(name: string, value: string): string {
  return `${encodeURIComponent(name.toWellFormed())}=${encodeURIComponent(value.toWellFormed())}`;
}
