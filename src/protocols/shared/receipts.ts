/** Receipts as the service's SDKs read them, over AMQP and over HTTP alike (service reference 4.3). */
import type { CommandOutcome, Receipt } from '../../core/commands/types.ts';

/** Content type of a batch of receipts; .NET checks it. */
export const RECEIPTS_CONTENT_TYPE = 'application/vnd.microsoft.iothub.feedback.json';

/** One receipt in a feedback message. The order of the members is the service's. */
export interface ReceiptRecord {
  /** The command's message id; null when it had none. */
  readonly originalMessageId: string | null;
  /** The same word as `statusCode`. */
  readonly description: ReceiptStatus;
  readonly deviceGenerationId: string;
  readonly deviceId: string;
  /** Commands to modules only. */
  readonly moduleId?: string;
  /** When the command ended, ISO 8601 in UTC with milliseconds. */
  readonly enqueuedTimeUtc: string;
  readonly statusCode: ReceiptStatus;
}

export type ReceiptStatus = (typeof receiptStatuses)[CommandOutcome];

/** What a feedback record calls the ways in which a command ends. */
export const receiptStatuses = {
  completed: 'Success',
  rejected: 'Rejected',
  expired: 'Expired',
  deliveryCountExceeded: 'DeliveryCountExceeded',
  purged: 'Purged',
} as const satisfies Readonly<Record<CommandOutcome, string>>;

export function receiptRecord(receipt: Receipt): ReceiptRecord {
  const status = receiptStatuses[receipt.outcome];
  return {
    originalMessageId: receipt.originalMessageId,
    description: status,
    deviceGenerationId: receipt.deviceGenerationId,
    deviceId: receipt.deviceId,
    ...(receipt.moduleId === undefined ? {} : { moduleId: receipt.moduleId }),
    enqueuedTimeUtc: new Date(receipt.enqueuedTime).toISOString(),
    statusCode: status,
  };
}

/**
 * The body of a feedback message: a JSON array of records in plain ASCII, because the Java SDK reads the bytes back from
 * the text form of its buffer.
 */
export function receiptsJson(receipts: readonly Receipt[]): string {
  return JSON.stringify(receipts.map(receiptRecord)).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
