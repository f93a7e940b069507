/**
 * The ceiling to run beside the hub: the least that a Node process can do to acknowledge MQTT messages durably. It reads
 * CONNECT, PUBLISH, PINGREQ and DISCONNECT and believes everything; one batch is written and synced while the next one
 * fills, and PUBACKs leave after the sync, one write per socket. No authentication, properties, checksums, partitions,
 * readers, limits or retention: what the hub spends on those is the distance to this.
 *
 *     node bare-ingest.ts FILE [PACE_MS] [CERTIFICATE KEY]   prints `ready PORT`
 */
import fs from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';

const [file = 'bare.dat', pace = '0', certificateFile, keyFile] = process.argv.slice(2);
const paceMs = Number(pace);
const FILE_BYTES = 1 << 30;
const BATCH_BYTES = 8 << 20;
/** Nothing more is taken when so much waits; the rest is room for the packet that led to it. */
const HALT_BYTES = BATCH_BYTES / 2;
const EMPTY = Buffer.alloc(0);
const CONNACK = Buffer.from([0x20, 2, 0, 0]);
const PINGRESP = Buffer.from([0xd0, 0]);

const descriptor = fs.openSync(file, 'w+');
const zeros = Buffer.alloc(1 << 20);
for (let at = 0; at < FILE_BYTES; at += zeros.length) fs.writeSync(descriptor, zeros, 0, zeros.length, at);
fs.fsyncSync(descriptor);

let filling = Buffer.allocUnsafeSlow(BATCH_BYTES);
let spare = Buffer.allocUnsafeSlow(BATCH_BYTES);
let filled = 0;
let place = 0;
let committing = false;
let scheduled = false;
let lastCommit = 0;
let owed: Peer[] = [];
const halted: Peer[] = [];

function schedule(): void {
  if (scheduled || committing) return;
  scheduled = true;
  const wait = paceMs - (performance.now() - lastCommit);
  if (wait > 0) setTimeout(commit, wait);
  else setImmediate(commit);
}

function commit(): void {
  scheduled = false;
  if (filled === 0) return;
  committing = true;
  const bytes = filling;
  const length = filled;
  const answers = owed.map((peer) => ({ peer, bytes: peer.takeAnswers() }));
  filling = spare;
  spare = bytes;
  filled = 0;
  owed = [];
  for (const peer of halted.splice(0)) peer.goOn();
  if (place + length > FILE_BYTES) place = 0;
  fs.write(descriptor, bytes, 0, length, place, (writeError) => {
    if (writeError) throw writeError;
    place += length;
    fs.fdatasync(descriptor, (syncError) => {
      if (syncError) throw syncError;
      committing = false;
      lastCommit = performance.now();
      for (const { peer, bytes: answer } of answers) peer.socket.write(answer);
      if (filled > 0) schedule();
    });
  });
}

class Peer {
  readonly socket: net.Socket;
  #rest: Buffer | undefined;
  /** Bytes of the first packet in the rest that have not come; 0 = not known, or none. */
  #lacks = 0;
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
    const rest = this.#rest;
    const lacks = this.#lacks;
    if (rest === undefined) this.#take(chunk);
    else if (lacks > 0 && lacks < chunk.length && filled <= HALT_BYTES) {
      // Of a large packet that has begun, only what it lacks is copied.
      this.#take(Buffer.concat([rest, chunk.subarray(0, lacks)]));
      this.#take(chunk.subarray(lacks));
    } else this.#take(Buffer.concat([rest, chunk]));
    if (filled > 0) schedule();
    if (filled <= HALT_BYTES) return;
    this.socket.pause();
    halted.push(this);
  }

  #take(bytes: Buffer): void {
    let at = 0;
    this.#lacks = 0;
    while (filled <= HALT_BYTES) {
      let body = at + 1;
      let length = 0;
      let shift = 0;
      let byte = 0x80;
      while (byte & 0x80 && body < bytes.length) {
        byte = bytes[body++];
        length |= (byte & 0x7f) << shift;
        shift += 7;
      }
      const end = body + length;
      if (byte & 0x80) break;
      if (end > bytes.length) {
        this.#lacks = end - bytes.length;
        break;
      }
      this.#packet(bytes, at, body, end);
      at = end;
    }
    this.#rest = at < bytes.length ? bytes.subarray(at) : undefined;
  }

  /** Takes what waits here before more is read. */
  goOn(): void {
    this.socket.resume();
    this.read(EMPTY);
  }

  #packet(bytes: Buffer, start: number, body: number, end: number): void {
    const kind = bytes[start] >> 4;
    if (kind === 3) this.#publish(bytes, (bytes[start] >> 1) & 3, body, end);
    else if (kind === 1) this.socket.write(CONNACK);
    else if (kind === 12) this.socket.write(PINGRESP);
    else if (kind === 14) this.socket.end();
  }

  #publish(bytes: Buffer, qos: number, body: number, end: number): void {
    const topicEnd = body + 2 + bytes.readUInt16BE(body);
    filling.writeUInt32LE(end - body, filled);
    bytes.copy(filling, filled + 4, body, end);
    filled += 4 + end - body;
    if (qos === 0) return;
    if (this.#answered === 0) owed.push(this);
    if (this.#answered + 4 > this.#answers.length) {
      this.#answers = Buffer.concat([this.#answers, Buffer.allocUnsafe(this.#answers.length)]);
    }
    this.#answers.writeUInt16BE(0x4002, this.#answered);
    this.#answers.writeUInt16BE(bytes.readUInt16BE(topicEnd), this.#answered + 2);
    this.#answered += 4;
  }
}

function accept(socket: net.Socket): void {
  socket.setNoDelay(true);
  const peer = new Peer(socket);
  socket.on('data', (chunk: Buffer) => peer.read(chunk));
  socket.on('error', () => socket.destroy());
}

const server =
  certificateFile === undefined || keyFile === undefined
    ? net.createServer(accept)
    : tls.createServer({ cert: fs.readFileSync(certificateFile), key: fs.readFileSync(keyFile) }, accept);
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`ready ${(server.address() as net.AddressInfo).port}\n`);
});
process.on('SIGTERM', () => process.exit(0));
