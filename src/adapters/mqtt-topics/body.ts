/** Bodies of devices -> bodies of messages. */
import type { JsonObject, Telemetry } from '../../gateway/index.ts';
import type { Match } from './rules.ts';

const JSON_TYPE = 'application/json';

/** @param payload a view: what the message holds is a copy */
export function telemetryOf({ rule, properties, wrap }: Match, payload: Buffer, topic: string): Telemetry {
  if (wrap !== undefined) {
    return {
      body: JSON.stringify({ [wrap]: parsedBody(payload) }),
      contentType: JSON_TYPE,
      contentEncoding: 'utf-8',
      properties,
      address: topic,
    };
  }
  const body = Buffer.from(payload);
  const kind = rule.body === 'auto' ? (looksLikeJson(payload) ? 'json' : 'text') : rule.body;
  if (kind === 'bytes') return { body, properties, address: topic };
  return {
    body,
    contentType: kind === 'json' ? JSON_TYPE : 'text/plain',
    contentEncoding: 'utf-8',
    properties,
    address: topic,
  };
}

/** The members to report. @throws Error when the body is no JSON object, and the rule wraps it in none */
export function reportOf({ wrap }: Match, payload: Buffer): JsonObject {
  if (wrap !== undefined) return { [wrap]: parsedBody(payload) };
  const value: unknown = JSON.parse(payload.toString('utf8'));
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new Error('what is to be reported is not a JSON object');
  return value as JsonObject;
}

/** Whether a device is there. A JSON body says it in `state`, as zigbee2mqtt's does. */
export function isOnline({ rule }: Match, payload: Buffer): boolean {
  const value = parsedBody(payload);
  const state = value !== null && typeof value === 'object' && 'state' in value ? value.state : value;
  return rule.online?.includes(String(state)) === true;
}

/** JSON where it is such, else the text. */
export function parsedBody(payload: Buffer): unknown {
  const text = payload.toString('utf8');
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function looksLikeJson(payload: Buffer): boolean {
  return payload[0] === 0x7b || payload[0] === 0x5b;
}
