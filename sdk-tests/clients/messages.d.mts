export interface SentMessage {
  readonly body: string;
  readonly properties: readonly (readonly [name: string, value: string])[];
  readonly messageId: string;
  readonly correlationId: string;
  readonly contentType: string;
  readonly contentEncoding: string;
  readonly userId: string | undefined;
}

export function messageOf(deviceId: string, n: number): SentMessage;
