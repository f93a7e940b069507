import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { type ConnectsOrder, type ConnectsResult, startConnects } from './connects.ts';

/** A server that answers the nth CONNECT with the nth of these, in turn: a return code, or an end without an answer. */
async function played(answers: readonly (number | 'cut')[], order: Partial<ConnectsOrder>) {
  const peers: string[] = [];
  let goodbyes = 0;
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (connect) => {
      assert.equal(connect[0], 0x10);
      const answer = answers[peers.push(String(socket.remoteAddress)) % answers.length];
      if (answer === 'cut') socket.destroy();
      else socket.write(Buffer.from([0x20, 2, 0, answer]));
      socket.once('data', (bytes) => {
        if (bytes[0] === 0xe0) goodbyes++;
        socket.end();
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  const login = { clientId: 'd', username: 'u', password: 'p' };
  const all = { port, addresses: ['127.0.0.1'], logins: [login], inFlightMax: 8, attemptsMax: 60, secondsMax: 60 };
  const connects = await startConnects({ ...all, ...order });
  try {
    return { result: await connects.ended, peers, goodbyes: () => goodbyes };
  } finally {
    connects.close();
    server.close();
  }
}

const counts = ({ begun, accepted, refused, cut }: ConnectsResult) => ({ begun, accepted, refused, cut });

test('each attempt is counted once, by how it ended, and a client that is let in disconnects in order', async () => {
  const { result, goodbyes } = await played([0, 5, 'cut'], {});
  assert.deepEqual(counts(result), { begun: 60, accepted: 20, refused: 20, cut: 20 });
  assert.deepEqual(result.codes, { 0: 20, 5: 20 });
  assert.equal(result.latency.total, 40);
  assert.equal(goodbyes(), 20);
});

test('attempts come from all addresses, and no faster than they are due', async () => {
  // Other systems have no more than one loopback address.
  const addresses = process.platform === 'linux' ? ['127.0.0.2', '127.0.0.3', '127.0.0.4'] : ['127.0.0.1'];
  const { result, peers } = await played([5], { addresses, ratePerSecond: 200 });
  assert.deepEqual(
    result.refusedFrom,
    Object.fromEntries(addresses.map((address) => [address, 60 / addresses.length])),
  );
  assert.deepEqual([...new Set(peers)].sort(), addresses);
  assert.ok(result.seconds >= 59 / 200, String(result.seconds));
});

test('the time is a bound as well', async () => {
  const { result } = await played([5], { ratePerSecond: 50, attemptsMax: 1_000_000, secondsMax: 0.3 });
  assert.ok(result.begun <= 15 && result.refused === result.begun, JSON.stringify(counts(result)));
});
