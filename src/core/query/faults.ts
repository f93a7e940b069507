import { HubError } from '../errors.ts';

const SHOWN_MAX = 24;

/**
 * A query or condition that cannot be read, with the place. The first words are those that the service's clients know.
 * @param at Characters from 0
 */
export function invalidQuery(text: string, at: number, what: string): HubError {
  const before = text.slice(0, at);
  const line = before.split('\n').length;
  const column = at - (before.lastIndexOf('\n') + 1) + 1;
  const rest = text.slice(at, at + SHOWN_MAX).replace(/[\p{Cc}\s]+/gu, ' ');
  const near = rest.trim() === '' ? 'at its end' : `near '${rest.trim()}'`;
  return new HubError(
    'ArgumentInvalid',
    `The query is invalid. Please check the format of the query and try again. Line ${line}, column ${column}, ${near}: ${what}`,
  );
}
