/**
 * File work of the folder store takes turns: the runtime does such work on four threads, which the journal of events
 * needs too, and an upload at full speed would otherwise hold all of them.
 */
import { limits } from '../../../base/limits.ts';
import { Places } from '../places.ts';

export class DiskTurns extends Places {
  constructor() {
    super(limits.fileWorkAtOnceMax);
  }
}
