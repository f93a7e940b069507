import { HeldBuffers } from '../../../base/held-buffers.ts';
import { limits } from '../../../base/limits.ts';

/** Bytes of frames that are put together before they go to the socket. */
export const DELIVERY_BUFFER_BYTES = 128 * 1024;

/** Buffers of frames: held by their writer until the socket has taken the bytes, and by `deliveryPieces`. */
export const deliveryBuffers = new HeldBuffers({
  bytesMin: limits.deliveryBufferBytesMin,
  bytesMax: DELIVERY_BUFFER_BYTES,
  freeBytesMax: limits.deliveryBuffersFreeBytesMax,
});
