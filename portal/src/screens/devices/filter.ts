/** Which devices the list shows: what stands in the address, and the query that comes of it. */
import { literal } from '../../devices.ts';

export interface Filter {
  /** A part of the id; empty = any. */
  readonly find: string;
  /** A condition in the hub's query language; empty = any. */
  readonly where: string;
  /** Ids of `chips`. */
  readonly is: readonly string[];
}

export interface Chip {
  readonly id: string;
  readonly label: string;
  readonly condition: string;
}

export const chips: readonly Chip[] = [
  { id: 'connected', label: 'connected', condition: "connectionState = 'Connected'" },
  { id: 'away', label: 'not connected', condition: "connectionState = 'Disconnected'" },
  { id: 'disabled', label: 'disabled', condition: "status = 'disabled'" },
  { id: 'waiting', label: 'commands waiting', condition: 'cloudToDeviceMessageCount > 0' },
  { id: 'x509', label: 'certificate', condition: "authenticationType IN ['selfSigned', 'certificateAuthority']" },
  { id: 'edge', label: 'edge', condition: 'capabilities.iotEdge = true' },
];

export function filterOf(query: URLSearchParams): Filter {
  return {
    find: query.get('find') ?? '',
    where: query.get('where') ?? '',
    is: query.getAll('is').filter((id) => chips.some((chip) => chip.id === id)),
  };
}

export function addressOf({ find, where, is }: Filter): string {
  const query = new URLSearchParams([
    ...(find === '' ? [] : [['find', find]]),
    ...(where === '' ? [] : [['where', where]]),
    ...is.map((id) => ['is', id]),
  ]);
  const text = query.toString();
  return text === '' ? '/devices' : `/devices?${text}`;
}

export interface FleetQuery {
  readonly text: string;
  /** Where the user's own condition begins in the text; errors name places of the text. */
  readonly whereAt: number;
}

/** The same devices as a condition; `*` = all. */
export function conditionOf(filter: Filter): string {
  const { text } = queryOf(filter, 'deviceId');
  const at = text.indexOf(' WHERE ');
  return at === -1 ? '*' : text.slice(at + ' WHERE '.length);
}

/** @param items what is asked for of each device, as `deviceId, tags` or `COUNT() AS n` */
export function queryOf({ find, where, is }: Filter, items: string): FleetQuery {
  const others = [
    ...(find === '' ? [] : [`CONTAINS(deviceId, ${literal(find)})`]),
    ...chips.filter(({ id }) => is.includes(id)).map(({ condition }) => condition),
  ];
  const head = `SELECT ${items} FROM devices`;
  if (where.trim() === '' && others.length === 0) return { text: head, whereAt: head.length };
  if (where.trim() === '') return { text: `${head} WHERE ${others.join(' AND ')}`, whereAt: head.length };
  const before = `${head} WHERE ${others.map((other) => `${other} AND `).join('')}(`;
  return { text: `${before}${where})`, whereAt: before.length };
}

export interface Fault {
  /** Characters from the beginning of the user's condition. */
  readonly at: number;
  readonly what: string;
}

/** The place of an error in the user's condition; undefined where the hub names none. */
export function faultOf(message: string, { whereAt }: FleetQuery, where: string): Fault | undefined {
  const [, line, column, what] = /Line (\d+), column (\d+), (?:at its end|near '.*?'): ([\s\S]*)$/.exec(message) ?? [];
  if (line !== '1' || column === undefined || what === undefined) return undefined;
  return { at: Math.min(Math.max(Number(column) - 1 - whereAt, 0), where.length), what };
}
