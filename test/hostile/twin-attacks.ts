/** What attackers write who multiply large twins: each request is some bytes, and each answer a document of 32 KiB to be put together. */
import { AmqpWriter } from '../../src/wire/amqp/writer.ts';
import { attach, begin, flow, transfer } from '../drivers/amqp-bytes.ts';
import { type HttpMore, httpRequest } from './lines.ts';

/** So many numbers fill a section of 32 KiB nearly, with names of four characters: what a twin is of most in memory and in time. */
const VALUES = 2500;

/** JSON text; another for each turn, so that it changes something. */
const valuesText = (turn: number): string =>
  JSON.stringify(
    Object.fromEntries(Array.from({ length: VALUES }, (_, at) => [`n${at.toString(36).padStart(3, '0')}`, turn])),
  );

/** A request to the own twin: its operation, the part of the twin (absent = all of it), the version that it is for, and a correlation id. */
function request(
  operation: 'GET' | 'PATCH',
  id: string,
  body: string,
  more: { resource?: string; version?: number } = {},
) {
  const { resource, version } = more;
  const writer = new AmqpWriter();
  writer.descriptor(0x72);
  const annotations = writer.beginMap();
  writer.symbol('operation');
  writer.string(operation);
  if (resource !== undefined) {
    writer.symbol('resource');
    writer.string(resource);
  }
  if (version !== undefined) {
    writer.symbol('version');
    writer.long(version);
  }
  writer.end(annotations, 2 * [operation, resource, version].filter((each) => each !== undefined).length);
  writer.descriptor(0x73);
  const properties = writer.beginList();
  for (let field = 0; field < 5; field++) writer.null();
  writer.string(id);
  writer.end(properties, 6);
  writer.descriptor(0x75);
  writer.binary(Buffer.from(body));
  return writer.copy();
}

/** Reads and reports a twin of 32 KiB on many pairs of links. */
export function* ownLargeTwin(proof: Buffer, deviceId: string, turn: number): Iterable<Buffer> {
  yield proof;
  const address = `/devices/${deviceId}/twin`;
  const pairs = 30;
  for (let channel = 0; channel <= pairs; channel++) {
    yield begin(channel, 0x7fffffff);
    yield attach(channel, `a${channel}`, 0, true, address);
    yield attach(channel, `r${channel}`, 1, false, address);
    yield flow(channel, { handle: 0, credit: 0x7fffffff, window: 0x7fffffff });
  }
  const resource = '/properties/reported';
  // As many on one link as it has credit for; the next connection goes on.
  for (let round = 0; round < 30; round++) {
    const patch = request('PATCH', `p${round}`, valuesText(turn * 30 + round), { resource });
    yield transfer(0, 1, patch, { id: round });
    for (let channel = 1; channel < pairs; channel++) {
      yield transfer(channel, 1, request('GET', `${round}`, ' '), { id: round });
    }
    // One of a version that has been: the document is read for it, and it is refused.
    const old = request('PATCH', `o${round}`, '{"a":1}', { resource, version: 1 });
    yield transfer(pairs, 1, old, { id: round });
  }
}

/** Changes and reads of twins of 32 KiB by a back end. */
export function* largeTwins(deviceId: string, turn: number, more: HttpMore, version: string): Iterable<Buffer> {
  const path = `/twins/${deviceId}?${version}`;
  const desired = `{"properties":{"desired":${valuesText(turn)}}}`;
  yield httpRequest('PATCH', path, { ...more, body: desired });
  yield Buffer.concat(Array.from({ length: 24 }, () => httpRequest('GET', path, more)));
  yield httpRequest('PUT', path, { ...more, body: desired });
}
