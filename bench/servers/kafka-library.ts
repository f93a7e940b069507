/**
 * A bare producer of @platformatic/kafka: records as the hub writes them, 100 for each of the partitions in a call, four calls under way,
 * acknowledged by all replicas, idempotent. Says how many were acknowledged in the measured time, and with how much CPU time.
 *
 * `kept`: the names of headers are made once for all messages. `anew`: for each message, as by who gets them with each message.
 *
 *     node kafka-library.ts BROKER TOPIC kept|anew PARTITIONS BODY_BYTES WARMUP_SECONDS SECONDS   prints `{"records": N, "cpuSeconds": N}`
 */
import { Producer } from '@platformatic/kafka';
import { headersOfDevice } from './kafka-records.ts';

const [broker, topic, names, ...numbers] = process.argv.slice(2);
const [partitions, bodyBytes, warmupSeconds, seconds] = numbers.map(Number);
const RECORDS = 100;
const UNDER_WAY = 4;

const producer = new Producer({
  clientId: 'bench',
  bootstrapBrokers: [broker],
  idempotent: true,
  acks: -1,
  strict: true,
});
const value = Buffer.alloc(bodyBytes, 'x');
const devices = Array.from({ length: 50 }, (_, at) => {
  const headers = headersOfDevice(`bench-${at}`);
  return {
    key: Buffer.from(`bench-${at}`),
    headers: headers.map(([name, text]) => ({ name, nameBytes: Buffer.from(name), text })),
  };
});

/** Each message is another one, as it is where they come from devices. */
function message(at: number) {
  const { key, headers } = devices[at % devices.length];
  const pairs = headers.map(
    ({ name, nameBytes, text }) => [names === 'anew' ? Buffer.from(name) : nameBytes, Buffer.from(text)] as const,
  );
  return { topic, partition: at % partitions, key, value, headers: new Map(pairs) };
}

let records = 0;
let isOver = false;
const sending = Array.from({ length: UNDER_WAY }, async () => {
  while (!isOver) {
    const messages = Array.from({ length: RECORDS * partitions }, (_, at) => message(at));
    await producer.send({ messages });
    records += messages.length;
  }
});
await new Promise((resolve) => setTimeout(resolve, 1000 * warmupSeconds));
const before = { records, cpu: process.cpuUsage() };
await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const { user, system } = process.cpuUsage(before.cpu);
process.stdout.write(`${JSON.stringify({ records: records - before.records, cpuSeconds: (user + system) / 1e6 })}\n`);
isOver = true;
await Promise.all(sending);
await producer.close();
