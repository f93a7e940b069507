/** Settings of files that devices upload and download. */
import type { z } from 'zod';
import { limits } from '../../base/limits.ts';
import type { FileLimits } from '../../core/files/types.ts';
import { byteSize, flag, list, text, whole } from './config-kinds.ts';
import { type Documented, storeSettings } from './file-store-settings.ts';

/** A host, or `*.` and the end of its name; with its port where that is not 443. */
const BLOB_HOST = /^(?:\*\.)?(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/;
const BYTES_MAX = 2 ** 50;
/** With less, one piece of a stream (64 KiB) would take longer than clients wait. */
const RATE_MIN = 16 * 1024;

export function fileSettings(documented: Documented) {
  const bytes = (value: number, meaning: string) =>
    documented(byteSize(1024, BYTES_MAX).default(value), {
      topic: 'Files',
      meaning,
      form: 'bytes, also as 100MiB or 4GiB, from 1KiB to 1PiB',
    });
  const bytesPerSecond = (meaning: string) =>
    documented(byteSize(RATE_MIN, BYTES_MAX, 'off').default('off'), {
      topic: 'Files',
      meaning,
      form: 'bytes a second, also as 4MiB, from 16KiB to 1PiB, or off',
    });
  const count = (value: number, min: number, max: number, meaning: string) =>
    documented(whole(min, max).default(value), {
      topic: 'Files',
      meaning,
      form: `a whole number from ${min} to ${max}`,
    });
  return {
    ...storeSettings(documented),
    filesHostName: documented(text(/^[A-Za-z0-9][A-Za-z0-9.-]{0,252}(:\d{1,5})?$/).optional(), {
      topic: 'Files',
      meaning:
        'Name under which devices reach the HTTPS port for files, where it has one of its own. Without a port wherever ' +
        'that is possible: the storage library of Java takes none.',
      otherwise: 'the first `hostName`, else the name in `endpoints.json`, with the port where it is not 443',
      form: 'a host name, or name:port',
    }),
    fileBytesMax: bytes(limits.fileBytesMax, 'Largest file.'),
    filesBytesMax: bytes(limits.filesBytesMax, 'All files together, unfinished ones included.'),
    fileBytesPerDeviceMax: bytes(limits.fileBytesPerDeviceMax, 'All files of one device and its modules together.'),
    fileBytesPerSecond: bytesPerSecond(
      'Bandwidth of all uploads and downloads together. They are slowed down, and not refused.',
    ),
    fileBytesPerSecondPerDevice: bytesPerSecond('The same for those of one device and its modules.'),
    fileUploadsOpenMax: count(limits.fileUploadsOpenMax, 1, 1000, 'Uploads that one device may have open.'),
    fileUploadSeconds: count(
      limits.fileUploadMs / 1000,
      60,
      86_400,
      'Seconds for which the signed URL of an upload is good; then its place among the open ones is free again.',
    ),
    fileNotificationTtlSeconds: count(
      limits.fileNotificationTtlMs / 1000,
      60,
      172_800,
      'Seconds for which back ends may fetch the word of an upload.',
    ),
    fileNotificationLockSeconds: count(
      limits.fileNotificationLockMs / 1000,
      5,
      300,
      'Seconds that a back end may take to settle it.',
    ),
    fileNotificationDeliveryCountMax: count(
      limits.fileNotificationDeliveryCountMax,
      1,
      100,
      'How often it may be abandoned before it is given up.',
    ),
    fileGrantDays: count(
      limits.fileGrantMsMax / 86_400_000,
      1,
      3650,
      'Longest time for which a back end may let a device fetch a file.',
    ),
    registryBlobHosts: documented(list(BLOB_HOST).default(['*.blob.core.windows.net']), {
      topic: 'Files',
      meaning:
        'Hosts of blob containers that imports and exports of the registry may name, beside areas of the hub itself. `*.` ' +
        'stands for the beginning of a name, and opens public addresses only; a host that is named in full may also have a ' +
        'private one. Others are refused. May be given several times.',
      form: 'host names, also with a port or beginning with *., separated by commas',
    }),
    filesDeletedWithDevice: documented(flag().default(false), {
      topic: 'Files',
      meaning: 'Whether the files of a device go when its identity is deleted; else they stay for the operator.',
      form: 'on or off',
    }),
  };
}

/** What the rooms of core take, of all settings. */
export function fileLimits(settings: z.infer<z.ZodObject<ReturnType<typeof fileSettings>>>): FileLimits {
  return {
    fileBytesMax: settings.fileBytesMax,
    filesBytesMax: settings.filesBytesMax,
    deviceBytesMax: settings.fileBytesPerDeviceMax,
    uploadsOpenMax: settings.fileUploadsOpenMax,
    bytesPerSecond: orNone(settings.fileBytesPerSecond),
    deviceBytesPerSecond: orNone(settings.fileBytesPerSecondPerDevice),
    uploadMs: settings.fileUploadSeconds * 1000,
    notificationTtlMs: settings.fileNotificationTtlSeconds * 1000,
    notificationLockMs: settings.fileNotificationLockSeconds * 1000,
    notificationDeliveryCountMax: settings.fileNotificationDeliveryCountMax,
    grantMs: settings.fileGrantDays * 86_400_000,
    deletesWithIdentity: settings.filesDeletedWithDevice,
  };
}

const orNone = (value: number | 'off'): number | undefined => (value === 'off' ? undefined : value);
