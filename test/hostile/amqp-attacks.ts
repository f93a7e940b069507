/** What attackers write to the AMQP door, frame by frame. Each begins with what proves them, or does not. */
import { performative } from '../../src/wire/amqp/performatives.ts';
import { AmqpWriter } from '../../src/wire/amqp/writer.ts';
import { attach, begin, flow, frame, transfer } from '../drivers/amqp-bytes.ts';
import { emptyBinaries } from './amplification.ts';

const data = (bytes: Uint8Array): Buffer => {
  const writer = new AmqpWriter();
  writer.descriptor(0x75);
  writer.binary(bytes);
  return writer.copy();
};

/** A request to the own twin: an operation and a correlation id. */
function twinRequest(id: string): Buffer {
  const writer = new AmqpWriter();
  writer.descriptor(0x72);
  const annotations = writer.beginMap();
  writer.symbol('operation');
  writer.string('GET');
  writer.end(annotations, 2);
  writer.descriptor(0x73);
  const properties = writer.beginList();
  for (let field = 0; field < 5; field++) writer.null();
  writer.string(id);
  writer.end(properties, 6);
  return Buffer.concat([writer.copy(), data(Buffer.from(' '))]);
}

function commandTo(deviceId: string, body: Uint8Array): Buffer {
  const writer = new AmqpWriter();
  writer.descriptor(0x73);
  const properties = writer.beginList();
  writer.null();
  writer.null();
  writer.string(`/devices/${deviceId}/messages/devicebound`);
  writer.end(properties, 3);
  return Buffer.concat([writer.copy(), data(body)]);
}

/** Attaches that are refused, and whose values are a hundred times as large in memory. */
export function* fatAttaches(proof: Buffer): Iterable<Buffer> {
  yield Buffer.concat([proof, begin(0, 5000)]);
  for (let handle = 0; handle < 200; handle++) {
    yield frame(0, performative.attach, ['x', handle, true, ...Array(9).fill(null), emptyBinaries(12_000)]);
  }
}

/** Pairs of twin links in a session each, full of requests, and links that all look for commands. */
export function* deviceTwins(proof: Buffer, deviceId: string): Iterable<Buffer> {
  yield proof;
  const address = `/devices/${deviceId}/twin`;
  const pairs = 30;
  for (let channel = 0; channel < pairs; channel++) {
    yield begin(channel, 0x7fffffff);
    yield attach(channel, `a${channel}`, 0, true, address);
    yield attach(channel, `r${channel}`, 1, false, address);
    yield flow(channel, { handle: 0, credit: 0x7fffffff, window: 0x7fffffff });
  }
  yield begin(pairs, 0x7fffffff);
  for (let handle = 0; handle < 60; handle++) {
    yield attach(pairs, `c${handle}`, handle, true, `/devices/${deviceId}/messages/devicebound`);
    yield flow(pairs, { handle, credit: 100, window: 0x7fffffff });
  }
  // Behind its credit a link ends, and is attached again.
  for (let round = 0; round < 100; round++) {
    for (let channel = 0; channel < pairs; channel++) {
      for (let nth = 0; nth < 16; nth++)
        yield transfer(channel, 1, twinRequest(`${round}-${nth}`), { id: round * 16 + nth });
    }
  }
}

/** Batches of messages of a few bytes: each becomes a record. */
export function* deviceBatches(proof: Buffer, deviceId: string): Iterable<Buffer> {
  yield Buffer.concat([proof, begin(0, 5000), attach(0, 'events', 0, false, `/devices/${deviceId}/messages/events`)]);
  const batch = Buffer.alloc(5 * 4000, Buffer.from([0x00, 0x53, 0x75, 0xa0, 0]));
  const wrapped = data(batch);
  for (let id = 0; id < 500; id++) {
    yield frame(
      0,
      0x14,
      [0, id, (writer) => writer.binary(Buffer.from(String(id))), 0x80013700, false, false],
      0,
      wrapped,
    );
  }
}

export function* backEndCommands(proof: Buffer, deviceId: string): Iterable<Buffer> {
  yield Buffer.concat([proof, begin(0, 0x7fffffff)]);
  const links = 32;
  for (let handle = 0; handle < links; handle++) yield attach(0, `s${handle}`, handle, false, '/messages/devicebound');
  for (let handle = links; handle < 2 * links; handle++) {
    yield attach(0, `f${handle}`, handle, true, '/messages/servicebound/feedback');
    yield flow(0, { handle, credit: 100, window: 0x7fffffff });
  }
  const command = commandTo(deviceId, Buffer.alloc(60_000));
  for (let id = 0; id < 2000; id++) yield transfer(0, id % links, command, { id });
}

export function* backEndReaders(proof: Buffer, hubName: string): Iterable<Buffer> {
  yield Buffer.concat([proof, begin(0, 0x7fffffff)]);
  for (let handle = 0; handle < 64; handle++) {
    const address = `${hubName}/ConsumerGroups/$Default/Partitions/${handle % 4}`;
    yield attach(0, `e${handle}`, handle, true, address);
    yield flow(0, { handle, credit: 0x7fffffff, window: 0x7fffffff });
  }
  yield attach(0, 'answers', 100, true, '$management');
  yield attach(0, 'requests', 101, false, '$management');
  for (let id = 0; id < 1000; id++) yield transfer(0, 101, data(Buffer.alloc(50)), { id });
}
