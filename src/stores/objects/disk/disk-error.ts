import { ObjectError } from '../../../core/files/object-store.ts';

/** What a failure of the disk means for who asked. */
export function diskError(error: unknown): ObjectError {
  if (error instanceof ObjectError) return error;
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  const isFull = code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG';
  return new ObjectError(isFull ? 'full' : 'unavailable', `the folder of files: ${code ?? 'failed'}`, error);
}
