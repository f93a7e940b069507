/** The login of a connection (KIP-152): the mechanism's own messages travel as bytes. */
import { type FieldReader, FieldWriter } from './fields.ts';

export function saslHandshakeRequest(mechanism: string): Buffer {
  return new FieldWriter().shortText(mechanism).done();
}

export function readSaslHandshake(reader: FieldReader): {
  readonly error: number;
  readonly mechanisms: readonly (string | null)[];
} {
  return { error: reader.int16(), mechanisms: reader.longList(() => reader.shortText()) };
}

export function saslAuthenticateRequest(bytes: Uint8Array): Buffer {
  return new FieldWriter().bytes(bytes).noTags().done();
}

export function readSaslAuthenticate(reader: FieldReader): {
  readonly error: number;
  readonly message: string;
  readonly bytes: Buffer;
  /** 0 = the login does not end. */
  readonly lifetimeMs: number;
} {
  return { error: reader.int16(), message: reader.text() ?? '', bytes: reader.bytes(), lifetimeMs: reader.int64() };
}
