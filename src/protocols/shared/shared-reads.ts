/**
 * Accepted sockets that all read into one buffer. A socket of the runtime's server gets a new buffer for every read (of
 * 64 KiB, cut to size; over TLS one for each record), which for one short message costs more than the message, and much
 * traffic has collections of garbage follow each other. `onread` (net.Socket, documented) avoids it, but servers do not
 * take that option. So an accepted plain connection is moved into a socket that was made with it, by the field `_handle`;
 * a TLS socket cannot be moved, and is given what the option sets. Neither is documented: where anything of it is missing
 * a socket stays as it is.
 */
import net from 'node:net';
import type tls from 'node:tls';
import { assert } from '../../base/assert.ts';

/** As much as the runtime reads at a time. */
const READ_BYTES = 64 * 1024;
const shared = Buffer.allocUnsafeSlow(READ_BYTES);

/** Whom a stream tells by calls. Listeners of events would be closures, and lists of them, for each idle connection. */
export interface StreamOwner {
  /** Takes bytes, which are valid until it returns. Over TLS what was decrypted already may come behind a `pause`. */
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
    assert(typeof this === 'object' && this !== null && readsShared(this), 'the runtime says which socket has read');
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

function tellClose(this: net.Socket): void {
  if (!readsShared(this)) return;
  this.place?.leave();
  this.owner.closed();
}

export function readsShared(stream: object): stream is SharedReader {
  return stream instanceof SharedSocket || ('reads' in stream && stream.reads === onread);
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

/** Where a socket keeps what `onread` says: the runtime's own names, which every socket has. */
const [BUFFER, CALLBACK] = ['kBuffer', 'kBufferCb'].map((name) =>
  Object.getOwnPropertySymbols(new net.Socket()).find(({ description }) => description === name),
);

/** @param socket just accepted, after its handshake: nobody listens to it yet. It reads into the shared buffer from here on. */
export function shareTlsReads(socket: tls.TLSSocket): void {
  const { _handle: handle } = socket as unknown as { _handle: { useUserBuffer?(buffer: Buffer): void } | null };
  if (BUFFER === undefined || CALLBACK === undefined || handle?.useUserBuffer === undefined) return;
  // What has been read already would be overtaken.
  if (socket.readableLength > 0) return;
  handle.useUserBuffer(onread.buffer);
  Object.assign(socket, {
    [BUFFER]: onread.buffer,
    [CALLBACK]: onread.callback,
    reads: onread,
    owner: nobody,
    place: undefined,
  });
  socket.on('end', tellEnd).on('close', tellClose);
}

function tellEnd(this: tls.TLSSocket): void {
  if (readsShared(this)) this.owner.ended();
}

function ignore(): void {}
