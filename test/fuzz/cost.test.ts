/** Campaigns that look for inputs that cost too much, rather than for crashes: small things, very many times. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { without } from '../hostile/cost.ts';
import { amqpFrame, amqpMessage, amqpSwollen } from './amqp-grammar.ts';
import { type Chance, campaign } from './campaign.ts';
import { priced, reduced, TooDear } from './cost.ts';
import { mqttBytes } from './mqtt-grammar.ts';
import { damagedText, meanJson, swollen } from './mutate.ts';
import { textParsers, texts } from './parsers.ts';
import { bodies, feed, frames, messages, packet, topic } from './priced-parsers.ts';

const SECONDS = 1;
const TEXT_BYTES_MAX = 16 * 1024;
const TOPIC_BYTES_MAX = 0xffff;
const amqpFrames = (chance: Chance): void =>
  feed([frames], chance.once(3) ? swollen(chance, amqpFrame(chance, ['$cbs']), 60_000) : amqpSwollen(chance, 'frame'));
const amqpMessages = (chance: Chance): void =>
  feed(messages, chance.once(3) ? swollen(chance, amqpMessage(chance), 250_000) : amqpSwollen(chance, 'message'));

test('AMQP frames and messages cost what their bytes cost', async () => {
  await campaign('cost of amqp frames', SECONDS, amqpFrames);
  await campaign('cost of amqp messages', SECONDS, amqpMessages);
});

/** An MQTT packet whose fixed header says how long it is: what is swollen would else end where it did before. */
function withLength(packet: Buffer): Buffer {
  let headerEnd = 1;
  while (headerEnd < 5 && (packet[headerEnd] ?? 0) >= 0x80) headerEnd++;
  const body = packet.subarray(headerEnd + 1);
  const length = [body.length & 0x7f, (body.length >> 7) & 0x7f, (body.length >> 14) & 0x7f];
  return Buffer.concat([packet.subarray(0, 1), Buffer.of(length[0] | 0x80, length[1] | 0x80, length[2]), body]);
}

test('MQTT packets cost what their bytes cost', async () => {
  await campaign('cost of mqtt packets', SECONDS, (chance) => {
    feed([packet], withLength(swollen(chance, mqttBytes(chance), 300_000)));
  });
});

test('texts and bodies cost what their bytes cost', async () => {
  await campaign('cost of texts', SECONDS, (chance) => {
    // As long as a CONNECT and the headers of HTTP may be; only topics are longer.
    const text = swollen(chance, Buffer.from(damagedText(chance, chance.pick(texts), texts)), TEXT_BYTES_MAX);
    const input = text.subarray(0, TEXT_BYTES_MAX);
    for (const [at, parse] of textParsers.entries()) priced(`text ${at}`, input, (each) => parse(each.toString()));
  });
  await campaign('cost of topics', SECONDS, (chance) => {
    const text = damagedText(chance, `devices/d1/messages/events/${chance.pick(texts)}`, texts);
    feed([topic], swollen(chance, Buffer.from(text), TOPIC_BYTES_MAX).subarray(0, TOPIC_BYTES_MAX));
  });
  await campaign('cost of bodies', SECONDS, (chance) => {
    feed(bodies, swollen(chance, Buffer.from(meanJson(chance)), 1_000_000));
  });
});

test('an input that costs too much is found when a bound is taken away, and is reduced', async () => {
  const found = async (name: string, take: (chance: Chance) => void): Promise<TooDear> => {
    const failed = await campaign(name, 30, take).then(
      () => undefined,
      (error: Error) => error.cause,
    );
    assert.ok(failed instanceof TooDear, String(failed));
    console.log(failed.message.slice(0, 160));
    return failed;
  };
  const frame = await without(['amqpFrameDecodedBytesMax'], () => found('frames without a bound', amqpFrames));
  const message = await without(['amqpMessageDecodedBytesMax'], () => found('messages without a bound', amqpMessages));
  // With the bound, what was found costs little.
  feed([frames], frame.input);
  feed(messages, message.input);
  const needle = Buffer.from('xxxxxxxxxxxxxxxxneedlexxxxxxxxxxxxxxxxxxxxxxxxxxxxx');
  assert.equal(reduced(needle, (input) => input.includes('needle')).toString(), 'needle');
});
