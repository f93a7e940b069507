/** A Modbus TCP client as small as it can be: one request at a time on one connection (MODBUS Messaging on TCP/IP 1.0b, Application Protocol 1.1b3). */
import net from 'node:net';

export const functions = { readHolding: 3, readInput: 4, writeRegisters: 16 } as const;

/** The device has answered, with a "no": `code` 2 = no such register, 6 = busy … */
export class ModbusException extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`exception ${code}`);
    this.code = code;
  }
}

/** Transaction, protocol, length of what follows; then the unit, the function, and its data. */
const HEAD_BYTES = 6;
const FRAME_BYTES_MAX = 260;
const EXCEPTION = 0x80;

interface Waiting {
  readonly transaction: number;
  resolve(pdu: Buffer): void;
  reject(error: Error): void;
}

export class ModbusConnection {
  readonly #socket: net.Socket;
  readonly #timeoutMs: number;
  #received: Buffer = Buffer.alloc(0);
  #waiting: Waiting | undefined;
  #transaction = 0;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(socket: net.Socket, timeoutMs: number) {
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('close', () => this.#fail(new Error('the device has closed the connection')));
  }

  /** @throws Error when nobody answers in time */
  static async open(host: string, port: number, timeoutMs: number): Promise<ModbusConnection> {
    const socket = net.connect(port, host);
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error('the device does not answer')), timeoutMs);
      socket.once('connect', resolve);
      socket.once('error', reject);
      socket.once('close', () => clearTimeout(late));
      socket.once('connect', () => clearTimeout(late));
    }).catch((error) => {
      socket.destroy();
      throw error;
    });
    socket.on('error', () => {});
    return new ModbusConnection(socket, timeoutMs);
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed;
  }

  /** @returns registers, two bytes each @throws ModbusException; Error for a device that is gone, or says what makes no sense */
  async read(unit: number, kind: 'holding' | 'input', at: number, count: number): Promise<Buffer> {
    const request = Buffer.alloc(5);
    request[0] = kind === 'holding' ? functions.readHolding : functions.readInput;
    request.writeUInt16BE(at, 1);
    request.writeUInt16BE(count, 3);
    const answer = await this.#ask(unit, request);
    if (answer[1] !== 2 * count || answer.length !== 2 + 2 * count) throw this.#nonsense();
    return answer.subarray(2);
  }

  /** @param registers two bytes each @throws as `read` */
  async write(unit: number, at: number, registers: Buffer): Promise<void> {
    const request = Buffer.alloc(6);
    request[0] = functions.writeRegisters;
    request.writeUInt16BE(at, 1);
    request.writeUInt16BE(registers.length / 2, 3);
    request[5] = registers.length;
    const answer = await this.#ask(unit, Buffer.concat([request, registers]));
    // It repeats where it has written, and how much.
    if (!answer.equals(request.subarray(0, 5))) throw this.#nonsense();
  }

  close(): void {
    this.#socket.destroy();
  }

  #ask(unit: number, pdu: Buffer): Promise<Buffer> {
    const answer = this.#turn.then(() => this.#send(unit, pdu));
    this.#turn = answer.catch(() => {});
    return answer;
  }

  async #send(unit: number, pdu: Buffer): Promise<Buffer> {
    if (this.#socket.destroyed) throw new Error('the connection to the device is closed');
    this.#transaction = (this.#transaction + 1) & 0xffff;
    const head = Buffer.alloc(HEAD_BYTES + 1);
    head.writeUInt16BE(this.#transaction, 0);
    head.writeUInt16BE(pdu.length + 1, 4);
    head[HEAD_BYTES] = unit;
    // Behind a late answer nobody knows what is whose: the connection ends.
    const late = setTimeout(() => this.#fail(new Error('the device does not answer')), this.#timeoutMs);
    try {
      const answer = await new Promise<Buffer>((resolve, reject) => {
        this.#waiting = { transaction: this.#transaction, resolve, reject };
        this.#socket.write(Buffer.concat([head, pdu]));
      });
      if (answer[0] === (pdu[0] | EXCEPTION)) throw new ModbusException(answer[1] ?? 0);
      if (answer[0] !== pdu[0]) throw this.#nonsense();
      return answer;
    } finally {
      clearTimeout(late);
      this.#waiting = undefined;
    }
  }

  #take(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    while (this.#received.length >= HEAD_BYTES) {
      const length = this.#received.readUInt16BE(4);
      const isModbus = this.#received.readUInt16BE(2) === 0;
      if (!isModbus || length < 3 || length > FRAME_BYTES_MAX - HEAD_BYTES) {
        this.#fail(this.#nonsense());
        return;
      }
      if (this.#received.length < HEAD_BYTES + length) return;
      const frame = this.#received.subarray(0, HEAD_BYTES + length);
      this.#received = this.#received.subarray(HEAD_BYTES + length);
      if (this.#waiting?.transaction !== frame.readUInt16BE(0)) {
        this.#fail(this.#nonsense());
        return;
      }
      this.#waiting.resolve(Buffer.from(frame.subarray(HEAD_BYTES + 1)));
    }
  }

  #nonsense(): Error {
    return new Error('the device says what is no Modbus');
  }

  #fail(error: Error): void {
    this.#waiting?.reject(error);
    this.#socket.destroy();
  }
}
