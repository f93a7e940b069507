import { ownMemory } from '../../base/buffer-pool.ts';
import { HeldBuffers } from '../../base/held-buffers.ts';
import { limits } from '../../base/limits.ts';

/** Memory for stored events, which caches keep and readers look at. */
export class RunMemory extends HeldBuffers {
  /** @param allocate makes memory for a buffer */
  constructor(allocate: (bytes: number) => ArrayBufferLike = ownMemory) {
    super({
      bytesMin: limits.runMemoryBytesMin,
      bytesMax: 2 * limits.batchBytesMax,
      freeBytesMax: limits.runMemoryFreeBytesMax,
      allocate,
    });
  }
}
