/** Notifications of files as the service's SDKs read them, over AMQP and over HTTP alike (files reference 4). */
import type { FileNotification } from '../../core/files/types.ts';

/** Content type of a notification; .NET checks it. */
export const FILE_NOTIFICATION_CONTENT_TYPE = 'application/vnd.microsoft.iothub.filenotification.json';

/** All of these must be there, or Java throws. The order of the members is the service's. */
export interface FileNotificationRecord {
  readonly deviceId: string;
  /** Files of modules only. */
  readonly moduleId?: string;
  readonly blobUri: string;
  /** With the device's id before it. */
  readonly blobName: string;
  /** ISO 8601 in whole seconds with an offset: Java reads no other form, and accepts unread what it cannot read. */
  readonly lastUpdatedTime: string;
  readonly blobSizeInBytes: number;
  /** ISO 8601 in UTC with milliseconds. */
  readonly enqueuedTimeUtc: string;
}

export function fileNotificationRecord(notification: FileNotification): FileNotificationRecord {
  const { key, blobUri, path, lastModified, bytes, enqueuedTime } = notification;
  return {
    deviceId: key.deviceId,
    ...(key.moduleId !== undefined && { moduleId: key.moduleId }),
    blobUri,
    blobName: path,
    lastUpdatedTime: `${new Date(lastModified).toISOString().slice(0, 19)}+00:00`,
    blobSizeInBytes: bytes,
    enqueuedTimeUtc: new Date(enqueuedTime).toISOString(),
  };
}

/** In plain ASCII, because the Java SDK reads the bytes back from the text form of its buffer. */
export function fileNotificationJson(notification: FileNotification): string {
  return JSON.stringify(fileNotificationRecord(notification)).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
