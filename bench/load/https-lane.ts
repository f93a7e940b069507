import { once } from 'node:events';
import tls from 'node:tls';

export interface LaneAnswer {
  readonly status: number;
  readonly body: string;
}

const EMPTY = Buffer.alloc(0);
const HEAD_END = Buffer.from('\r\n\r\n');

/** One HTTPS connection that is kept, with one request at a time: the least that a client can do, so that the server is measured. */
export class HttpsLane {
  readonly #socket: tls.TLSSocket;
  #bytes: Buffer = EMPTY;
  #answered: (answer: LaneAnswer) => void = () => {};
  #failed: (error: Error) => void = () => {};

  private constructor(socket: tls.TLSSocket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', (error) => this.#failed(error));
    socket.on('close', () => this.#failed(new Error('the server closed the connection')));
  }

  static async open(port: number, ca: string): Promise<HttpsLane> {
    const socket = tls.connect({ host: 'localhost', port, ca, ALPNProtocols: ['http/1.1'] });
    await once(socket, 'secureConnect');
    socket.setNoDelay(true);
    return new HttpsLane(socket);
  }

  /** @param head header lines, each with its end. @throws Error when the connection ends before the answer */
  ask(line: string, head: string, body: string): Promise<LaneAnswer> {
    const length = Buffer.byteLength(body);
    return new Promise((resolve, reject) => {
      this.#answered = resolve;
      this.#failed = reject;
      this.#socket.write(`${line} HTTP/1.1\r\nHost: localhost\r\n${head}Content-Length: ${length}\r\n\r\n${body}`);
    });
  }

  close(): void {
    this.#failed = () => {};
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    const headEnd = this.#bytes.indexOf(HEAD_END);
    if (headEnd === -1) return;
    const head = this.#bytes.toString('latin1', 0, headEnd);
    const length = /^content-length: *(\d+)/im.exec(head)?.[1];
    if (length === undefined) {
      this.#failed(new Error(`an answer without a length: ${head}`));
      return;
    }
    const end = headEnd + HEAD_END.length + Number(length);
    if (this.#bytes.length < end) return;
    const body = this.#bytes.toString('utf8', headEnd + HEAD_END.length, end);
    this.#bytes = EMPTY;
    this.#answered({ status: Number(head.split(' ', 2)[1]), body });
  }
}
