import { limits } from '../../base/limits.ts';
import type { IdentityKey } from '../identity/types.ts';

/** Files that devices send and receive. Plain data, no behaviour. */

/** The container's name, and with it the first path segment of every blob's URL (files reference 0.2: a single segment). */
export const FILES_CONTAINER = 'hub-files';

/** What a signed URL allows: `sp`. */
export type BlobRight = 'read' | 'write';

/** An upload that a device has begun and not finished. */
export interface Upload {
  /** Names it to the device: letters, digits, `-` and `_` only, for some SDKs do not encode it (files reference 0.8). */
  readonly correlationId: string;
  readonly key: IdentityKey;
  readonly generationId: string;
  /** Path of the blob in the container: the identity's part, then what the device asked for. */
  readonly path: string;
  /** UTC milliseconds. */
  readonly openedTime: number;
  /** UTC milliseconds at which its signed URL ends, and its place among the device's uploads is free again. */
  readonly expiresAt: number;
}

/** What the device needs for the upload; all five are strings and none is empty (files reference 1). */
export interface UploadTicket {
  readonly correlationId: string;
  /** Without a port wherever that is possible (files reference 0.1). */
  readonly hostName: string;
  readonly containerName: string;
  readonly blobName: string;
  /** Begins with `?`. */
  readonly sasToken: string;
}

/** Tells back ends that a device has uploaded a file (files reference 4). */
export interface FileNotification {
  /** Place in the hub's queue. */
  readonly sequence: number;
  readonly key: IdentityKey;
  readonly path: string;
  readonly blobUri: string;
  readonly bytes: number;
  /** UTC milliseconds. */
  readonly lastModified: number;
  readonly enqueuedTime: number;
}

/** One notification handed to one back end under a lock. */
export interface LockedNotification {
  readonly notification: FileNotification;
  readonly lockToken: string;
  /** UTC milliseconds. */
  readonly lockedUntil: number;
  /** How often it was handed out before and came back. */
  readonly deliveryCount: number;
}

/** What lets one device fetch one file that a back end has put, and how far it has come with it. */
export interface FileGrant {
  /** Names it in signed URLs, receipts and monitoring: a UUID. */
  readonly id: string;
  readonly key: IdentityKey;
  readonly generationId: string;
  /** Of the file in the container. */
  readonly path: string;
  /** Under which the device asks for it. */
  readonly name: string;
  /** UTC milliseconds. */
  readonly createdTime: number;
  /** UTC milliseconds. */
  readonly expiresAt: number;
  /** The policy that granted it. */
  readonly grantedBy: string;
  readonly fetched: FetchProgress | undefined;
}

/**
 * How far a device has come with a file: its receipt. Written when a request ends, so that a crash of the hub in that moment
 * loses what it says, and not the file. Times: UTC milliseconds.
 */
export interface FetchProgress {
  /** ETag of the file that was sent last. */
  readonly etag: string;
  /** Bytes of the file. */
  readonly bytes: number;
  /** Until which byte it was sent, from the first on without a gap. */
  readonly sentBytes: number;
  readonly firstTime: number;
  readonly lastTime: number;
  /** When the last byte was handed to the connection; undefined = not yet. */
  readonly completedTime: number | undefined;
}

/** The bounds of files; each is a setting. */
export interface FileLimits {
  /** Largest single file. */
  readonly fileBytesMax: number;
  /** All files of the hub together, unfinished ones included. */
  readonly filesBytesMax: number;
  /** All files of one device together. */
  readonly deviceBytesMax: number;
  /** Service: uploads that one device may have open. */
  readonly uploadsOpenMax: number;
  /** Bytes a second of all transfers together; undefined = no cap. */
  readonly bytesPerSecond: number | undefined;
  /** The same for one device. */
  readonly deviceBytesPerSecond: number | undefined;
  /** How long a signed URL for an upload is good. */
  readonly uploadMs: number;
  readonly notificationTtlMs: number;
  readonly notificationLockMs: number;
  readonly notificationDeliveryCountMax: number;
  /** Longest time for which a device may be let fetch a file. */
  readonly grantMs: number;
  /** Whether an identity's files go with it; else they stay for the operator. */
  readonly deletesWithIdentity: boolean;
}

export const defaultFileLimits: FileLimits = {
  fileBytesMax: limits.fileBytesMax,
  filesBytesMax: limits.filesBytesMax,
  deviceBytesMax: limits.fileBytesPerDeviceMax,
  uploadsOpenMax: limits.fileUploadsOpenMax,
  bytesPerSecond: undefined,
  deviceBytesPerSecond: undefined,
  uploadMs: limits.fileUploadMs,
  notificationTtlMs: limits.fileNotificationTtlMs,
  notificationLockMs: limits.fileNotificationLockMs,
  notificationDeliveryCountMax: limits.fileNotificationDeliveryCountMax,
  grantMs: limits.fileGrantMsMax,
  deletesWithIdentity: false,
};
