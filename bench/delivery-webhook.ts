/**
 * A webhook that takes 100 ms for each answer, with eight requests under way: events that a real hub delivers per second, beside what
 * that latency allows (8 requests x 100 events / 0.1 s). The events lie in the log beforehand, the same number in each of eight partitions.
 *
 *     node bench/delivery-webhook.ts [--events 40000] [--rounds 3] [--json FILE]
 */
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { signSas } from '../src/api/sas.ts';
import { partitionOf } from '../src/core/events/rules.ts';
import { apiOf } from '../test/drivers/api.ts';
import { startHub, type TestHub } from '../test/drivers/hub.ts';
import { MqttDriver } from '../test/drivers/mqtt.ts';
import { until } from '../test/drivers/until.ts';
import { machine } from './process-facts.ts';
import { figure, printTable, show, spread, writeResult } from './report.ts';

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '40000' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'string' },
  },
});
const PARTITIONS = 8;
const LATENCY_MS = 100;
const PER_REQUEST = 100;
const count = Number(values.events);
const limit = (PARTITIONS * PER_REQUEST * 1000) / LATENCY_MS;
/** In each event once, and in no body. */
const MARK = '"specversion"';
/** Measured from a tenth on, when all requests are under way, and before the first partition can be empty. */
const [FROM, TO] = [0.1, 0.9];

const rates: number[] = [];
for (let round = 0; round < Number(values.rounds); round += 1) {
  const rate = await drain();
  rates.push(rate);
  process.stdout.write(`round ${round + 1}: ${figure(rate)} events/s\n`);
}
printTable([
  ['events/s', `against ${figure(limit)}`],
  [show(spread(rates)), show(spread(rates.map((rate) => rate / limit)))],
]);
process.stdout.write(`${writeResult('delivery-webhook', { machine: machine(), count, limit, rates }, values.json)}\n`);

async function drain(): Promise<number> {
  await using hub = await startHub({
    args: ['--partitions', String(PARTITIONS), '--endpoint-private-addresses', 'on', '--threads', '1'],
  });
  const hook = await receiver();
  const api = apiOf(hub);
  try {
    await api.routes.replace({
      endpoints: [{ name: 'hook', kind: 'webhook', url: hook.url, inFlight: 8, eventsPerRequest: PER_REQUEST }],
      routes: [{ name: 'all', endpoint: 'hook' }],
    });
    await Promise.all(onePerPartition().map((deviceId) => fill(hub, deviceId, count / PARTITIONS)));
    hook.open();
    await until('everything is delivered', () => hook.taken() >= count, { withinMs: 120_000, everyMs: 50 });
    return hook.rate();
  } finally {
    api.close();
    hook.close();
  }
}

function onePerPartition(): readonly string[] {
  const found = new Map<number, string>();
  for (let at = 0; found.size < PARTITIONS; at += 1) {
    const partition = partitionOf(`d${at}`, PARTITIONS);
    if (!found.has(partition)) found.set(partition, `d${at}`);
  }
  return [...found.values()];
}

/** Sends at QoS 1, hundred at a time. */
async function fill(hub: TestHub, deviceId: string, messages: number): Promise<void> {
  const api = apiOf(hub);
  const device = await api.devices.create(deviceId);
  api.close();
  const key = device.authentication.symmetricKey.primaryKey ?? '';
  const token = await signSas({ resource: `localhost/devices/${deviceId}`, key, expiresAt: Date.now() + 3_600_000 });
  const username = `localhost/${deviceId}/?api-version=2021-04-12`;
  const { client } = await MqttDriver.connect(
    { port: hub.endpoints.ports.mqtt ?? 0 },
    { clientId: deviceId, username, password: Buffer.from(token) },
  );
  const topic = `devices/${deviceId}/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8`;
  for (let sent = 0; sent < messages; sent += 100) {
    for (let at = 1; at <= 100; at += 1) {
      client.publish({
        topic,
        payload: `{"t":21.5,"n":${sent + at},"pad":"${'x'.repeat(220)}"}`,
        qos: 1,
        messageId: at,
      });
    }
    for (let at = 1; at <= 100; at += 1) await client.next('puback');
  }
  await client.disconnect();
}

/** Counted, not parsed: the receiver is not what is measured. In the whole request, because the word may lie in two chunks of it. */
function eventsOf(request: Buffer): number {
  let events = 0;
  for (let at = request.indexOf(MARK); at !== -1; at = request.indexOf(MARK, at + MARK.length)) events += 1;
  return events;
}

/** Not ready until it is opened, so that all events lie there first. */
async function receiver() {
  let isOpen = false;
  let taken = 0;
  const marks: { readonly time: number; readonly taken: number }[] = [];
  const server = http.createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const events = eventsOf(Buffer.concat(chunks));
    if (request.method === 'OPTIONS') return response.setHeader('WebHook-Allowed-Origin', '*').end();
    if (!isOpen) return response.writeHead(503, { 'retry-after': '1' }).end();
    setTimeout(() => {
      taken += events;
      marks.push({ time: performance.now(), taken });
      response.writeHead(204).end();
    }, LATENCY_MS);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const markAt = (share: number) => marks.find((mark) => mark.taken >= count * share) ?? marks[0];
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    open: () => {
      isOpen = true;
    },
    taken: () => taken,
    rate: () => {
      const [from, to] = [markAt(FROM), markAt(TO)];
      return ((to.taken - from.taken) * 1000) / (to.time - from.time);
    },
    close: () => server.close(),
  };
}
