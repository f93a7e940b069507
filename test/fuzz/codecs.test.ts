/**
 * Every parser that strangers reach, fed directly: what it cannot read is refused by its own kind of error, soon, and
 * without growing. How the campaigns run and are repeated: `campaign.ts`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HubError } from '../../src/core/errors.ts';
import { readCertificate } from '../../src/core/identity/certificate.ts';
import { readPosition } from '../../src/protocols/amqp/back-ends/positions.ts';
import { readCommand } from '../../src/protocols/amqp/command-mapping.ts';
import { readTelemetry } from '../../src/protocols/amqp/devices/telemetry-mapping.ts';
import { readAttach } from '../../src/protocols/amqp/engine/attach.ts';
import { readSaslInit } from '../../src/protocols/amqp/engine/sasl.ts';
import { readMessageBatch } from '../../src/wire/amqp/bare-message.ts';
import { FrameSplitter } from '../../src/wire/amqp/frames.ts';
import { readCorrelationId, readMessage } from '../../src/wire/amqp/message.ts';
import { AmqpReader } from '../../src/wire/amqp/values.ts';
import { decodePacket } from '../../src/wire/mqtt/decode.ts';
import { PacketReader } from '../../src/wire/mqtt/packet-reader.ts';
import { makeAuthorityCertificate, makeCertificate } from '../drivers/certificates.ts';
import { amqpFrame, amqpMessage, amqpValue } from './amqp-grammar.ts';
import { type Chance, campaign } from './campaign.ts';
import { mqttBytes } from './mqtt-grammar.ts';
import { damagedBytes, damagedText, meanJson } from './mutate.ts';
import { refusals, textParsers, texts } from './parsers.ts';

const SECONDS = 1;
/** Far over what any of these inputs takes; a machine that is busy elsewhere is slow at times, so twice counts. */
const SLOW_MS = 250;

/** Calls the parser; a refusal of its own kind is an answer. @throws what is none, and when it takes long each time. */
function fed<T>(parser: () => T): T | undefined {
  for (let attempt = 1; ; attempt++) {
    const begun = performance.now();
    let result: T | undefined;
    try {
      result = parser();
    } catch (error) {
      const isRefusal = refusals.some((kind) => error instanceof kind) || (error as Error).name === 'Failure';
      if (!isRefusal) throw error;
      // ServerError says that the hub failed, not that the input was refused.
      assert.ok(!(error instanceof HubError) || error.code !== 'ServerError');
    }
    const took = performance.now() - begun;
    if (took < SLOW_MS) return result;
    assert.ok(attempt < 2, `${took} ms`);
  }
}

test('texts: tokens, names, addresses, filters, properties, connection strings', async () => {
  for (const text of texts) for (const parser of textParsers) fed(() => parser(text));
  const { inputs } = await campaign('texts', 2 * SECONDS, (chance) => {
    const text = chance.once(8) ? meanJson(chance) : damagedText(chance, chance.pick(texts), texts);
    for (const parser of textParsers) fed(() => parser(text));
  });
  assert.ok(inputs > 0);
});

test('MQTT packets, cut anywhere', async () => {
  const { inputs } = await campaign('mqtt packets', SECONDS, (chance) => {
    const bytes = Buffer.concat(Array.from({ length: 1 + chance.below(3) }, () => mqttBytes(chance)));
    const reader = new PacketReader();
    fed(() => {
      for (let at = 0; at < bytes.length; ) {
        const end = Math.min(bytes.length, at + 1 + chance.below(bytes.length));
        reader.push(bytes.subarray(at, end));
        while (reader.next(400_000)) decodePacket(reader.bytes, reader.start, reader.body, reader.end);
        reader.settle();
        at = end;
      }
    });
    assert.ok(reader.waiting <= bytes.length);
  });
  assert.ok(inputs > 0);
});

test('AMQP values, frames and messages', async () => {
  const { inputs } = await campaign('amqp values', 2 * SECONDS, (chance) => {
    const value = damagedBytes(chance, amqpValue(chance));
    fed(() => new AmqpReader(value).value());
    fed(() => readSaslInit([chance.once(2) ? 'PLAIN' : 'ANONYMOUS', value]));
    const list = fed(() => new AmqpReader(value).list());
    if (list !== undefined) fed(() => readAttach(list.values, list.raw));
    const filter = fed(() => new AmqpReader(value).value());
    if (filter instanceof Map) fed(() => readPosition(filter));
    const message = damagedBytes(chance, amqpMessage(chance));
    for (const read of [readMessage, readMessageBatch, readCorrelationId, readTelemetry, readCommand]) {
      fed(() => read(message));
    }
    splitFrames(chance, damagedBytes(chance, amqpFrame(chance, ['$cbs', 'mooring/$management'])));
  });
  assert.ok(inputs > 0);
});

function splitFrames(chance: Chance, bytes: Buffer): void {
  const splitter = new FrameSplitter(65_536);
  fed(() => {
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + 1 + chance.below(bytes.length));
      for (const _ of splitter.push(bytes.subarray(at, end)));
      at = end;
    }
  });
}

test('certificates', async () => {
  const root = await makeAuthorityCertificate('Root');
  const leaf = await makeCertificate('d1', { issuer: root });
  const kept = [root, leaf].map(({ pem }) => Buffer.from(pem.replace(/-----[A-Z ]+-----|\s/g, ''), 'base64'));
  for (const der of kept) assert.notEqual(readCertificate(der), undefined);
  const { inputs } = await campaign('certificates', SECONDS, (chance) => {
    const der = damagedBytes(chance, chance.pick(kept));
    const facts = fed(() => readCertificate(der));
    // Whatever was read, a damaged end certificate does not become an authority's that way unless its own bytes say so.
    if (facts !== undefined) assert.equal(typeof facts.isAuthority, 'boolean');
  });
  assert.ok(inputs > 0);
});
