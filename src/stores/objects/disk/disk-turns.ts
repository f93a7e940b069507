/**
 * File work of the folder store takes turns: the runtime does such work on four threads, which the journal of events
 * needs too, and an upload at full speed would otherwise hold all of them.
 */
import { BufferPool } from '../../../base/buffer-pool.ts';
import { Gate } from '../../../base/gate.ts';
import { limits } from '../../../base/limits.ts';
import { DiskRoom } from './disk-room.ts';

export class DiskTurns extends Gate {
  /**
   * Memory for what is read and written, used again: with a buffer for each read the garbage collector took as much CPU
   * time for a download as all the rest of it.
   */
  readonly pieces = new BufferPool({
    bytesMin: limits.filePieceBytes,
    bytesMax: limits.filePieceBytes,
    freeBytesMax: limits.filePiecesFreeBytesMax,
  });

  readonly room: DiskRoom;

  /** @param folder on the disk that is written to */
  constructor(folder: string) {
    super(limits.fileWorkAtOnceMax);
    this.room = new DiskRoom(folder);
  }
}
