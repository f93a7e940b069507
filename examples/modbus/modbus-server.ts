/** A Modbus TCP server of the test, with the registers of several units. */
import { once } from 'node:events';
import net from 'node:net';
import { functions } from './modbus.ts';

const BUSY = 6;
const NO_SUCH_ADDRESS = 2;
const NO_SUCH_FUNCTION = 1;

export class ModbusServer {
  /** Holding registers by unit; a unit without any is busy. */
  readonly units = new Map<number, Uint16Array>();
  /** How often a unit was read. */
  readonly reads = new Map<number, number>();
  /** Registers that may not be written. */
  readonly sealed = new Set<number>();
  /** Answers arrive in pieces of so many bytes. */
  pieceBytes = 1000;
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  constructor() {
    this.#server = net.createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
      let received: Buffer = Buffer.alloc(0);
      socket.on('data', (chunk) => {
        received = Buffer.concat([received, chunk]);
        while (received.length >= 6 && received.length >= 6 + received.readUInt16BE(4)) {
          const frame = received.subarray(0, 6 + received.readUInt16BE(4));
          received = received.subarray(frame.length);
          this.#answer(socket, frame);
        }
      });
    });
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as net.AddressInfo).port;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.cut();
    this.#server.close();
  }

  #answer(socket: net.Socket, frame: Buffer): void {
    const unit = frame[6];
    const pdu = this.#pdu(unit, frame.subarray(7));
    const head = Buffer.from(frame.subarray(0, 7));
    head.writeUInt16BE(pdu.length + 1, 4);
    const answer = Buffer.concat([head, pdu]);
    for (let at = 0; at < answer.length; at += this.pieceBytes) socket.write(answer.subarray(at, at + this.pieceBytes));
  }

  #pdu(unit: number, request: Buffer): Buffer {
    const [code] = request;
    const at = request.readUInt16BE(1);
    const count = request.readUInt16BE(3);
    const registers = this.units.get(unit);
    const no = (exception: number): Buffer => Buffer.of(code | 0x80, exception);
    if (code === functions.readHolding) this.reads.set(unit, (this.reads.get(unit) ?? 0) + 1);
    if (registers === undefined) return no(BUSY);
    if (at + count > registers.length) return no(NO_SUCH_ADDRESS);
    if (code === functions.writeRegisters) {
      for (let one = 0; one < count; one++) {
        if (this.sealed.has(at + one)) return no(NO_SUCH_ADDRESS);
        registers[at + one] = request.readUInt16BE(6 + 2 * one);
      }
      return request.subarray(0, 5);
    }
    if (code !== functions.readHolding) return no(NO_SUCH_FUNCTION);
    const bytes = Buffer.alloc(2 + 2 * count);
    bytes[0] = code;
    bytes[1] = 2 * count;
    for (let one = 0; one < count; one++) bytes.writeUInt16BE(registers[at + one], 2 + 2 * one);
    return bytes;
  }
}
