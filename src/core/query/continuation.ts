/** Tokens by which a client asks for the next page. They say where the last one ended, and belong to one query. */
import { createHash } from 'node:crypto';
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import type { Cursor } from './ports.ts';

const nameOf = (query: string): string => createHash('sha256').update(query).digest('base64url').slice(0, 16);

export function continuationOf(query: string, cursor: Cursor): string {
  const where = cursor.kind === 'row' ? [cursor.place.deviceId, cursor.place.moduleId] : [cursor.key];
  return Buffer.from(JSON.stringify([nameOf(query), cursor.given, ...where])).toString('base64url');
}

/** @throws HubError ArgumentInvalid: it is no token, or one of another query */
export function cursorOf(query: string, token: string): Cursor {
  if (token.length > limits.queryContinuationCharsMax) throw notOfThis();
  const read = parsed(token);
  if (!Array.isArray(read) || read[0] !== nameOf(query)) throw notOfThis();
  const [, given, first, second] = read as readonly unknown[];
  if (typeof given !== 'number' || !Number.isSafeInteger(given) || given < 0 || typeof first !== 'string') {
    throw notOfThis();
  }
  // No id and no key has it, and not every database takes it.
  if (first.includes('\0') || String(second).includes('\0')) throw notOfThis();
  if (read.length === 3) return { kind: 'group', key: first, given };
  if (read.length !== 4 || typeof second !== 'string') throw notOfThis();
  return { kind: 'row', place: { deviceId: first, moduleId: second }, given };
}

function parsed(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch {
    return undefined;
  }
}

const notOfThis = (): HubError =>
  new HubError('ArgumentInvalid', 'The continuation token is not one that this query was answered with.');
