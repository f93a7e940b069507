import type { JournalFile, JournalFiles } from '../../stores/embedded/event-log/files.ts';

/**
 * The same files, telling of each commit (a write and the sync that makes it durable): its bytes, and the seconds from
 * the one's start to the other's end. For metrics; a commit that fails is not told.
 */
export function timedFiles(files: JournalFiles, committed: (bytes: number, seconds: number) => void): JournalFiles {
  return {
    ...files,
    create: async (file) => timedFile(await files.create(file), committed),
    open: async (file) => timedFile(await files.open(file), committed),
  };
}

function timedFile(file: JournalFile, committed: (bytes: number, seconds: number) => void): JournalFile {
  let [begun, bytes] = [0, 0];
  return {
    ...file,
    async write(buffers, at) {
      if (bytes === 0) begun = performance.now();
      for (const buffer of buffers) bytes += buffer.length;
      await file.write(buffers, at);
    },
    async sync() {
      await file.sync();
      if (bytes > 0) committed(bytes, (performance.now() - begun) / 1000);
      bytes = 0;
    },
  };
}
