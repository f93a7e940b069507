/**
 * TLS handshakes that are to begin or under way, of one listener. A handshake costs milliseconds of the loop, and a client that opens
 * a thousand connections and then speaks on all of them would have a thousand in one turn. So a connection gets its TLS
 * layer, and the memory of it, only when its first bytes have come; and of those that may begin, few do in one turn, the
 * addresses in turn: who waits behind a flood waits for one handshake of each other address, not for all of the flood.
 *
 * A handshake with more bytes than a sensible certificate chain is remembered until a client has proved who it is: OpenSSL
 * keeps up to 100 KB of certificates as ten times as much memory, which no heap shows. Of these there are few; the oldest
 * gives way.
 */

import type net from 'node:net';
import { addressShare } from '../../base/address.ts';
import { limits } from '../../base/limits.ts';
import { work } from '../../base/work.ts';

interface Waiting {
  readonly socket: net.Socket;
  begin(): void;
}

export class Handshakes {
  /** By the address's share, in the order of their turns. */
  readonly #queues = new Map<string, Waiting[]>();
  /** Begun, and not done. */
  readonly #running = new Set<net.Socket>();
  /** Those that have sent much, and on which nothing is proved; the oldest first. */
  readonly #large = new Set<net.Socket>();
  #isScheduled = false;
  #watch: NodeJS.Timeout | undefined;

  /** @param socket just accepted: nothing has been read. `begin` gives it its TLS layer, and is not called when it ends before. */
  add(socket: net.Socket, peer: string, begin: () => void): void {
    const forget = (): void => this.settled(socket);
    socket.once('close', forget);
    // A connection that is reset before anybody else listens.
    const ignore = (): void => {};
    socket.on('error', ignore);
    const late = (): void => void socket.destroy();
    socket.setTimeout(limits.handshakeMs, late);
    socket.once('readable', () => {
      if (socket.readableLength === 0) {
        socket.destroy();
        return;
      }
      socket.setTimeout(0, late);
      this.#enqueue(addressShare(peer), {
        socket,
        begin: () => {
          socket.off('error', ignore);
          this.#running.add(socket);
          this.#watchRunning();
          begin();
        },
      });
    });
  }

  /** The handshake is done. */
  done(socket: net.Socket): void {
    this.#running.delete(socket);
    this.#judge(socket);
  }

  /** A client has proved who it is, or the connection is gone. */
  settled(socket: net.Socket): void {
    this.#running.delete(socket);
    this.#large.delete(socket);
  }

  #enqueue(address: string, waiting: Waiting): void {
    const queue = this.#queues.get(address);
    if (queue === undefined) this.#queues.set(address, [waiting]);
    else queue.push(waiting);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#turn();
    });
  }

  #turn(): void {
    let left: number = limits.tlsHandshakesPerTurn;
    while (left > 0) {
      const [first] = this.#queues;
      if (first === undefined) return;
      const [address, queue] = first;
      const next = queue.shift();
      // To the end of the turns, or out of them.
      this.#queues.delete(address);
      if (queue.length > 0) this.#queues.set(address, queue);
      if (next === undefined || next.socket.destroyed) continue;
      work.tlsHandshakes++;
      next.begin();
      left--;
    }
    if (this.#queues.size > 0) this.#schedule();
  }

  /** A peer may send all its certificates and never the end of its handshake. */
  #watchRunning(): void {
    this.#watch ??= setInterval(() => {
      for (const socket of this.#running) this.#judge(socket);
      if (this.#running.size > 0) return;
      clearInterval(this.#watch);
      this.#watch = undefined;
    }, limits.tlsHandshakeCheckMs).unref();
  }

  #judge(socket: net.Socket): void {
    if (socket.destroyed || socket.bytesRead <= limits.tlsHandshakeBytesMax || this.#large.has(socket)) return;
    this.#large.add(socket);
    if (this.#large.size <= limits.tlsLargeHandshakesMax) return;
    const [oldest] = this.#large;
    this.#large.delete(oldest);
    oldest.destroy();
  }
}
