/** As `cost.test.ts`, of what has a form of its own: fields of frames, twins and methods, files, TLS; and of inputs that are kept. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import { makeAuthorityCertificate, makeCertificate } from '../drivers/certificates.ts';
import { amqpMessage, amqpValue } from './amqp-grammar.ts';
import { type Chance, campaign, corpus } from './campaign.ts';
import { TooDear } from './cost.ts';
import { damagedBytes, damagedText, meanJson, swollen } from './mutate.ts';
import { documents, feed, files, handshakes, parserNamed, values } from './priced-parsers.ts';

const SECONDS = 1;
const HEADERS_BYTES_MAX = limits.httpHeaderBytesMax;

test('values of AMQP frames cost what their bytes cost', async () => {
  await campaign('cost of amqp values', SECONDS, (chance) =>
    feed(values, swollen(chance, damagedBytes(chance, amqpValue(chance)), limits.amqpFrameBytesMax)),
  );
});

/** A section that is nearly full, or a piece of damage very many times. */
function twinText(chance: Chance): Buffer {
  const section = (): string => {
    const count = chance.below(3000);
    const value = chance.pick([
      '1',
      '""',
      '{}',
      '[]',
      '{"a":{"b":{"c":1}}}',
      '{"a":{"a":{"a":{"a":{"a":{}}}}}}',
      'null',
      '1e400',
      '"\\u0000"',
    ]);
    return `{${Array.from({ length: count }, (_, at) => `"${at.toString(36)}":${value}`).join()}}`;
  };
  const text = chance.pick([
    () => section(),
    () => `{"tags":${section()},"properties":{"desired":${section()}}}`,
    () => `{"methodName":"m","payload":${section()}}`,
    () => meanJson(chance),
  ])();
  return chance.once(2) ? Buffer.from(text) : swollen(chance, Buffer.from(text.slice(0, 2000)), limits.requestBytesMax);
}

test('twins and methods cost what their bytes cost', async () => {
  await campaign('cost of twins', 2 * SECONDS, (chance) => feed(documents, twinText(chance)));
  await campaign('cost of twin requests', SECONDS, (chance) =>
    feed(documents, swollen(chance, damagedBytes(chance, amqpMessage(chance)), 250_000)),
  );
});

const blockLists = (chance: Chance, bytesMax = 1_000_000): Buffer => {
  const element = chance.pick([
    '<Latest>QQ==</Latest>',
    '<Uncommitted>QQ==</Uncommitted>',
    '<Latest> QQ== </Latest> ',
    '<Latest>',
    ' ',
    '\n',
    '<',
    '<?xml',
    '<!-- -->',
  ]);
  const text = `<?xml version="1.0"?> <BlockList>${element.repeat(chance.below(500))}${chance.once(2) ? '</BlockList>' : ''}`;
  return swollen(chance, Buffer.from(damagedText(chance, text, [element])), bytesMax);
};
const headers = [
  '"e"',
  'W/"e", *',
  'bytes=0-1',
  'Thu, 01 Jan 1970 00:00:00 GMT',
  '1B2M2Y8AsgTpgAmY7PhCfg==',
  'text/plain',
  '/hub/d1/a%20b+c?sv=2018-03-28&sr=b&sig=AAAA.BBBB%3D&se=2099-01-01T00%3A00%3A00Z&sp=rw',
];

test('lists of blocks, conditions and signed URLs of files cost what their bytes cost', async () => {
  const [blockList, ...others] = files;
  await campaign('cost of block lists', SECONDS, (chance) => feed([blockList], blockLists(chance)));
  await campaign('cost of conditions', SECONDS, (chance) => {
    const text = Buffer.from(damagedText(chance, chance.pick(headers), headers));
    feed(others, swollen(chance, text, HEADERS_BYTES_MAX).subarray(0, HEADERS_BYTES_MAX));
  });
});

/** A ClientHello of TLS 1.3 that names what it can of everything. */
const hello = Buffer.concat([
  Buffer.from('1603010070' + '0100006c' + '0303', 'hex'),
  Buffer.alloc(32, 7),
  Buffer.from('00' + '0008130113021303c02b' + '0100' + '003b', 'hex'),
  Buffer.from('0000000e000c0000096c6f63616c686f7374', 'hex'),
  Buffer.from('000a00060004001d0017' + '000d0006000404030804' + '002b0003020304', 'hex'),
]);

test('ClientHellos and certificates cost what their bytes cost', async () => {
  const [clientHello, certificate] = handshakes;
  await campaign('cost of ClientHellos', SECONDS, (chance) => {
    const bytes = swollen(chance, damagedBytes(chance, hello), limits.clientHelloBytesMax);
    feed([clientHello], bytes.subarray(0, limits.clientHelloBytesMax));
  });
  const root = await makeAuthorityCertificate('Root');
  const leaf = await makeCertificate('d1', { issuer: root });
  const kept = [root, leaf].map(({ pem }) => Buffer.from(pem.replace(/-----[A-Z ]+-----|\s/g, ''), 'base64'));
  await campaign('cost of certificates', SECONDS, (chance) =>
    feed([certificate], swollen(chance, damagedBytes(chance, chance.pick(kept)), limits.certificateBytesMax)),
  );
});

test('inputs that once cost too much cost what their bytes cost', () => {
  for (const line of corpus('dear')) {
    const { parser, input } = JSON.parse(line) as { readonly parser: string; readonly input: string };
    feed([parserNamed(parser)], Buffer.from(input, 'base64'));
  }
});

test('a parser of block lists that tries blanks in every way is found, and what is kept of its input is short', async () => {
  // As the hub's own was once: two runs of blanks next to each other.
  const head = /^\s*(?:<\?xml[^>]{0,200}\?>)?\s*\s*<BlockList\s*>\s*\s*<Latest>/;
  const cause = await campaign('block lists that are read badly', 60, (chance) =>
    feed([['block list', (input) => head.test(input.toString())]], blockLists(chance, 1500).subarray(0, 1500)),
  ).then(
    () => undefined,
    (error: Error) => error.cause,
  );
  assert.ok(cause instanceof TooDear, String(cause));
  console.log(cause.message.slice(0, 160));
  assert.ok(cause.input.length < 1500, `${cause.input.length} bytes`);
  feed([parserNamed('block list')], cause.input);
});
