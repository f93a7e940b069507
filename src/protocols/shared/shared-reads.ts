/**
 * Plain accepted sockets that all read into one buffer. A socket of the runtime's server gets a new buffer of 64 KiB for
 * every read and cuts it to size, which for one short message costs more than the message; `onread` (net.Socket,
 * documented) avoids it, but net.Server does not take that option. So the accepted connection is moved into a socket that was made with
 * it, by the field `_handle`, which is not documented. Where that field is missing the socket stays as it is.
 */
import net from 'node:net';
import { assert } from '../../base/assert.ts';

/** As much as the runtime reads at a time. */
const READ_BYTES = 64 * 1024;
const shared = Buffer.allocUnsafeSlow(READ_BYTES);

/** Whom a stream tells by calls. Listeners of events would be closures, and lists of them, for each idle connection. */
export interface StreamOwner {
  /** Takes bytes, which are valid until it returns. */
  receive(bytes: Buffer): void;
  /** The peer has closed its side. */
  ended(): void;
  /** The stream has closed. Nothing comes any more. */
  closed(): void;
}

/** A stream with one owner instead of `data` events. */
export interface SharedReader {
  /** To be set in the turn in which the stream was handed over. */
  owner: StreamOwner;
  /** What the connection has of the gate, to be left when it has closed. */
  place: { leave(): void } | undefined;
}

const nobody: StreamOwner = { receive: ignore, ended: ignore, closed: ignore };

/** One for all sockets: the runtime calls it on the socket that has read. */
const onread = {
  buffer: shared,
  callback(this: unknown, length: number): boolean {
    assert(this instanceof SharedSocket, 'the runtime says which socket has read');
    const bytes = shared.subarray(0, length);
    this.owner.receive(bytes);
    // What a peer has sent, a token for one, must not stay until others happen to write over it.
    bytes.fill(0);
    return true;
  },
};

class SharedSocket extends net.Socket implements SharedReader {
  owner: StreamOwner = nobody;
  place: { leave(): void } | undefined = undefined;

  constructor(handle: object) {
    super({ handle, onread } as net.SocketConstructorOpts);
    this.on('close', tellClose);
  }

  /** The runtime ends its reading by `null`. A listener of `end` beside its own would be a list for each socket. */
  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    const wantsMore = super.push(chunk, encoding);
    if (chunk === null) this.owner.ended();
    return wantsMore;
  }
}

function tellClose(this: SharedSocket): void {
  this.place?.leave();
  this.owner.closed();
}

export function readsShared(stream: object): stream is SharedReader {
  return stream instanceof SharedSocket;
}

/** @param socket just accepted: nobody listens to it yet. Returns the socket to use instead. */
export function withSharedReads(socket: net.Socket): net.Socket {
  const accepted = socket as unknown as { _handle: object | null | undefined };
  const handle = accepted._handle;
  if (handle === null || handle === undefined) return socket;
  const moved = new SharedSocket(handle);
  accepted._handle = null;
  socket.destroy();
  return moved;
}

function ignore(): void {}
