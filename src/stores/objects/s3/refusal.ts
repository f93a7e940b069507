import { type Condition, ObjectError, type ObjectErrorKind } from '../../../core/files/object-store.ts';
import type { StoreAnswer } from '../remote/store-client.ts';
import { textIn } from '../remote/xml.ts';

/** Where the code says more than the status: names of S3's own, of gateways over a file system, and of MinIO. */
const kinds: Readonly<Record<string, ObjectErrorKind>> = {
  NoSuchBucket: 'denied',
  // The clocks differ: that passes when one of them is set.
  RequestTimeTooSkewed: 'unavailable',
  // One name is the beginning of the other up to a slash, which a file system cannot hold.
  ObjectParentIsFile: 'exists',
  ExistingObjectIsDirectory: 'exists',
  XMinioParentIsObject: 'exists',
  XMinioObjectExistsAsDirectory: 'exists',
  EntityTooLarge: 'tooLarge',
  QuotaExceeded: 'full',
  XMinioStorageFull: 'full',
};

/** What a refusal of the service means. Its text may repeat what was signed, and is not told. */
export function refusal(answer: StoreAnswer & { readonly text?: string }, condition?: Condition): ObjectError {
  const code = (textIn(answer.text ?? '', 'Code') ?? '').slice(0, 100);
  const told = `the store of files answers with status ${answer.status} ${code}`.trim();
  const known = kinds[code];
  if (known !== undefined) return new ObjectError(known, told);
  if (answer.status === 412) return new ObjectError(condition?.ifNoneMatch === '*' ? 'exists' : 'condition', told);
  if (answer.status === 401 || answer.status === 403) return new ObjectError('denied', told);
  if (answer.status === 507) return new ObjectError('full', told);
  return new ObjectError('unavailable', told);
}
