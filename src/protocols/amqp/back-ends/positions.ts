import { HubError } from '../../../core/errors.ts';
import { type EventPosition, OFFSET_BASE } from '../../../core/events/types.ts';
import { type AmqpValue, Described } from '../../../wire/amqp/values.ts';

const FILTER_NAME = 'apache.org:selector-filter:string';
const FILTER_CODE = 0x0000468c00000004;

/**
 * Where the source's filter lets a reader begin (service reference 5.4); without one at the start. The filter may stand
 * under its name or its descriptor, described by a number or a symbol, or bare.
 * @throws HubError ArgumentInvalid
 */
export function readPosition(filter: ReadonlyMap<AmqpValue, AmqpValue>): EventPosition {
  for (const [name, value] of filter) {
    const described = value instanceof Described;
    const isSelector =
      name === FILTER_NAME || (described && (value.descriptor === FILTER_NAME || value.descriptor === FILTER_CODE));
    if (!isSelector) continue;
    const selector = described ? value.value : value;
    if (typeof selector === 'string') return readSelector(selector);
    throw new HubError('ArgumentInvalid', 'The filter of the source is not a text.');
  }
  return { kind: 'start' };
}

const SELECTOR = /^\s*amqp\.annotation\.([a-z-]+)\s*(>=?)\s*(?:'([^']*)'|(\S+))\s*$/i;

/** @throws HubError ArgumentInvalid */
export function readSelector(selector: string): EventPosition {
  const match = SELECTOR.exec(selector);
  if (match === null)
    throw new HubError('ArgumentInvalid', `The filter '${selector.slice(0, 200)}' is not understood.`);
  const field = match[1].toLowerCase();
  const inclusive = match[2] === '>=';
  const value = match[3] ?? match[4];
  if (field === 'x-opt-offset') {
    if (value === '@latest') return { kind: 'end' };
    const offset = wholeNumber(value, field);
    // Offsets begin far over zero: anything below them, as -1, is before the first event.
    if (offset < OFFSET_BASE) return { kind: 'start' };
    return { kind: 'sequence', sequence: offset - OFFSET_BASE, inclusive };
  }
  if (field === 'x-opt-sequence-number') {
    const sequence = wholeNumber(value, field);
    return sequence < 0 ? { kind: 'start' } : { kind: 'sequence', sequence, inclusive };
  }
  if (field === 'x-opt-enqueued-time' || field === 'x-opt-enqueuedtimeutc') {
    const time = wholeNumber(value, field);
    return time < 0 ? { kind: 'start' } : { kind: 'time', time, inclusive };
  }
  throw new HubError('ArgumentInvalid', `Events cannot be found by '${field}'.`);
}

function wholeNumber(text: string, field: string): number {
  const value = /^-?\d{1,17}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value))
    throw new HubError('ArgumentInvalid', `'${text.slice(0, 50)}' is not a value of ${field}.`);
  return value;
}
