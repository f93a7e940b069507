/**
 * A TCP link to a server of loopback that fails where a test wants it: it looks at what goes to the server, and lets it pass,
 * keeps it, cuts the connection, or throws the answer away.
 */
import net from 'node:net';

export type Verdict =
  | 'pass'
  /** Neither this nor what comes behind it on this connection goes on. */
  | 'hold'
  /** The connection ends, on both sides. */
  | 'cut'
  /** It goes on; with the answer's first piece the connection ends. */
  | 'deaf'
  /** It goes on; the answer does not. */
  | 'mute';

export class FaultyLink implements AsyncDisposable {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  #judge: (piece: Buffer) => Verdict = () => 'pass';
  #hit: () => void = () => {};
  /** How long each piece that goes to the server is kept: a slow server. */
  pieceMs = 0;

  static async to(port: number): Promise<FaultyLink> {
    const link = new FaultyLink(port);
    await new Promise<void>((resolve) => link.#server.listen(0, '127.0.0.1', resolve));
    return link;
  }

  private constructor(port: number) {
    this.#server = net.createServer((client) => {
      const upstream = net.connect({ host: '127.0.0.1', port });
      const end = (): void => {
        client.destroy();
        upstream.destroy();
      };
      let [isHeld, isDeaf, isMute] = [false, false, false];
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on('error', end).on('close', () => {
          this.#sockets.delete(socket);
          end();
        });
      }
      client.on('data', (piece) => {
        if (isHeld) return;
        const verdict = this.#judge(piece);
        if (verdict !== 'pass') this.#hit();
        if (verdict === 'cut') return end();
        isHeld = verdict === 'hold';
        isDeaf ||= verdict === 'deaf';
        isMute ||= verdict === 'mute';
        if (isHeld) return;
        const isFree = upstream.write(piece);
        if (this.pieceMs > 0) {
          client.pause();
          setTimeout(() => client.resume(), this.pieceMs);
        } else if (!isFree) {
          client.pause();
          upstream.once('drain', () => client.resume());
        }
      });
      upstream.on('data', (piece) => {
        if (isDeaf) return end();
        if (isMute || client.write(piece)) return;
        upstream.pause();
        client.once('drain', () => upstream.resume());
      });
    });
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** Judges each piece from now on. Resolves when one did not pass. */
  fail(judge: (piece: Buffer) => Verdict): Promise<void> {
    this.#judge = judge;
    return new Promise((resolve) => {
      this.#hit = resolve;
    });
  }

  /** All passes again; connections from before end. */
  heal(): void {
    this.#judge = () => 'pass';
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.heal();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
