/**
 * How an id of a message that is no text travelled on AMQP (part 3 section 3.2.4), so that it travels on as it came. The hub
 * holds each as text: a UUID in canonical form, a `ulong` in decimal, the bytes of a binary as UTF-8 where they are that, else
 * (`hex`) in hexadecimal.
 */
export type IdType = 'uuid' | 'ulong' | 'binary' | 'hex';

/** Of one message; absent = text. */
export interface IdTypes {
  readonly messageId?: IdType;
  readonly correlationId?: IdType;
}
