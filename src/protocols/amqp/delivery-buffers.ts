import { BufferPool } from '../../base/buffer-pool.ts';
import { limits } from '../../base/limits.ts';

/** Bytes of frames that are put together before they go to the socket. */
export const DELIVERY_BUFFER_BYTES = 128 * 1024;

/** Buffers whose bytes the sockets have taken, for whichever reader writes next on this thread. */
export const deliveryBuffers = new BufferPool({
  bytesMin: limits.deliveryBufferBytesMin,
  bytesMax: DELIVERY_BUFFER_BYTES,
  freeBytesMax: limits.deliveryBuffersFreeBytesMax,
});
