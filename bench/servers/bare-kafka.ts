/**
 * The yardstick of a hub on Kafka: the least that a Node process can do to acknowledge MQTT messages when a broker has them. It reads
 * CONNECT, PUBLISH, PINGREQ and DISCONNECT and believes everything; each message becomes a record with the headers that the hub
 * writes, and PUBACKs leave when the broker has answered for its batch. One request at a time, with a batch for each partition; the next
 * one fills meanwhile. No authentication, limits, readers; a broker that dies ends it.
 *
 *     node bare-kafka.ts BROKER TOPIC PARTITIONS   prints `ready PORT`
 */
import net from 'node:net';
import { systemClock } from '../../src/base/clock.ts';
import { silentLog } from '../../src/base/log.ts';
import { KafkaCluster } from '../../src/stores/kafka/cluster.ts';
import { ensureTopic } from '../../src/stores/kafka/topics.ts';
import { apis } from '../../src/wire/kafka/apis.ts';
import { initProducerIdRequest, readProducerId } from '../../src/wire/kafka/cluster-requests.ts';
import {
  BATCH_HEAD_BYTES,
  RECORD_HEAD_BYTES_MAX,
  sealBatch,
  varintBytes,
  writeRecordHead,
  writeVarint,
} from '../../src/wire/kafka/record-batch.ts';
import { produceRequest, readProduceAnswers } from '../../src/wire/kafka/records-requests.ts';
import { recordTail } from './kafka-records.ts';

const [broker, topic, partitionsText] = process.argv.slice(2);
const partitionCount = Number(partitionsText);
const BATCH_BYTES = 4 << 20;
const CONNACK = Buffer.from([0x20, 2, 0, 0]);
const PINGRESP = Buffer.from([0xd0, 0]);
const ACKNOWLEDGE_MS = 5000;

const cluster = await KafkaCluster.open({
  brokers: [broker],
  access: { clientId: 'bench', clock: systemClock },
  log: silentLog,
});
const wish = { name: topic, partitions: partitionCount, retentionMs: 3_600_000, replicas: 1, inSyncMin: 1 };
await ensureTopic(cluster, wish, systemClock);
await cluster.follow(topic);
const connection = await cluster.leaderConnection(topic, 0, 'write');
const { id } = readProducerId(await connection.request(apis.initProducerId, [initProducerIdRequest()]));

interface Filling {
  bytes: Buffer;
  at: number;
  count: number;
}

const fresh = (): Filling[] =>
  Array.from({ length: partitionCount }, () => ({ bytes: Buffer.allocUnsafeSlow(BATCH_BYTES), at: 0, count: 0 }));
let filling = fresh();
let spare = fresh();
const sequences = new Array<number>(partitionCount).fill(0);
let owed: Peer[] = [];
let committing = false;
let scheduled = false;
let peers = 0;

function schedule(): void {
  if (scheduled || committing) return;
  scheduled = true;
  setImmediate(() => void commit());
}

async function commit(): Promise<void> {
  scheduled = false;
  if (owed.length === 0) return;
  committing = true;
  const [sent, answers] = [filling, owed.map((peer) => ({ peer, bytes: peer.takeAnswers() }))];
  filling = spare;
  owed = [];
  const batches = [...sent.entries()].flatMap(([partition, { bytes, at, count }]) => {
    if (count === 0) return [];
    sealBatch(bytes, at, count, { id, epoch: 0, sequence: sequences[partition] }, Date.now());
    sequences[partition] += count;
    return [{ partition, batch: [bytes.subarray(0, at)], bytes: at }];
  });
  const answer = await connection.request(apis.produce, produceRequest(topic, batches, ACKNOWLEDGE_MS), ACKNOWLEDGE_MS);
  for (const { error, message } of readProduceAnswers(answer)) if (error !== 0) throw new Error(`${error} ${message}`);
  for (const each of sent) Object.assign(each, { at: 0, count: 0 });
  spare = sent;
  committing = false;
  for (const { peer, bytes } of answers) peer.socket.write(bytes);
  if (owed.length > 0) schedule();
}

