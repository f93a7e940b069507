/**
 * Plain accepted sockets that all read into one buffer. A socket of the runtime's server gets a new buffer of 64 KiB for
 * every read and cuts it to size, which for one short message costs more than the message; `onread` (net.Socket,
 * documented) avoids it, but net.Server does not take that option. So the accepted connection is moved into a socket that was made with
 * it, by the field `_handle`, which is not documented. Where that field is missing the socket stays as it is.
 */
import net from 'node:net';

/** As much as the runtime reads at a time. */
const READ_BYTES = 64 * 1024;
const shared = Buffer.allocUnsafeSlow(READ_BYTES);

/** A stream whose bytes come by a call instead of `data` events. */
export interface SharedReader {
  /** Takes bytes, which are valid until it returns. To be set in the turn in which the stream was handed over. */
  takeBytes: (bytes: Buffer) => void;
}

class SharedSocket extends net.Socket implements SharedReader {
  takeBytes: (bytes: Buffer) => void = ignore;
}

export function readsShared(stream: object): stream is SharedReader {
  return stream instanceof SharedSocket;
}

/** @param socket just accepted: nobody listens to it yet. Returns the socket to use instead. */
export function withSharedReads(socket: net.Socket): net.Socket {
  const accepted = socket as unknown as { _handle: object | null | undefined };
  const handle = accepted._handle;
  if (handle === null || handle === undefined) return socket;
  let moved: SharedSocket | undefined;
  const options = {
    handle,
    onread: {
      buffer: shared,
      callback(length: number): boolean {
        const bytes = shared.subarray(0, length);
        moved?.takeBytes(bytes);
        // What a peer has sent, a token for one, must not stay until others happen to write over it.
        bytes.fill(0);
        return true;
      },
    },
  };
  moved = new SharedSocket(options as net.SocketConstructorOpts);
  accepted._handle = null;
  socket.destroy();
  return moved;
}

function ignore(): void {}