class Peer {
  readonly socket: net.Socket;
  readonly #partition = peers++ % partitionCount;
  #key: Buffer = Buffer.alloc(0);
  #tail: Buffer = Buffer.alloc(0);
  #rest: Buffer | undefined;
  #answers: Buffer = Buffer.allocUnsafe(256);
  #answered = 0;

  constructor(socket: net.Socket) {
    this.socket = socket;
  }

  takeAnswers(): Buffer {
    const taken = this.#answers.subarray(0, this.#answered);
    this.#answers = Buffer.allocUnsafe(Math.max(256, this.#answered));
    this.#answered = 0;
    return taken;
  }

  read(chunk: Buffer): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    for (;;) {
      let body = at + 1;
      let length = 0;
      let shift = 0;
      let byte = 0x80;
      while (byte & 0x80 && body < bytes.length) {
        byte = bytes[body++];
        length |= (byte & 0x7f) << shift;
        shift += 7;
      }
      if (byte & 0x80 || body + length > bytes.length) break;
      this.#packet(bytes, at, body, body + length);
      at = body + length;
    }
    this.#rest = at < bytes.length ? bytes.subarray(at) : undefined;
    schedule();
  }

  #packet(bytes: Buffer, start: number, body: number, end: number): void {
    const kind = bytes[start] >> 4;
    if (kind === 3) this.#publish(bytes, body, end);
    else if (kind === 1) this.#connect(bytes, body);
    else if (kind === 12) this.socket.write(PINGRESP);
    else if (kind === 14) this.socket.end();
  }

  /** The client id stands behind the ten bytes of protocol, level, flags and keep-alive. */
  #connect(bytes: Buffer, body: number): void {
    const name = bytes.toString('latin1', body + 12, body + 12 + bytes.readUInt16BE(body + 10));
    this.#key = Buffer.concat([Buffer.from([2 * name.length]), Buffer.from(name, 'latin1')]);
    this.#tail = recordTail(name);
    this.socket.write(CONNACK);
  }

  /** At QoS 1, as the load sends. */
  #publish(bytes: Buffer, body: number, end: number): void {
    const topicEnd = body + 2 + bytes.readUInt16BE(body);
    const valueStart = topicEnd + 2;
    const length = end - valueStart;
    const size = this.#key.length + varintBytes(length) + length + this.#tail.length;
    const batch = filling[this.#partition];
    if (batch.count === 0) batch.at = BATCH_HEAD_BYTES;
    if (batch.at + size + RECORD_HEAD_BYTES_MAX > BATCH_BYTES) throw new Error('more is in flight than a batch holds');
    let at = writeRecordHead(batch.bytes, batch.at, batch.count++, size);
    at += this.#key.copy(batch.bytes, at);
    at = writeVarint(batch.bytes, at, length);
    at += bytes.copy(batch.bytes, at, valueStart, end);
    batch.at = at + this.#tail.copy(batch.bytes, at);
    if (this.#answered === 0) owed.push(this);
    if (this.#answered + 4 > this.#answers.length) {
      this.#answers = Buffer.concat([this.#answers, Buffer.allocUnsafe(this.#answers.length)]);
    }
    this.#answers.writeUInt16BE(0x4002, this.#answered);
    this.#answers.writeUInt16BE(bytes.readUInt16BE(topicEnd), this.#answered + 2);
    this.#answered += 4;
  }
}

const server = net.createServer((socket) => {
  socket.setNoDelay(true);
  const peer = new Peer(socket);
  socket.on('data', (chunk: Buffer) => peer.read(chunk));
  socket.on('error', () => socket.destroy());
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`ready ${(server.address() as net.AddressInfo).port}\n`);
});
process.on('SIGTERM', () => process.exit(0));
